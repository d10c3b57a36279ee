"""RFDN.

Liu, Tang, Wu: "Residual Feature Distillation Network for Lightweight Image Super-Resolution",
AIM 2020 (ECCV Workshops), https://arxiv.org/abs/2009.11551. Blocks distil by 1×1 convolutions
beside residual 3×3 ones (SRB), and end in enhanced spatial attention (ESA), which pools the map on
a grid of 6 pixels and stretches the coarse map over the image again.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.convolution import LEAKY, convolved
from srup.networks.layers import WholeMap, conv1, conv3, in_full, share
from srup.networks.stages import Stage


class ESA(nn.Module):
    """Enhanced spatial attention: a factor for each value, from a coarse view of the whole map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.conv1 = conv1(channels, narrow)
        self.conv_f = conv1(narrow, narrow)
        self.conv_max = conv3(narrow, narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride=2)
        self.conv3 = conv3(narrow, narrow)
        self.conv3_ = conv3(narrow, narrow)
        self.conv4 = conv1(narrow, channels)

    @property
    def summary(self) -> WholeMap:
        """Computes `coarse` from the whole narrow map."""
        return WholeMap(self.coarse)

    def coarse(self, narrow: Tensor) -> Tensor:
        """The coarse view of the whole narrow map, stretched to its height and width."""
        x = F.max_pool2d(self.conv2(narrow), 7, stride=3)
        x = self.conv3_(F.relu(self.conv3(F.relu(self.conv_max(x)))))
        return F.interpolate(x, narrow.shape[-2:], mode="bilinear", align_corners=False)

    def weigh(self, x: Tensor, narrow: Tensor, coarse: Tensor) -> Tensor:
        """Multiplies a map by its factors; `narrow` and `coarse` have a quarter of its channels."""
        factors: Tensor = self.conv4(convolved(self.conv_f, narrow, plus=coarse))
        return x * factors.sigmoid_()


class RFDB(nn.Module):
    """RFDN's block: three distillation steps, a fusion, and the attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        for number in range(1, 4):
            self.add_module(f"c{number}_d", conv1(channels, half))
            self.add_module(f"c{number}_r", conv3(channels, channels))
        self.c4 = conv3(channels, half)
        self.c5 = conv1(4 * half, channels)
        self.esa = ESA(channels)

    def distil(self, x: Tensor) -> list[Tensor]:
        """The block up to its attention: the fused map, and the narrow one for the attention."""
        parts = []
        for number in range(1, 4):
            parts.append(convolved(self.get_submodule(f"c{number}_d"), x, then=LEAKY))
            x = convolved(self.get_submodule(f"c{number}_r"), x, plus=x, then=LEAKY)
        parts.append(convolved(self.c4, x, then=LEAKY))
        fused = self.c5(torch.cat(parts, 1))
        return [fused, self.esa.conv1(fused)]


class RFDN(Network):
    """RFDN at ×2, ×3 or ×4, with colours in 0–255 inside.

    The fusion `c` over the outputs of the four blocks is kept as a running sum.
    """

    takes_half = True
    smallest = 15  # on smaller images the grid of the attention has no cell

    def __init__(self, scale: int, channels: int = 50) -> None:
        super().__init__()
        self.scale = scale
        self.fea_conv = conv3(3, channels)
        for number in range(1, 5):
            self.add_module(f"B{number}", RFDB(channels))
        self.c = nn.Sequential(conv1(4 * channels, channels), nn.LeakyReLU(0.05, inplace=True))
        self.LR_conv = conv3(channels, channels)
        self.upsampler = nn.Sequential(conv3(channels, 3 * scale**2), nn.PixelShuffle(scale))

    @property
    def blocks(self) -> list[RFDB]:
        """The four blocks."""
        return [cast(RFDB, self.get_submodule(f"B{number}")) for number in range(1, 5)]

    def stages(self) -> list[Stage[Tensor]]:
        """States: [image, fused, narrow], then [image, sum of c so far, fused, narrow]."""
        summaries = [block.esa.summary for block in self.blocks]
        inner = [
            Stage(partial(self._advance, number), 4, summary)
            for number, summary in enumerate(summaries[1:])
        ]
        return [Stage(self._enter, 5, summaries[0]), *inner, Stage(self._leave, 2)]

    def _enter(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [state[0], *self.blocks[0].distil(self._features(state[0]))]

    def _advance(self, number: int, state: list[Tensor], coarse: Tensor | None) -> list[Tensor]:
        total, x = self._fuse(number, state, coarse)
        return [state[0], total, *self.blocks[number + 1].distil(x)]

    def _leave(self, state: list[Tensor], coarse: Tensor | None) -> list[Tensor]:
        total, _ = self._fuse(3, state, coarse)
        details = in_full(self._features, state[0]) + self.LR_conv(self.c[1](total))
        return [in_full(self.upsampler, details) / 255]

    def _features(self, image: Tensor) -> Tensor:
        features: Tensor = self.fea_conv(image * 255)
        return features

    def _fuse(
        self, number: int, state: list[Tensor], coarse: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The sum of `c` including this block's share, and the block's output."""
        assert coarse is not None
        _, *carried, fused, narrow = state
        total = carried[0] if carried else None
        x = self.blocks[number].esa.weigh(fused, narrow, coarse)
        return share(cast(nn.Conv2d, self.c[0]), number, x, total), x
