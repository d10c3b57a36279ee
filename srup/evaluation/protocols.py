"""Scoring protocols: which values of two images are compared, and the PSNR and SSIM of those."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from srup.errors import ImageError
from srup.evaluation.consistency import in_255
from srup.evaluation.metrics import WINDOW, Values, luma, psnr, ssim
from srup.images import MAX_PIXELS, read_image

ProtocolName = Literal["paper", "y-rounded", "rgb"]


@dataclass(frozen=True)
class Protocol:
    """What is compared, in words, and as a function: H×W×3 in 0–255 → H×W or H×W×3."""

    what: str
    planes: Callable[[Values], Values]


def _rounded_luma(rgb: Values) -> Values:
    return np.rint(luma(rgb))


def _unchanged(rgb: Values) -> Values:
    return rgb


PROTOCOLS: Mapping[ProtocolName, Protocol] = {
    "paper": Protocol("Y of BT.601 (16–235) in float", luma),
    "y-rounded": Protocol("Y of BT.601 (16–235) rounded to whole levels", _rounded_luma),
    "rgb": Protocol("red, green and blue", _unchanged),
}


@dataclass(frozen=True)
class Score:
    """PSNR in dB (inf for equal images) and SSIM (1 for equal images)."""

    psnr: float
    ssim: float


def score(sr: Values, hr: Values, *, protocol: ProtocolName = "paper", border: int = 0) -> Score:
    """The score of two images H×W×3 of one size in 0–255, `border` pixels left out on each side."""
    planes = PROTOCOLS[protocol].planes
    a, b = planes(np.asarray(sr, np.float64)), planes(np.asarray(hr, np.float64))
    if a.ndim == 2:
        return Score(psnr(a, b, border=border), ssim(a, b, border=border))
    channels = range(a.shape[2])
    likenesses = [ssim(a[:, :, each], b[:, :, each], border=border) for each in channels]
    return Score(psnr(a, b, border=border), mean(likenesses))


def score_files(
    sr: Path,
    hr: Path,
    *,
    protocol: ProtocolName = "paper",
    border: int = 0,
    max_pixels: int = MAX_PIXELS,
) -> Score:
    """The score of two image files of at most `max_pixels` each; grey files count as colour.

    Raises ReadError, and ImageError if their sizes differ or are too small for SSIM, naming both
    files.
    """
    a, b = colours(sr, max_pixels), colours(hr, max_pixels)
    if a.shape != b.shape:
        raise ImageError(
            f"{sr} is {_size(a)} and {hr} is {_size(b)}: only images of one size can be scored; "
            "crop or enlarge one to the size of the other"
        )
    check_window(f"{sr} and {hr}", a, border)
    return score(a, b, protocol=protocol, border=border)


def check_window(name: str, image: Values, border: int) -> None:
    """Raises ImageError if SSIM's window does not fit into the image without its border."""
    if min(image.shape[:2]) - 2 * border < WINDOW:
        raise ImageError(
            f"{name}: {_size(image)} less a border of {border} "
            f"is smaller than SSIM's window of {WINDOW}"
        )


def _size(image: Values) -> str:
    return f"{image.shape[1]}×{image.shape[0]}"


def scoring_note(what: str, border: int) -> str:
    """The line that belongs under every table of scores; `what` is what was compared."""
    return (
        f"{what}; peak 255, {border} px left out at each border. "
        "SSIM: Wang et al. 2004, 11×11 Gaussian of σ 1.5 where it fits, K 0.01 and 0.03."
    )


def levels(path: Path, max_pixels: int = MAX_PIXELS) -> Values:
    """The values of an image file in 0–255: H×W×3, or H×W×1 for a grey file. Raises ReadError."""
    return in_255(read_image(path, max_pixels=max_pixels).pixels)


def colours(path: Path, max_pixels: int = MAX_PIXELS) -> Values:
    """The values of an image file in 0–255 as H×W×3, grey as three equal channels.

    Raises ReadError.
    """
    values = levels(path, max_pixels)
    return np.broadcast_to(values, (*values.shape[:2], 3))


def mean(values: Sequence[float]) -> float:
    """The mean; NaN for none."""
    if not values:
        return math.nan
    return math.fsum(values) / len(values)
