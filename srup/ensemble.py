"""The geometric self-ensemble of EDSR: an image enlarged in its eight orientations, and the mean.

Lim et al., CVPR Workshops 2017, https://arxiv.org/abs/1707.02921, section 3.4.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from torch import Tensor

ORIENTATIONS = tuple(itertools.product((False, True), ((), (2,), (3,), (2, 3))))  # transposed or not, the axes that are flipped


def self_ensemble(enlarge: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """The mean of what `enlarge` makes of the image N×C×H×W in its eight flips and transposes, turned back."""
    total: Tensor | None = None
    for transposed, flipped in ORIENTATIONS:
        turned = (image.transpose(2, 3) if transposed else image).flip(flipped)
        enlarged = enlarge(turned.contiguous()).flip(flipped)
        enlarged = enlarged.transpose(2, 3) if transposed else enlarged
        total = enlarged.clone() if total is None else total.add_(enlarged)
    assert total is not None
    return total.div_(len(ORIENTATIONS))
