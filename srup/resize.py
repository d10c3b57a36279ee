"""MATLAB's `imresize`, bicubic: what the benchmark images of super-resolution were shrunk with.

Keys' cubic convolution (a = -0.5; R. Keys, "Cubic convolution interpolation for digital image
processing", IEEE TASSP 1981), widened by 1/scale when shrinking so that it also filters; rows
first, then columns. On uint8 each pass is rounded, as MATLAB does, which reproduces its results to
the bit; on floats nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Edges = Literal["mirror", "clamp"]
BAND, PART = 32, 4096  # rows and columns that are multiplied at once, as float64 a megabyte


def imresize(
    image: NDArray[Any],
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    edges: Edges = "mirror",
) -> NDArray[Any]:
    """The image (H×W or H×W×C, uint8, uint16 or float) at `scale`, or at `size` = (width, height);
    its dtype stays.

    With `scale`, sides are `ceil(length·scale)` as in MATLAB. `edges` says what lies outside:
    "mirror" (MATLAB since R2016) or "clamp" (before; the LR images of Set14 were made with it).
    """
    height, width = image.shape[:2]
    if size is None:
        assert scale is not None, "imresize needs scale or size"
        rows, columns = (int(np.ceil(round(length * scale, 9))) for length in (height, width))
        return _along(_along(image, 0, rows, scale, edges), 1, columns, scale, edges)
    columns, rows = size
    return _along(_along(image, 0, rows, rows / height, edges), 1, columns, columns / width, edges)


def _along(image: NDArray[Any], axis: int, length: int, scale: float, edges: Edges) -> NDArray[Any]:
    """One pass: matrix products over parts of the image that fit a processor's cache."""
    if length == image.shape[axis] and scale == 1:
        return image
    result = np.empty((*image.shape[:axis], length, *image.shape[axis + 1 :]), image.dtype)
    working = np.float32 if image.dtype == np.float32 else np.float64
    for band in _bands(image.shape[axis], length, scale, edges):
        matrix = band.matrix.astype(working)
        for before, after in _planes(image, result, axis):
            for part in range(0, before.shape[1], PART):
                values = matrix @ before[band.source, part : part + PART].astype(working)
                _put(values, after[band.target, part : part + PART])
    return result


def _planes(
    image: NDArray[Any], result: NDArray[Any], axis: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Views of image and result, two-dimensional, whose first axis is the one resized."""
    if axis == 0:
        yield image.reshape(image.shape[0], -1), result.reshape(result.shape[0], -1)
        return
    deep, deep_result = (array.reshape(*array.shape[:2], -1) for array in (image, result))
    for channel in range(deep.shape[2]):
        yield deep[:, :, channel].T, deep_result[:, :, channel].T


def _put(values: NDArray[Any], target: NDArray[Any]) -> None:
    if np.issubdtype(target.dtype, np.integer):
        np.clip(values, 0, np.iinfo(target.dtype).max, out=values)
        values += 0.5  # halves go up, as MATLAB's round does with positive numbers
    target[...] = values


@dataclass(frozen=True)
class Band:
    """A stretch of the result, `target`, as `matrix` times a stretch of the image, `source`."""

    target: slice
    source: slice
    matrix: NDArray[np.float64]


def _bands(before: int, after: int, scale: float, edges: Edges) -> Iterator[Band]:
    weights, indices = _taps(before, after, scale, edges)
    step = max(4, int(BAND * min(1.0, scale)))
    for start in range(0, after, step):
        used = indices[start : start + step]
        low, high = int(used.min()), int(used.max()) + 1
        matrix = np.zeros((len(used), high - low))
        np.add.at(
            matrix, (np.arange(len(used))[:, None], used - low), weights[start : start + step]
        )  # mirrored taps meet
        yield Band(slice(start, start + len(used)), slice(low, high), matrix)


def _taps(
    before: int, after: int, scale: float, edges: Edges
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """For each output position its weights and input indices, both after×taps."""
    widening = min(scale, 1.0)
    width = 4.0 / widening
    centres = (np.arange(after) + 0.5) / scale - 0.5
    first = np.floor(centres - width / 2).astype(np.intp)
    indices = first[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = widening * _cubic(widening * (centres[:, None] - indices))
    weights /= weights.sum(1, keepdims=True)
    used = weights.any(0)
    return weights[:, used], _inside(indices[:, used], before, edges)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _inside(indices: NDArray[np.intp], length: int, edges: Edges) -> NDArray[np.intp]:
    if edges == "clamp":
        return indices.clip(0, length - 1)
    indices = indices % (2 * length)  # … 1 0 | 0 1 2 … length-1 | length-1 length-2 …
    return np.minimum(indices, 2 * length - 1 - indices)
