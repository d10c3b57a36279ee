"""Colours under what is transparent: so that enlarging draws no fringe."""

from __future__ import annotations

import numpy as np

from srup.images.values import Floats, Pixels


def fill_transparent(pixels: Pixels, alpha: Pixels) -> Pixels:
    """The pixels with the colours of what is visible spread under what is fully transparent.

    A file says anything it likes under alpha 0, often black; a network would mix that into the edge
    as a dark fringe. Filled from coarser and coarser averages of the visible pixels (push-pull:
    Gortler et al., "The Lumigraph", SIGGRAPH 1996).
    """
    visible = (alpha > 0)[:, :, None]
    if visible.all() or not visible.any():
        return pixels
    weight = visible.astype(np.float32)
    filled = _push_pull(np.multiply(pixels, weight, dtype=np.float32), weight)
    return np.where(
        visible, pixels, np.round(filled).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    )


def _push_pull(total: Floats, weight: Floats) -> Floats:
    """Where weight is 0, colours from the level above; elsewhere total / weight. Both H×W×C."""
    here = total / np.maximum(weight, 1e-6)
    if weight.all() or max(total.shape[:2]) == 1:
        return here
    above = _push_pull(_halved(total), _halved(weight))
    below = above.repeat(2, 0).repeat(2, 1)[: total.shape[0], : total.shape[1]]
    return np.where(weight > 0, here, below)


def _halved(planes: Floats) -> Floats:
    """Sums over 2×2 pixels; an odd last row or column counts alone."""
    height, width, channels = planes.shape
    even = np.pad(planes, ((0, height % 2), (0, width % 2), (0, 0)))
    return np.asarray(
        even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, channels).sum((1, 3))
    )
