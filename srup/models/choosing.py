"""Chooses the network by the picture: `lite` for a clean one, `lite-photo` for a compressed or
noisy one, or a mixture of both.

Thresholds come from the tables of .github/docs/choosing.md: tests.benchmarks.strength prints what
each strength gives, `srup evaluate --degrade` what `auto` gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from srup.models.inspect import Inspection
from srup.models.registry import AUTO, DEFAULT

CLEAN, PHOTO = "lite", "lite-photo"
# (quality at most, strength), the worst first; better pictures are clean
BY_QUALITY = ((82, 1.0), (91, 0.75), (94, 0.5), (97, 0.25))
# σ from which a picture counts as noisy: detail that fills a lossless picture looks like noise too
NOISY, NOISY_LOSSLESS = 2.5, 3.0
# quality → dB that PHOTO scores above imdn on Kodak's photographs so compressed, the smaller of ×2
# and ×4
GAINS = {75: 0.5, 50: 0.7, 30: 0.7}
OTHERS = (PHOTO, "imdn-rte", "imdn-as", "bicubic")  # not made for clean pictures either


@dataclass(frozen=True)
class Choice:
    """The network to run, its strength (1 for one that has none), and why, in words."""

    model: str
    strength: float = 1.0
    why: str = ""


def networks_of(model: str) -> Sequence[str]:
    """The names of the networks that may run for a name, AUTO among them."""
    return (CLEAN, PHOTO) if model == AUTO else (model,)


def given(model: str, strength: float | None, *, own_weights: bool) -> Choice | None:
    """What to run where the picture need not be looked at; None where it decides."""
    if model != AUTO:
        return Choice(model, 1.0 if strength is None else strength)
    if own_weights:
        return Choice(DEFAULT)
    if strength is None:
        return None
    return Choice(PHOTO, strength) if strength else Choice(CLEAN)


def choose(found: Inspection) -> Choice:
    """What suits a picture."""
    damage = damage_of(found)
    strength = strength_for(found)
    if not strength:
        return Choice(CLEAN, why=f"it looks clean{damage and ', ' + damage}")
    return Choice(PHOTO, strength, damage)


def strength_for(found: Inspection) -> float:
    """How much of its compression and noise to take away, 0 to 1."""
    lossless_until = NOISY if found.compressed else NOISY_LOSSLESS
    if found.noise is not None and found.noise >= lossless_until and found.kind != "drawing":
        return 1.0
    if found.quality is None:
        # blocks without a quality that can be told, or a lossy format that does not say it
        return 1.0 if found.blocky else 0.0
    return next((strength for most, strength in BY_QUALITY if found.quality <= most), 0.0)


def damage_of(found: Inspection) -> str:
    """What compression and noise were found, in words; "" for none."""
    said = []
    if found.quality is not None:
        name = "once JPEG"
        if found.compression and found.compression.quality == found.quality:
            name = found.compression.format.upper()
        said.append(f"{name} of quality about {found.quality}")
    elif found.blocky:
        said.append("blocks of compression")
    if found.noise is not None and found.noise >= NOISY:
        said.append(f"noise of σ {found.noise:.1f}")
    return ", ".join(said)


def advice(model: str, found: Inspection) -> str:
    """What to say to somebody who named a network that the picture is not for; "" for nothing."""
    choice = choose(found)
    if model == PHOTO and choice.model == CLEAN:
        return f"the picture looks clean: {CLEAN} keeps more of it than {PHOTO}"
    if model in OTHERS or choice.strength < 1 or choice.model == CLEAN:
        return ""
    if found.quality is None:
        return f"{choice.why}: {PHOTO} is made for such pictures, and {model} for clean ones"
    nearest = min(GAINS, key=lambda quality: abs(quality - (found.quality or 0)))
    return (
        f"{choice.why}: {PHOTO} scores about {GAINS[nearest]:.1f} dB more on such pictures than "
        "networks for clean ones"
    )
