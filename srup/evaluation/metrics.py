"""PSNR and SSIM on float arrays in 0–255.

Which planes are compared, with what border and rounding, is up to the caller; see `protocols`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]
WINDOW = 11  # pixels a side of SSIM's Gaussian
STRIP = 128  # rows that are computed at once, so that intermediate arrays stay small


def luma(rgb: Values) -> NDArray[np.float64]:
    """Y of BT.601 in studio range (16–235), H×W, from RGB H×W×3 in 0–255.

    It is MATLAB's rgb2ycbcr before rounding.
    """
    return np.asarray(rgb @ np.array([65.481, 128.553, 24.966]) / 255 + 16)


def psnr(a: Values, b: Values, *, border: int = 0) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 255; inf for equal images.

    `border` pixels are left out on each side.
    """
    a, b = shaved(a, border), shaved(b, border)
    sums = []
    for top in range(0, a.shape[0], STRIP):
        strip = slice(top, top + STRIP)
        sums.append(float(np.square(a[strip].astype(np.float64) - b[strip]).sum()))
    error = math.fsum(sums) / a.size
    if error == 0:
        return math.inf
    return float(10 * np.log10(255**2 / error))


def ssim(a: Values, b: Values, *, border: int = 0) -> float:
    """Mean structural similarity of two H×W images, `border` pixels left out on each side.

    Wang, Bovik, Sheikh, Simoncelli: "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004. The mean is over all positions where the 11×11 Gaussian of σ 1.5
    fits; K₁ = 0.01, K₂ = 0.03. Sides must be at least 11 after the border is left out.
    """
    x = shaved(a, border).astype(np.float64)
    y = shaved(b, border).astype(np.float64)
    rows, columns = int(x.shape[0]) - WINDOW + 1, int(x.shape[1]) - WINDOW + 1
    sums = []
    for top in range(0, rows, STRIP):
        # Each strip reaches WINDOW - 1 rows into the next, so that no position is missed.
        strip = slice(top, min(top + STRIP, rows) + WINDOW - 1)
        sums.append(float(_similarity(x[strip], y[strip]).sum()))
    return math.fsum(sums) / (rows * columns)


def _similarity(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The index at every position where the window fits."""
    mu_x, mu_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mu_x**2, _blurred(y * y) - mu_y**2
    covariance = _blurred(x * y) - mu_x * mu_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    alike = (2 * mu_x * mu_y + c1) * (2 * covariance + c2)
    return np.asarray(alike / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2)))


def shaved(image: Values, border: int) -> Values:
    """The image without `border` pixels on each side."""
    return image[border : image.shape[0] - border, border : image.shape[1] - border]


def _blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Gaussian-weighted mean at every position where the window fits."""
    kernel = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    rows = np.lib.stride_tricks.sliding_window_view(image, WINDOW, 0) @ kernel
    return np.asarray(np.lib.stride_tricks.sliding_window_view(rows, WINDOW, 1) @ kernel)
