"""Bicubic interpolation as a network of any scale, to compare the others with.

Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE TASSP 1981,
https://doi.org/10.1109/TASSP.1981.1163711.
"""

from __future__ import annotations

from torch import Tensor

from srup.networks.base import Network
from srup.networks.stages import Stage, local


class Bicubic(Network):
    """Adds nothing: a network of any scale gets its image interpolated to the final size."""

    def stages(self) -> list[Stage[Tensor]]:
        return local(_unchanged, margin=0)


def _unchanged(image: Tensor) -> Tensor:
    return image.clone()
