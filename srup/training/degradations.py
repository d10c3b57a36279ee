"""Degraded LR patches for training: what a network is to undo, drawn anew for each patch.

HR stays clean. A patch is degraded together with its surroundings and cut out afterwards, so that
the blocks of JPEG lie anywhere in it, as they do in the windows of a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from srup.images.degrade import Operation, degraded
from srup.images.values import Bytes

Range = tuple[float, float]  # lowest and highest, drawn uniformly in between

BLOCK = 16  # pixels after which JPEG with 4:2:0 and WebP repeat themselves
SURROUNDINGS = 8  # pixels at least that are degraded around a patch: as far as blur may look
MARGIN = SURROUNDINGS + BLOCK  # pixels on each side of a patch that `degrade_batch` needs


@dataclass(frozen=True)
class Degradation:
    """What may be done to an LR patch: shares in 0 … 1, and ranges of strength.

    The order is that of a camera: blur, noise, compression. Each is drawn for itself; patches that
    get none add to those that stay clean. `validated` are specs (`images.degrade`) that training
    is validated on besides clean images.
    """

    clean: float  # share left as it is; all other shares are of the rest
    blurred: float
    blur: Range  # σ in LR pixels
    noisy: float
    noise: Range  # σ of 255
    demosaiced: float  # share of the noise that went through demosaicing; the rest is white
    compressed: float
    webp: float  # share of WebP in what is compressed; the rest is JPEG
    subsampled: float  # share of JPEG whose chroma is halved (4:2:0); the rest is 4:4:4
    quality: Range  # whole, of JPEG and WebP
    validated: tuple[str, ...]


DEGRADATIONS: Mapping[str, Degradation] = {
    # Pictures of cameras and of the web, at their own size or shrunk by somebody.
    "photo": Degradation(
        # With the patches that draw none of the three below it is a sixth of all, which keeps the
        # network good at images that are nearly clean. What is clean goes to another.
        clean=0.1,
        # Bicubic LR is as sharp as pixels allow, photographs rarely are. More than 0.6 would be
        # learned as sharpening, which harms what is sharp already.
        blurred=0.3,
        blur=(0.0, 0.6),
        # Most pictures were taken in good light or denoised by the camera.
        noisy=0.3,
        noise=(0.0, 8.0),
        demosaiced=0.5,
        # Nearly every photograph is a JPEG or was one.
        compressed=0.85,
        webp=0.2,
        subsampled=0.7,  # what most cameras and websites write; editors keep chroma whole
        # Below 30 nobody saves on purpose; above 97 nothing is left to undo.
        quality=(30, 97),
        # An ordinary quality and a low one.
        validated=("jpeg:75", "jpeg:50"),
    ),
}


def draw(degradation: Degradation, random: np.random.Generator) -> tuple[Operation, ...]:
    """The operations of one patch; none if it stays clean."""
    if random.random() < degradation.clean:
        return ()
    operations = []
    if random.random() < degradation.blurred:
        operations.append(Operation("blur", random.uniform(*degradation.blur)))
    if random.random() < degradation.noisy:
        kind = "sensor-noise" if random.random() < degradation.demosaiced else "noise"
        operations.append(Operation(kind, random.uniform(*degradation.noise)))
    if random.random() < degradation.compressed:
        low, high = degradation.quality
        quality = int(random.integers(int(low), int(high), endpoint=True))
        operations.append(Operation(_codec(degradation, random), quality))
    return tuple(operations)


def _codec(degradation: Degradation, random: np.random.Generator) -> str:
    """The name of the operation that compresses."""
    if random.random() < degradation.webp:
        return "webp"
    return "jpeg" if random.random() < degradation.subsampled else "jpeg444"


def degrade_batch(lr: Bytes, degradation: Degradation, *, seed: tuple[int, ...]) -> Bytes:
    """The N patches in the middle of `lr`, `MARGIN` pixels from its edges, degraded.

    Each draws its own degradation and offset from the blocks. The same arguments give the same
    patches.
    """
    random = np.random.default_rng(seed)
    return np.stack([_degrade(wide, degradation, random) for wide in lr])


def _degrade(wide: Bytes, degradation: Degradation, random: np.random.Generator) -> Bytes:
    height, width = wide.shape[0] - 2 * MARGIN, wide.shape[1] - 2 * MARGIN
    # the first block begins so many pixels above and to the left of the patch
    above, left = (int(pixels) for pixels in SURROUNDINGS + random.integers(BLOCK, size=2))
    region = wide[MARGIN - above :, MARGIN - left :]
    region = degraded(region, draw(degradation, random), random)
    return region[above : above + height, left : left + width]
