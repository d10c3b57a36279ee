"""How alike two images are, by a protocol that says exactly what is compared."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srup.errors import ImageError
from srup.images import Image, Pages, bled, read_image
from srup.metrics import WINDOW, luma, psnr, ssim
from srup.resize import imresize

log = logging.getLogger(__name__)

Pixels = NDArray[Any]

POOR = 25.0  # dB of consistency, below which a result hardly shows its input (bicubic has 32 to 42 on Set14, networks about 50)


@dataclass(frozen=True)
class Protocol:
    """What is compared: H×W×3 in 0–255 → H×W or H×W×3."""

    what: str
    planes: Callable[[Pixels], Pixels]


PROTOCOLS = {
    "paper": Protocol("Y of BT.601 (16–235) in float", luma),
    "y-rounded": Protocol("Y of BT.601 (16–235) rounded to whole levels", lambda rgb: np.rint(luma(rgb))),
    "rgb": Protocol("red, green and blue", lambda rgb: rgb),
}


@dataclass(frozen=True)
class Score:
    psnr: float  # dB
    ssim: float


def score(sr: Pixels, hr: Pixels, *, protocol: str = "paper", border: int = 0) -> Score:
    """PSNR and SSIM of two images H×W×3 of one size in 0–255, `border` pixels left out on each side."""
    a, b = (PROTOCOLS[protocol].planes(np.asarray(image, np.float64)) for image in (sr, hr))
    layers = [(a, b)] if a.ndim == 2 else [(a[:, :, channel], b[:, :, channel]) for channel in range(a.shape[2])]
    return Score(psnr(a, b, border=border), mean([ssim(one, other, border=border) for one, other in layers]))


def score_files(sr: Path, hr: Path, *, protocol: str = "paper", border: int = 0) -> Score:
    """The score of two image files. Raises ImageError if their sizes differ or are too small, naming both."""
    a, b = colours(sr), colours(hr)
    if a.shape != b.shape:
        sizes = [f"{path} is {image.shape[1]}×{image.shape[0]}" for path, image in ((sr, a), (hr, b))]
        raise ImageError(f"{' and '.join(sizes)}: only images of one size can be scored; crop or enlarge one to the other's")
    if min(a.shape[:2]) - 2 * border < WINDOW:
        raise ImageError(
            f"{sr} and {hr}: {a.shape[1]}×{a.shape[0]} less a border of {border} is smaller than SSIM's window of {WINDOW}"
        )
    return score(a, b, protocol=protocol, border=border)


def stated(what: str, border: int) -> str:
    """The line that belongs under every figure; `what` is what was compared."""
    return (
        f"{what}; peak 255, {border} px left out at each border. "
        "SSIM: Wang et al. 2004, 11×11 Gaussian of σ 1.5 where it fits, K 0.01 and 0.03."
    )


def levels(path: Path) -> Pixels:
    """The values of an image file, H×W×3 or, of a grey one, H×W×1, in 0–255."""
    return in_255(read_image(path).pixels)


def in_255(pixels: Pixels) -> Pixels:
    """Pixels of any whole-number type in 0–255, those of more than 8 bits as fractions."""
    return pixels if pixels.dtype == np.uint8 else pixels * (255 / np.iinfo(pixels.dtype).max)


def colours(path: Path) -> Pixels:
    """The same as H×W×3, grey as three equal colours."""
    values = levels(path)
    return np.broadcast_to(values, (*values.shape[:2], 3))


def mean(values: list[float]) -> float:
    """The mean; NaN for none."""
    return math.fsum(values) / len(values) if values else math.nan


def consistency(small: Pixels, large: Pixels) -> float:
    """PSNR in dB between an image H×W×C and the result of enlarging it, shrunk again to its size by bicubic `imresize`.

    It needs no reference: a faithful enlargement keeps what its input says. inf where nothing differs.
    """
    height, width = small.shape[:2]
    shrunk = imresize(large, size=(width, height))
    return psnr(in_255(small), in_255(shrunk))


def consistency_of(before: Image, after: Image, *, name: str) -> float:
    """The consistency of an image and its enlargement, by what is visible; logged as that of `name`, a low one as a warning."""
    visible = before.pixels if before.alpha is None else bled(before.pixels, before.alpha)
    found = consistency(visible, after.pixels)
    if not found >= POOR:  # NaN is not good either
        log.warning("%s: shrunk again, the result is only %.1f dB like the input; look at it before you use it", name, found)
    else:
        log.info("%s: shrunk again, the result is %.1f dB like the input", name, found)
    return found


def consistency_of_pages(before: Pages, after: Pages, *, name: str) -> float:
    """The least of the pages'."""
    several = len(before) > 1
    pairs = enumerate(zip(before.images, after.images, strict=True), 1)
    return min(consistency_of(small, large, name=f"{name}, page {page}" if several else name) for page, (small, large) in pairs)
