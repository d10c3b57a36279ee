"""RDCAB-RecursiveSRNet, the IPIU 2021 and the Split version (H. Woo and others).

One residual dense block with channel attention is applied U = 9 times; the nine outputs are concatenated and fused (`gff`, here a
running sum), and the first convolution's features are added. The versions differ in the block and in how they enlarge.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks.layers import channel_attention, contrast, conv3, mean_and_deviation, share
from srup.networks.rdn import DenseLayer
from srup.networks.stages import Network, Stage

U = 9


class RDCAB(nn.Module):
    """Eight dense layers, average-pooled attention over all their 576 channels, and a 1×1 fusion."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DenseLayer(64 * (number + 1)) for number in range(8)))
        self.conv_du = channel_attention(576, 36)
        self.lff = nn.Conv2d(576, 64, 1)

    def weigh(self, strips: Iterable[Tensor]) -> Tensor:
        factors: Tensor = self.conv_du(mean_and_deviation(strips)[0])
        return factors


class SplitBlock(nn.Module):
    """Eight layers that each keep 16 channels and append 48 to the next one's input; a fusion; contrast-aware attention."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(8):
            self.add_module(f"layer{number + 1}", nn.Sequential(conv3(64 + 48 * number, 64)))
        self.lff = nn.Conv2d(8 * 16, 64, 1)
        self.conv_du = channel_attention(64, 4)

    def distil(self, x: Tensor) -> Tensor:
        kept = []
        for number in range(1, 9):
            made = F.relu_(self.get_submodule(f"layer{number}")(x))
            kept.append(made[:, :16])
            x = torch.cat([x, made[:, 16:]], 1)
        fused: Tensor = self.lff(torch.cat(kept, 1))
        return fused

    def weigh(self, strips: Iterable[Tensor]) -> Tensor:
        return contrast(self.conv_du, strips)


class Recursion(nn.Module):
    """The block under the name that the checkpoints have for it."""

    def __init__(self, name: str, block: nn.Module) -> None:
        super().__init__()
        self.add_module(name, block)


class RDCABNet(Network):
    """×4, IPIU version: the second convolution's features are added at every recursion, and one shuffle enlarges 4 times.

    Between stages: [image, sum of gff so far (from the second on), the block's 576 channels, of which its input is the first 64].
    """

    scale = 4

    def __init__(self) -> None:
        super().__init__()
        self.sfe1, self.sfe2 = conv3(3, 64), conv3(64, 64)
        self.recursive_SR = nn.ModuleList([Recursion("rdcabs", RDCAB())])
        self.gff = nn.Sequential(nn.Conv2d(64 * U, 64, 1), conv3(64, 64))
        self.upscale = nn.Sequential(conv3(64, 64 * 16), nn.PixelShuffle(4))
        self.output = conv3(64, 3)

    @property
    def block(self) -> RDCAB:
        return cast(RDCAB, self.get_submodule("recursive_SR.0.rdcabs"))

    def stages(self) -> list[Stage]:
        inner = [Stage(partial(self._advance, number), 10, self.block.weigh) for number in range(U - 1)]
        return [Stage(self._enter, 10, self.block.weigh), *inner, Stage(self._leave, 5)]

    def _enter(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [state[0], self.block.layers(self.sfe2(self.sfe1(state[0])))]

    def _advance(self, number: int, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, x = self._fuse(number, state, factors)
        return [state[0], total, self.block.layers(x)]

    def _leave(self, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, _ = self._fuse(U - 1, state, factors)
        return [self.output(self.upscale(self.gff[1](total) + self.sfe1(state[0])))]

    def _fuse(self, number: int, state: list[Tensor], factors: Tensor | None) -> tuple[Tensor, Tensor]:
        assert factors is not None
        image, *carried, dense = state
        x = self.block.lff(dense * factors) + dense[:, :64] + self.sfe2(self.sfe1(image))
        return share(cast(nn.Conv2d, self.gff[0]), number, x, carried[0] if carried else None), x


class Scale(nn.Module):
    """A factor that was learned."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class RDCABSplit(Network):
    """×4, Split version: details in one sub-pixel convolution, scaled, added to the bicubic image.

    Between stages: [image, sum of gff so far, block input (both from the second on), fused map].
    """

    scale = 4

    def __init__(self) -> None:
        super().__init__()
        self.sfe1, self.sfe2 = conv3(3, 64), conv3(64, 64)
        self.recursive_SR = nn.ModuleList([Recursion("rdbs", SplitBlock())])
        self.gff = nn.Sequential(nn.Conv2d(64 * U, 64, 1), conv3(64, 64))
        self.upscale1 = conv3(64, 48)
        self.upscale1_scale = Scale()

    @property
    def block(self) -> SplitBlock:
        return cast(SplitBlock, self.get_submodule("recursive_SR.0.rdbs"))

    def stages(self) -> list[Stage]:
        inner = [Stage(partial(self._advance, number), 8 + 2 * (number == 0), self.block.weigh) for number in range(U - 1)]
        return [Stage(self._enter, 10, self.block.weigh), *inner, Stage(self._leave, 2)]

    def _enter(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [state[0], self.block.distil(self.sfe2(self.sfe1(state[0])))]

    def _advance(self, number: int, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, x = self._fuse(number, state, factors)
        return [state[0], total, x, self.block.distil(x)]

    def _leave(self, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        image = state[0]
        total, _ = self._fuse(U - 1, state, factors)
        details = self.upscale1_scale(self.upscale1(self.gff[1](total) + self.sfe1(image)))
        return [F.pixel_shuffle(details, 4) + F.interpolate(image, scale_factor=4, mode="bicubic")]

    def _fuse(self, number: int, state: list[Tensor], factors: Tensor | None) -> tuple[Tensor, Tensor]:
        assert factors is not None
        image, *carried, fused = state
        total, x = carried or (None, self.sfe2(self.sfe1(image)))
        x = fused * factors + x
        return share(cast(nn.Conv2d, self.gff[0]), number, x, total), x
