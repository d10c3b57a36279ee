"""What becomes of a computed image: resized down, cropped, and looked at."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from srup.errors import UnsoundResult
from srup.images import (
    Pixels,
)
from srup.inference.canvas import MapSpec, canvas
from srup.inference.engines import ADVICE
from srup.inference.windows import windows
from srup.resize import imresize

BLOCK = 64  # pixels a side
BAND = 256  # rows or columns that are resized at a time
DARK = 1 / 16  # of white: what is brighter on average cannot have become black


def resized(
    image: NDArray[Any], size: tuple[int, int], dtype: np.dtype[Any], memory_budget: int
) -> Pixels:
    """An image H×W×C in [0, 1] at another size, as whole numbers.

    It is resized in bands, so that it is never there twice as floats.
    """
    _, width, channels = image.shape
    levels = np.iinfo(dtype).max
    upright = _plane((1, channels, size[1], width), np.float32, memory_budget // 2)
    for left in range(0, width, BAND):
        band = image[:, left : left + BAND]
        upright[:, left : left + BAND] = imresize(band, size=(band.shape[1], size[1]))
    result = _plane((1, channels, size[1], size[0]), dtype, memory_budget // 2)
    for top in range(0, size[1], BAND):
        band = imresize(upright[top : top + BAND], size=(size[0], min(BAND, size[1] - top)))
        result[top : top + BAND] = np.rint(band * np.float32(levels)).clip(0, levels)
    return result


def _plane(shape: tuple[int, ...], dtype: DTypeLike, memory_budget: int) -> NDArray[Any]:
    """A new image H×W×C for a shape 1×C×H×W: in memory if it takes no more than the budget, else on
    disk.
    """
    spec = MapSpec(shape, np.dtype(dtype))
    made = canvas(replace(spec, on_disk=spec.nbytes > memory_budget))
    plane: NDArray[Any] = made.array[0].transpose(1, 2, 0)
    return plane


def check_not_black(before: Pixels, after: Pixels) -> None:
    """Raises UnsoundResult if a part of the result is black throughout where the image (H×W×C both)
    is not.
    """
    rows, columns = (Fraction(after.shape[axis], before.shape[axis]) for axis in (0, 1))
    dark = DARK * int(np.iinfo(before.dtype).max)
    for part in windows(before.shape[0], before.shape[1], BLOCK):
        top, bottom = math.ceil(part.top * rows), int(part.bottom * rows)
        left, right = math.ceil(part.left * columns), int(part.right * columns)
        there = after[top:bottom, left:right]
        if (
            there.size
            and not there.any()
            and before[part.top : part.bottom, part.left : part.right].mean() > dark
        ):
            raise UnsoundResult(
                f"the network made black of what is not (at {left}, {top}), so nothing was written",
                *ADVICE,
            )


def middle(plane: Pixels, size: tuple[int, int]) -> Pixels:
    """The middle of H×W or H×W×C."""
    width, height = size
    top, left = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    return plane[top : top + height, left : left + width]
