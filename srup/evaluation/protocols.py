"""How alike two images are, by a protocol that says exactly what is compared."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srup.errors import ImageError
from srup.evaluation.consistency import in_255
from srup.evaluation.metrics import WINDOW, Values, luma, psnr, ssim
from srup.images import read_image

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protocol:
    """What is compared: H×W×3 in 0–255 → H×W or H×W×3."""

    what: str
    planes: Callable[[Values], Values]


PROTOCOLS = {
    "paper": Protocol("Y of BT.601 (16–235) in float", luma),
    "y-rounded": Protocol(
        "Y of BT.601 (16–235) rounded to whole levels", lambda rgb: np.rint(luma(rgb))
    ),
    "rgb": Protocol("red, green and blue", lambda rgb: rgb),
}


@dataclass(frozen=True)
class Score:
    psnr: float  # dB
    ssim: float


def score(sr: Values, hr: Values, *, protocol: str = "paper", border: int = 0) -> Score:
    """PSNR and SSIM of two images H×W×3 of one size in 0–255, `border` pixels left out on each side."""
    a, b = (PROTOCOLS[protocol].planes(np.asarray(image, np.float64)) for image in (sr, hr))
    layers = (
        [(a, b)]
        if a.ndim == 2
        else [(a[:, :, channel], b[:, :, channel]) for channel in range(a.shape[2])]
    )
    return Score(
        psnr(a, b, border=border), mean([ssim(one, other, border=border) for one, other in layers])
    )


def score_files(sr: Path, hr: Path, *, protocol: str = "paper", border: int = 0) -> Score:
    """The score of two image files. Raises ImageError if their sizes differ or are too small, naming both."""
    a, b = colours(sr), colours(hr)
    if a.shape != b.shape:
        sizes = [
            f"{path} is {image.shape[1]}×{image.shape[0]}" for path, image in ((sr, a), (hr, b))
        ]
        raise ImageError(
            f"{' and '.join(sizes)}: only images of one size can be scored; crop or enlarge one to the other's"
        )
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


def levels(path: Path) -> Values:
    """The values of an image file, H×W×3 or, of a grey one, H×W×1, in 0–255."""
    return in_255(read_image(path).pixels)


def colours(path: Path) -> Values:
    """The same as H×W×3, grey as three equal colours."""
    values = levels(path)
    return np.broadcast_to(values, (*values.shape[:2], 3))


def mean(values: list[float]) -> float:
    """The mean; NaN for none."""
    return math.fsum(values) / len(values) if values else math.nan
