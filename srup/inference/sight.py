"""Measures how far a network sees, so that windows of it are cut right.

What an architecture says of itself is not enough: some that pool over the whole image call
themselves fit for tiling. So an image is made unknown on one side of a line, by NaN, which every
sum and product hands on, and the results tell how far beyond the line they do not know any more.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srup.errors import WeightsMismatch, reason_of
from srup.inference.overlapping import blended
from srup.models import community
from srup.networks.base import Network
from srup.networks.community import Community, Sight
from srup.networks.stages import Array, pad_to_multiple
from srup.processor import has_bfloat16

log = logging.getLogger(__name__)

HEIGHT = 32  # pixels of the strips that reaches are measured on
WIDTHS = (192, 512, 1024)  # of these strips, tried until the reach ends within one
PERIODS = (1, 2, 4, 8, 16, 32, 64)  # pixels
EXACT = 128  # pixels: a reach up to which windows get all of it
FAINT = 0.02 / 255  # a change that is left out of the margin of windows where the reach is longer
OVERLAPS = (16, 32, 48, 64)  # pixels, tried until the seam is fine
SEAM = 1.0  # levels of 255: a seam that is fine
WINDOW = 128  # pixels a side of windows that the seam is measured with
SIDES = (256, 160)  # pixels of the picture that it is measured on


def measure(network: Network, digest: str, name: str) -> None:
    """Gives a network its sight: as it was measured before for a digest, or else measured now.

    Raises WeightsMismatch for a network that does not run.
    """
    assert isinstance(network, Community), "srup's own networks know how far they see"
    place = community.facts_path(digest, "sight")
    with suppress(TypeError):
        network.see(Sight(**community.read_facts(place)))
        return
    log.info("%s: measuring how far it sees, once", name)
    try:
        network.see(sight_of(network))
    except Exception as error:  # what a network of others raises at sizes that it does not take
        raise WeightsMismatch(
            f"{name} does not run ({type(error).__name__}: {reason_of(error)}); check the file"
        ) from error
    community.write_facts(place, asdict(network.sight))


@torch.inference_mode()
def sight_of(network: Community) -> Sight:
    """How far a network sees, and what bfloat16 costs it; takes seconds."""
    network = network.eval()
    picture = torch.from_numpy(drawn(*SIDES))
    half = _half_psnr(network, picture[..., :96, :96])
    period = _period(network)
    reach = _reach(network, period)
    if reach is None:
        overlap, seam = _overlap(network, picture, period)
        return Sight(None, period, overlap, seam, half)
    if reach <= EXACT:
        return Sight(reach, period, reach, 0.0, half)
    return Sight(reach, period, _faint_from(network, reach), round(FAINT * 255, 2), half)


def drawn(height: int, width: int) -> NDArray[np.float32]:
    """A picture 1×3×H×W in [0, 1] with slopes, edges and texture."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    random = np.random.default_rng(0)
    planes = []
    for phase in range(3):
        waves = np.sin(x / (5 + phase)) * np.cos(y / 7 + phase) * 0.2
        edges = ((x // 23 + y // 31) % 2) * 0.3
        planes.append(0.35 + waves + edges + random.normal(0, 0.03, x.shape))
    return np.stack(planes)[None].clip(0, 1).astype(np.float32)


def _strip(network: Community, width: int) -> Tensor:
    """Noise 1×3×HEIGHT×width, of sides that the network takes."""
    height, width = (
        math.ceil(max(side, network.smallest) / network.multiple) * network.multiple
        for side in (HEIGHT, width)
    )
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def _period(network: Community) -> int:
    """By how many pixels an image may be shifted without changing the result but for its place."""
    longest = math.lcm(PERIODS[-1], network.multiple)
    image = _strip(network, WIDTHS[0] + longest)
    width, scale = image.shape[-1] - longest, network.scale
    first = network.enlarged(image[..., :width])
    middle = slice(width * scale // 2, (width // 2 + longest) * scale)
    differences = {}
    for period in sorted({math.lcm(each, network.multiple) for each in PERIODS}):
        shifted = network.enlarged(image[..., period : period + width])
        moved = slice(middle.start - period * scale, middle.stop - period * scale)
        differences[period] = (first[..., middle] - shifted[..., moved]).abs().max().item()
    # nothing is quite equal where edges are in sight: what matters is that none is much better
    enough = 4 * min(differences.values()) + FAINT
    return next(period for period, found in differences.items() if found <= enough)


def _reach(network: Community, period: int) -> int | None:
    """How far an output pixel sees in pixels of the input, in any direction; None for everything.

    Raises nothing: a network that does not hand NaN on would show the reach of its other parts,
    and is then measured by numbers alone.
    """
    farthest = 0
    for turned, mirrored in ((False, False), (False, True), (True, False), (True, True)):
        for offset in _offsets(period):
            found = _reach_beyond(network, offset, turned, mirrored)
            if found is None:
                return None
            farthest = max(farthest, found)
    return farthest


def _offsets(period: int) -> Iterator[int]:
    """Where to draw the line: just inside of a window of attention, or of one that is shifted."""
    yield 1
    half = period // 2
    while half > 1:
        yield half + 1
        half //= 2


def _reach_beyond(network: Community, offset: int, turned: bool, mirrored: bool) -> int | None:
    for width in WIDTHS:
        image = _strip(network, width)
        line = image.shape[-1] // 2 // PERIODS[-1] * PERIODS[-1] + offset
        unknown, other = image.clone(), image.clone()
        unknown[..., :line] = math.nan
        beyond = _columns(_raw(network, unknown, turned, mirrored).isnan())[line * network.scale :]
        if beyond.all():
            continue
        known = int((~beyond).nonzero()[0])
        reach = -(-known // network.scale)
        if not beyond[known:].any():
            return reach
        # attention in shifted windows rolls the image around: what is masked there is NaN, too, so
        # numbers must tell
        other[..., :line] = 1 - other[..., :line]
        changed = _raw(network, image, turned, mirrored) != _raw(network, other, turned, mirrored)
        if not _columns(changed)[(line + reach) * network.scale :].any():
            return reach
    return None


def _columns(marked: Tensor) -> Tensor:
    """The columns of N×C×H×W in which anything is marked."""
    return marked.any(0).any(0).any(0)


def _raw(network: Community, image: Tensor, turned: bool, mirrored: bool) -> Tensor:
    """What the network makes of a strip that is turned and mirrored first, turned back."""
    if mirrored:
        image = image.flip(-1)
    if turned:
        image = image.transpose(-1, -2).contiguous()
    result = network.enlarged(image)
    if turned:
        result = result.transpose(-1, -2)
    return result.flip(-1) if mirrored else result


def _faint_from(network: Community, reach: int) -> int:
    """The pixels beyond which a change of all others changes a result by less than FAINT."""
    image = _strip(network, 2 * min(reach, WIDTHS[-1] // 2))
    line = image.shape[-1] // 2
    other = image.clone()
    other[..., :line] = 1 - other[..., :line]
    margin = 0
    for turned in (False, True):
        before = _raw(network, image, turned, False)
        change = (before - _raw(network, other, turned, False)).abs()
        columns = (change.amax((0, 1, 2)) >= FAINT).nonzero()
        last = int(columns.max()) // network.scale + 1 if len(columns) else line
        margin = max(margin, last - line)
    return margin


def _overlap(network: Community, picture: Tensor, period: int) -> tuple[int, float]:
    """The pixels by which windows are to overlap, and the seam that is left, in levels of 255."""

    def enlarge(crop: Array) -> Array:
        image = torch.from_numpy(crop.copy())
        made: Array = pad_to_multiple(network, image, network.enlarged).numpy()
        return made

    image = picture.numpy()
    whole, overlap, seam = enlarge(image), 0, math.inf
    for overlap in OVERLAPS:
        size = max(WINDOW, 2 * overlap)
        difference = blended(enlarge, image, size, overlap, period) - whole
        seam = 255 * max(np.abs(np.diff(difference, axis=axis)).max() for axis in (2, 3))
        if seam < SEAM:
            break
    return overlap, round(float(seam), 2)


def _half_psnr(network: Community, picture: Tensor) -> float:
    """The PSNR in dB between results in float32 and bfloat16; 0 where it cannot be computed."""
    if not (network.supports_bfloat16 and has_bfloat16()):
        return 0.0
    full = pad_to_multiple(network, picture, network.enlarged)
    try:
        half = pad_to_multiple(network, picture, network.enlarged_in_half)
    except RuntimeError:  # an operation that has no bfloat16
        return 0.0
    error = (full - half).square().mean().item()
    return round(min(-10 * math.log10(error), 100.0), 1) if error > 0 else 100.0
