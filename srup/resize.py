"""Bicubic resizing as MATLAB's `imresize` does it: benchmarks of super-resolution are shrunk so.

Keys' cubic convolution (a = -0.5; R. Keys, "Cubic convolution interpolation for digital image
processing", IEEE TASSP 1981). When shrinking, the kernel is widened by 1/scale, so that it is a
low-pass filter too. Rows are resized first, then columns. On uint8 the result of each pass is
rounded, as in MATLAB, which reproduces its images to the bit; floats are not rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Edges = Literal["mirror", "clamp"]
# Rows and columns that are multiplied at once. Along the second axis every row of the result lies
# in a page of its own: with more of them than the processor keeps translations for, it was 60 times
# as slow.
BAND, PART = 32, 512


def imresize(
    image: NDArray[Any],
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    edges: Edges = "mirror",
) -> NDArray[Any]:
    """An image resized by `scale`, or to `size` = (width, height), by bicubic interpolation.

    The image is H×W or H×W×C of uint8, uint16 or floats, and the result has the same dtype. With
    `scale`, sides are `ceil(length·scale)`, as in MATLAB. `edges` says which pixels are assumed
    outside of the image: "mirror" reflects it (MATLAB since R2016), "clamp" repeats the outermost
    ones (before; the LR images of Set14 were made so).
    """
    height, width = image.shape[:2]
    if size is not None:
        columns, rows = size
        resized = _resized_along(image, 0, rows, rows / height, edges)
        return _resized_along(resized, 1, columns, columns / width, edges)
    assert scale is not None, "imresize needs scale or size"
    rows, columns = _scaled_length(height, scale), _scaled_length(width, scale)
    resized = _resized_along(image, 0, rows, scale, edges)
    return _resized_along(resized, 1, columns, scale, edges)


def _scaled_length(length: int, scale: float) -> int:
    # Rounded first: an error in the last digit must not add a pixel.
    return int(np.ceil(round(length * scale, 9)))


def _resized_along(
    image: NDArray[Any], axis: int, length: int, scale: float, edges: Edges
) -> NDArray[Any]:
    """The image with one axis resized, by matrix products over parts that fit into a cache."""
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
    """Two-dimensional views of the image and the result, whose first axis is the one resized."""
    if axis == 0:
        yield image.reshape(image.shape[0], -1), result.reshape(result.shape[0], -1)
        return
    channels = image.reshape(*image.shape[:2], -1)
    result_channels = result.reshape(*result.shape[:2], -1)
    for channel in range(channels.shape[2]):
        yield channels[:, :, channel].T, result_channels[:, :, channel].T


def _put(values: NDArray[Any], target: NDArray[Any]) -> None:
    """Stores floats in the result; clipped and rounded if it has integers."""
    if np.issubdtype(target.dtype, np.integer):
        np.clip(values, 0, np.iinfo(target.dtype).max, out=values)
        values += 0.5  # storing truncates; halves go up, as in MATLAB
    target[...] = values


@dataclass(frozen=True)
class Band:
    """Rows `target` of the result are `matrix` times rows `source` of the image."""

    target: slice
    source: slice
    matrix: NDArray[np.float64]


def _bands(before: int, after: int, scale: float, edges: Edges) -> Iterator[Band]:
    """The resize of an axis from `before` to `after` pixels as bands of few rows each."""
    weights, indices = _taps(before, after, scale, edges)
    step = max(4, int(BAND * min(1.0, scale)))
    for start in range(0, after, step):
        used = indices[start : start + step]
        low, high = int(used.min()), int(used.max()) + 1
        matrix = np.zeros((len(used), high - low))
        # Added, not assigned: at an edge two taps can meet at the same pixel.
        places = np.arange(len(used))[:, None], used - low
        np.add.at(matrix, places, weights[start : start + step])
        yield Band(slice(start, start + len(used)), slice(low, high), matrix)


def _taps(
    before: int, after: int, scale: float, edges: Edges
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The weights and input indices of each output position, both of shape after×taps."""
    widening = min(scale, 1.0)
    width = 4.0 / widening
    centres = (np.arange(after) + 0.5) / scale - 0.5
    first = np.floor(centres - width / 2).astype(np.intp)
    indices = first[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = widening * _cubic(widening * (centres[:, None] - indices))
    weights /= weights.sum(1, keepdims=True)
    used = weights.any(0)  # drops taps that are 0 for all positions
    return weights[:, used], _inside(indices[:, used], before, edges)


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel for a = -0.5, which is 0 beyond 2."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _inside(indices: NDArray[np.intp], length: int, edges: Edges) -> NDArray[np.intp]:
    """Indices that lie outside of 0 … length-1 brought inside."""
    if edges == "clamp":
        return indices.clip(0, length - 1)
    indices = indices % (2 * length)  # … 1 0 | 0 1 2 … length-1 | length-1 length-2 …
    return np.minimum(indices, 2 * length - 1 - indices)


def cropped_to_multiple(hr: NDArray[Any], scale: int) -> NDArray[Any]:
    """The top left of an image (H×W or H×W×C) whose sides are the largest multiples of `scale`.

    A side smaller than `scale` becomes 0.
    """
    height, width = (length // scale * scale for length in hr.shape[:2])
    return hr[:height, :width]


def lr_of(hr: NDArray[Any], scale: int, edges: Edges = "mirror") -> NDArray[Any]:
    """The LR image of an HR image whose sides are multiples of `scale`: bicubic `imresize`."""
    return imresize(hr, scale=1 / scale, edges=edges)
