"""How faithful an enlargement is to its input: the result is shrunk again and compared with what it was made of."""

from __future__ import annotations

import logging

import numpy as np

from srup.evaluation.metrics import Values, psnr
from srup.images import Image, Pages, fill_transparent
from srup.resize import imresize

log = logging.getLogger(__name__)

POOR = 25.0  # dB of consistency, below which a result hardly shows its input (bicubic has 32 to 42 on Set14, networks about 50)


def in_255(pixels: Values) -> Values:
    """Pixels of any whole-number type in 0–255, those of more than 8 bits as fractions."""
    return pixels if pixels.dtype == np.uint8 else pixels * (255 / np.iinfo(pixels.dtype).max)


def consistency(small: Values, large: Values) -> float:
    """PSNR in dB between an image H×W×C and the result of enlarging it, shrunk again to its size by bicubic `imresize`.

    It needs no reference: a faithful enlargement keeps what its input says. inf where nothing differs.
    """
    height, width = small.shape[:2]
    shrunk = imresize(large, size=(width, height))
    return psnr(in_255(small), in_255(shrunk))


def consistency_of(before: Image, after: Image, *, name: str) -> float:
    """The consistency of an image and its enlargement, by what is visible; logged as that of `name`, a low one as a warning."""
    visible = (
        before.pixels if before.alpha is None else fill_transparent(before.pixels, before.alpha)
    )
    found = consistency(visible, after.pixels)
    if not found >= POOR:  # NaN is not good either
        log.warning(
            "%s: shrunk again, the result is only %.1f dB like the input; look at it before you use it",
            name,
            found,
        )
    else:
        log.info("%s: shrunk again, the result is %.1f dB like the input", name, found)
    return found


def consistency_of_pages(before: Pages, after: Pages, *, name: str) -> float:
    """The least of the pages'."""
    several = len(before) > 1
    pairs = enumerate(zip(before.images, after.images, strict=True), 1)
    return min(
        consistency_of(small, large, name=f"{name}, page {page}" if several else name)
        for page, (small, large) in pairs
    )
