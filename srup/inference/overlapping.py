"""Windows that overlap and are enlarged each on its own: near the whole, not equal."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from srup.inference.canvas import MapSpec, canvas
from srup.inference.windows import SMALLEST, Window, cuts
from srup.networks.stages import Array
from srup.progress import Progress, ignore

SHAVE = 32  # pixels by which the paper's crops overlap


def cropped(
    enlarge: Callable[[Array], Array],
    image: Array,
    *,
    size: int | None = None,
    multiple: int = 1,
    progress: Progress | None = None,
) -> Array:
    """The IMDN paper's adaptive cropping: overlapping crops enlarged one by one, each with its own
    statistics, the middles joined.

    Four crops, as in the paper, or more where they would exceed `size` pixels a side; sides are
    multiples of `multiple`. The result differs from that of the whole image; `tiling.tiled`
    gives the same.
    """
    height, width = image.shape[-2:]
    crops = list(itertools.product(_crops(height, size, multiple), _crops(width, size, multiple)))
    result: Array | None = None
    for done, ((top, bottom, rows), (left, right, columns)) in enumerate(crops, 1):
        crop, keep = (
            Window(top, left, bottom, right),
            Window(rows[0], columns[0], rows[1], columns[1]),
        )
        enlarged = enlarge(crop.of(image))
        ratio = Fraction(enlarged.shape[-2], crop.height)
        if result is None:
            shape = (*enlarged.shape[:2], int(height * ratio), int(width * ratio))
            result = canvas(MapSpec(shape, enlarged.dtype)).array
        keep.scaled(ratio).of(result)[...] = keep.within(crop).scaled(ratio).of(enlarged)
        if progress:
            progress(done, len(crops))
    assert result is not None
    return result


def _crops(length: int, size: int | None, multiple: int) -> list[tuple[int, int, tuple[int, int]]]:
    """Along one side: where each crop starts and stops, and the part of it that is kept."""
    parts = max(2, math.ceil(length / max(size - 2 * SHAVE, SMALLEST))) if size else 2
    edges = [round(length * part / parts) for part in range(parts + 1)]
    crops = []
    for start, stop in itertools.pairwise(edges):
        crop_start, crop_stop = max(start - SHAVE, 0), min(stop + SHAVE, length)
        excess = (crop_stop - crop_start) % multiple
        if stop == length:
            crop_start += excess
        else:
            crop_stop -= excess
        crops.append((crop_start, crop_stop, (start, stop)))
    return crops


def blended(
    enlarge: Callable[[Array], Array],
    image: Array,
    size: int,
    overlap: int,
    multiple: int = 1,
    progress: Progress = ignore,
) -> NDArray[np.float32]:
    """Windows of an image N×C×H×W enlarged one by one and blended where they overlap.

    For networks that look at the whole image and tell no one what they saw. Windows of about `size`
    pixels a side, no less than twice `overlap`, begin on multiples of `multiple` and are cut with
    `overlap` pixels more on every side. There each gives way to its neighbour linearly. The result
    differs from that of the whole image.
    """
    height, width = image.shape[-2:]
    bounds = Window(0, 0, height, width)
    overlap = math.ceil(overlap / multiple) * multiple
    rows, columns = (_blended_cuts(side, size, overlap, multiple) for side in (height, width))
    result: NDArray[np.float32] | None = None
    for done, ((top, bottom), (left, right)) in enumerate(itertools.product(rows, columns), 1):
        window = Window(top, left, bottom, right)
        around = window.grown(overlap, bounds)
        enlarged = enlarge(around.of(image))
        ratio = enlarged.shape[-1] // around.width
        if result is None:
            shape = (*enlarged.shape[:2], height * ratio, width * ratio)
            result = np.zeros(shape, np.float32)
        down = _weights((around.top, around.bottom), (top, bottom), height, overlap, ratio)
        across = _weights((around.left, around.right), (left, right), width, overlap, ratio)
        around.scaled(Fraction(ratio)).of(result)[...] += enlarged * down[:, None] * across
        progress(done, len(rows) * len(columns))
    assert result is not None, "an image has pixels"
    return result


def _blended_cuts(length: int, size: int, overlap: int, multiple: int) -> list[tuple[int, int]]:
    """Where windows start and stop along one side; all but the last are no shorter than twice
    `overlap`, so that no more than two give way to each other.
    """
    count = math.ceil(length / size)
    if overlap:
        count = max(1, min(count, length // (2 * overlap)))
    return cuts(0, length, math.ceil(length / count), multiple)


def _weights(
    cut: tuple[int, int], window: tuple[int, int], length: int, overlap: int, ratio: int
) -> NDArray[np.float32]:
    """How much each pixel of a window that was `cut` counts along one side, enlarged by `ratio`.

    Within `overlap` pixels of the window's ends the weight falls to 0, but at the ends of the
    image. Weights of neighbours add up to 1.
    """
    place = (np.arange(cut[0] * ratio, cut[1] * ratio) + 0.5) / ratio
    weights = np.ones(len(place))
    if overlap and window[0] > 0:
        weights *= ((place - window[0] + overlap) / (2 * overlap)).clip(0, 1)
    if overlap and window[1] < length:
        weights *= ((window[1] + overlap - place) / (2 * overlap)).clip(0, 1)
    return weights.astype(np.float32)
