"""Consistency: how faithful an enlargement is to its input.

The result is shrunk again and compared with the image it was made from, so no reference is needed.
"""

from __future__ import annotations

import logging

import numpy as np

from srup.evaluation.metrics import Values, psnr
from srup.images import Image, Pages, fill_transparent
from srup.resize import imresize

log = logging.getLogger(__name__)

# Below this many dB a result hardly shows its input. On Set14 bicubic has 32 to 42 dB, networks
# about 50.
POOR = 25.0


def in_255(pixels: Values) -> Values:
    """Pixels of any unsigned integer type in 0–255, those of more than 8 bits as fractions."""
    if pixels.dtype == np.uint8:
        return pixels
    return pixels * (255 / np.iinfo(pixels.dtype).max)


def consistency(small: Values, large: Values) -> float:
    """PSNR in dB between an image H×W×C and its enlargement shrunk to H×W by bicubic `imresize`.

    A faithful enlargement keeps what its input shows. inf where nothing differs.
    """
    height, width = small.shape[:2]
    shrunk = imresize(large, size=(width, height))
    return psnr(in_255(small), in_255(shrunk))


def consistency_of(before: Image, after: Image, *, name: str) -> float:
    """The consistency in dB of an image and its enlargement, of visible pixels alone.

    Logs it under `name`, as a warning if it is below `POOR`.
    """
    visible = before.pixels
    if before.alpha is not None:
        visible = fill_transparent(visible, before.alpha)
    found = consistency(visible, after.pixels)
    if not found >= POOR:  # written so that NaN warns too
        log.warning(
            "%s: shrunk again, the result is only %.1f dB like the input; "
            "look at it before you use it",
            name,
            found,
        )
    else:
        log.info("%s: shrunk again, the result is %.1f dB like the input", name, found)
    return found


def consistency_of_pages(before: Pages, after: Pages, *, name: str) -> float:
    """The lowest consistency of any page, in dB."""
    found = []
    pairs = zip(before.images, after.images, strict=True)
    for page, (small, large) in enumerate(pairs, 1):
        label = f"{name}, page {page}" if len(before) > 1 else name
        found.append(consistency_of(small, large, name=label))
    return min(found)
