"""Fills transparent pixels with the colours around them, so that enlarging makes no fringe."""

from __future__ import annotations

import numpy as np

from srup.images.values import Floats, Pixels


def fill_transparent(pixels: Pixels, alpha: Pixels) -> Pixels:
    """The pixels H×W×C with the colours of visible ones spread over those of alpha 0.

    A file may have any colour under alpha 0, often black, and a network would mix it into the edge
    as a dark fringe. Filled from coarser and coarser averages of the visible pixels (push-pull:
    Gortler et al., "The Lumigraph", SIGGRAPH 1996).
    """
    visible = (alpha > 0)[:, :, None]
    if visible.all() or not visible.any():
        return pixels
    weight = visible.astype(np.float32)
    filled = _push_pull(np.multiply(pixels, weight, dtype=np.float32), weight)
    largest = np.iinfo(pixels.dtype).max
    return np.where(visible, pixels, np.round(filled).clip(0, largest).astype(pixels.dtype))


def _push_pull(total: Floats, weight: Floats) -> Floats:
    """total / weight, and where the weight is 0 the same of a level of half the size.

    `total` (H×W×C) is a sum of colours, `weight` (H×W×1) the number of pixels in it.
    """
    here = total / np.maximum(weight, 1e-6)  # no division by 0; the value is not used there
    if weight.all() or max(total.shape[:2]) == 1:
        return here
    above = _push_pull(_halved(total), _halved(weight))
    below = above.repeat(2, 0).repeat(2, 1)[: total.shape[0], : total.shape[1]]
    return np.where(weight > 0, here, below)


def _halved(planes: Floats) -> Floats:
    """Sums of 2×2 pixels; an odd last row or column is added to zeros."""
    height, width, channels = planes.shape
    even = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)))
    squares = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, channels)
    return np.asarray(squares.sum((1, 3)))
