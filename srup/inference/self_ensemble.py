"""The geometric self-ensemble of EDSR: an image enlarged in its eight orientations, and the mean.

Lim et al., CVPR Workshops 2017, https://arxiv.org/abs/1707.02921, section 3.4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIENTATIONS = tuple(
    itertools.product((False, True), ((), (2,), (3,), (2, 3)))
)  # transposed or not, the axes that are flipped


def self_ensemble(
    enlarge: Callable[[NDArray[Any]], NDArray[np.float32]], image: NDArray[Any]
) -> NDArray[np.float32]:
    """The mean of what `enlarge` makes of the image N×C×H×W in its eight flips and transposes,
    turned back.
    """
    total: NDArray[np.float32] | None = None
    for transposed, flipped in ORIENTATIONS:
        turned = np.flip(image.swapaxes(2, 3) if transposed else image, flipped)
        enlarged = np.flip(enlarge(_channels_last(turned)), flipped)
        enlarged = enlarged.swapaxes(2, 3) if transposed else enlarged
        if total is None:
            total = enlarged.copy(order="K")
        else:
            total += enlarged
    assert total is not None
    total /= np.float32(len(ORIENTATIONS))
    return total


def _channels_last(image: NDArray[Any]) -> NDArray[Any]:
    """The same values in memory as N×H×W×C."""
    return np.ascontiguousarray(image.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
