"""MATLAB's `imresize`, bicubic: what the benchmark images of super-resolution were shrunk with.

Keys' cubic convolution (a = -0.5; R. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 1981),
widened by 1/scale when shrinking so that it also filters; rows first, then columns. On uint8 each pass is rounded, as MATLAB does,
which reproduces its results to the bit; on floats nothing is rounded.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Edges = Literal["mirror", "clamp"]


def imresize(
    image: NDArray[Any], *, scale: float | None = None, size: tuple[int, int] | None = None, edges: Edges = "mirror"
) -> NDArray[Any]:
    """The image (H×W or H×W×C, uint8, uint16 or float) at `scale`, or at `size` = (width, height); its dtype stays.

    With `scale`, sides are `ceil(length·scale)` as in MATLAB. `edges` says what lies outside: "mirror" (MATLAB since R2016) or
    "clamp" (before; the LR images of Set14 were made with it).
    """
    height, width = image.shape[:2]
    if size is None:
        assert scale is not None, "imresize needs scale or size"
        rows, columns = (int(np.ceil(round(length * scale, 9))) for length in (height, width))
        return _along(_along(image, 0, rows, scale, edges), 1, columns, scale, edges)
    columns, rows = size
    return _along(_along(image, 0, rows, rows / height, edges), 1, columns, columns / width, edges)


def _along(image: NDArray[Any], axis: int, length: int, scale: float, edges: Edges) -> NDArray[Any]:
    if length == image.shape[axis] and scale == 1:
        return image
    weights, indices = _taps(image.shape[axis], length, scale, edges)
    working = np.float32 if image.dtype == np.float32 else np.float64
    shape = [1] * image.ndim
    shape[axis] = length
    total = np.zeros((*image.shape[:axis], length, *image.shape[axis + 1 :]), working)
    for weight, index in zip(weights.T.astype(working), indices.T, strict=True):
        total += image.take(index, axis) * weight.reshape(shape)
    if not np.issubdtype(image.dtype, np.integer):
        return total.astype(image.dtype, copy=False)
    np.clip(total, 0, np.iinfo(image.dtype).max, out=total)
    total += 0.5  # halves go up, as MATLAB's round does with positive numbers
    return total.astype(image.dtype)


def _taps(before: int, after: int, scale: float, edges: Edges) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
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
