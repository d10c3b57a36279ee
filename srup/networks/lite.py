"""`lite`: the network whose weights come with srup, small enough for a processor without a GPU.

Its design follows MDSR (Lim, Son, Kim, Nah, Lee: "Enhanced Deep Residual Networks for Single Image
Super-Resolution", CVPR Workshops 2017, https://arxiv.org/abs/1707.02921): one body shared by ×2,
×3 and ×4, with a head and a tail for each. The body is residual pairs of plain 3×3 convolutions. A
tail predicts the s² pixels under each LR pixel as differences from it, in one sub-pixel convolution
(Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158). Without attention over the whole image, a
margin is all that exact tiling needs.
"""

from __future__ import annotations

import copy

import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.convolution import LEAKY, convolved
from srup.networks.layers import conv3
from srup.networks.stages import Stage, local

SCALES = (2, 3, 4)


class Pair(nn.Module):
    """A residual block: two 3×3 convolutions with a leaky ReLU between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv3(channels, channels)
        self.second = conv3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Adds the two convolutions' result to `x`."""
        inside = convolved(self.first, x, then=LEAKY)
        return convolved(self.second, inside, plus=x)


class Lite(Network):
    """×2, ×3 and ×4 in one network of 291 K parameters, bound to `scale`."""

    takes_half = True

    def __init__(self, scale: int, channels: int = 48, pairs: int = 6) -> None:
        super().__init__()
        self.scale = scale
        self.heads = nn.ModuleDict({str(s): conv3(3, channels) for s in SCALES})
        self.body = nn.Sequential(*(Pair(channels) for _ in range(pairs)))
        self.tails = nn.ModuleDict({str(s): conv3(channels, 3 * s * s) for s in SCALES})
        self.reach = 1 + 2 * pairs + 1  # one pixel for each 3×3 convolution in a row

    def at(self, scale: int) -> Lite:
        """The same weights at ×2, ×3 or ×4."""
        bound = copy.copy(self)
        bound.scale = scale
        return bound

    def stages(self) -> list[Stage[Tensor]]:
        """A single stage."""
        return local(self._enlarge, self.reach)

    def _enlarge(self, image: Tensor) -> Tensor:
        features = self.heads[str(self.scale)](image)
        details = self.tails[str(self.scale)](self.body(features).add_(features))
        return _laid_out(image, details, self.scale)


def _laid_out(image: Tensor, details: Tensor, scale: int) -> Tensor:
    """The image whose scale² pixels under each pixel of `image` differ from it by `details`.

    The pixel is added before they are laid out, which saves two passes over the result. Channels
    are the last axis meanwhile, as they lie in memory.
    """
    per_colour = details.permute(0, 2, 3, 1).reshape(
        len(image), image.shape[2], image.shape[3], 3, scale**2
    )
    pixels = per_colour + image.permute(0, 2, 3, 1).unsqueeze(4)
    return F.pixel_shuffle(pixels.flatten(3).permute(0, 3, 1, 2), scale)
