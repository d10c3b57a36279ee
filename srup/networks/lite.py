"""`lite`: the network that travels with srup, small enough for a processor without a GPU.

The plan is MDSR's (Lim, Son, Kim, Nah, Lee: "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017,
https://arxiv.org/abs/1707.02921): one body shared by ×2, ×3 and ×4, a head and a tail for each. The body is plain 3×3 convolutions
in residual pairs; a tail predicts the s² pixels under each LR pixel as differences from it, in one sub-pixel convolution
(Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158). No global attention: exact under tiling by its margin alone.
"""

from __future__ import annotations

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.stages import Stage, local

SCALES = (2, 3, 4)


class Pair(nn.Module):
    """Two 3×3 convolutions around a leaky ReLU, and the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.second(F.leaky_relu_(self.first(x), 0.05))
        return inside.add_(x)


class Lite(Network):
    takes_half = True

    def __init__(self, scale: int, channels: int = 48, pairs: int = 6) -> None:
        super().__init__()
        self.scale = scale
        self.heads = nn.ModuleDict({str(s): nn.Conv2d(3, channels, 3, padding=1) for s in SCALES})
        self.body = nn.Sequential(*(Pair(channels) for _ in range(pairs)))
        self.tails = nn.ModuleDict(
            {str(s): nn.Conv2d(channels, 3 * s * s, 3, padding=1) for s in SCALES}
        )
        self.reach = 1 + 2 * pairs + 1  # one pixel for each 3×3 convolution in a row

    def at(self, scale: int) -> Lite:
        bound = copy.copy(self)
        bound.scale = scale
        return bound

    def stages(self) -> list[Stage]:
        return local(self._enlarge, self.reach)

    def _enlarge(self, image: Tensor) -> Tensor:
        features = self.heads[str(self.scale)](image)
        details = self.tails[str(self.scale)](self.body(features).add_(features))
        repeated = F.interpolate(image, scale_factor=self.scale, mode="nearest")
        return repeated.add_(F.pixel_shuffle(details, self.scale))
