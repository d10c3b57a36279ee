"""RDCAB-RecursiveSRNet in its three versions: IPIU 2021, Split, and FD&IRB.

Woo et al., IPIU 2021, https://github.com/HEEJOWOO. One residual dense block with channel attention
is applied U = 9 times; the nine outputs are concatenated and fused (`gff`, here a running sum), and
the first convolution's features are added. The versions differ in the block and in how they
enlarge.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.convolution import RELU, convolved
from srup.networks.layers import (
    Statistics,
    channel_attention,
    contrast,
    conv1,
    conv3,
    in_full,
    scaled_conv,
    share,
    upsampler,
)
from srup.networks.rdn import DenseLayer
from srup.networks.stages import Stage

U = 9


class RDCAB(nn.Module):
    """Eight dense layers, average-pooled attention over their 576 channels, and a 1×1 fusion."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DenseLayer(64 * (number + 1)) for number in range(8)))
        self.conv_du = channel_attention(576, 36)
        self.lff = conv1(576, 64)

    @property
    def weigh(self) -> Statistics:
        """Computes the attention's factors, N×C×1×1, from the whole map."""
        return Statistics(lambda mean, _: self.conv_du(mean))


class SplitBlock(nn.Module):
    """Eight layers that each keep 16 channels and append 48 to the input of the next.

    A 1×1 fusion of what was kept and contrast-aware attention follow.
    """

    def __init__(self) -> None:
        super().__init__()
        for number in range(8):
            self.add_module(f"layer{number + 1}", nn.Sequential(conv3(64 + 48 * number, 64)))
        # what is kept of all layers: 16 channels each
        self.lff = conv1(8 * 16, 64)
        self.conv_du = channel_attention(64, 4)

    def distil(self, x: Tensor) -> Tensor:
        """The block up to its attention, N×64×H×W."""
        kept = []
        for number in range(1, 9):
            made = convolved(self.get_submodule(f"layer{number}.0"), x, then=RELU)
            # the first 16 channels leave the block here, the others feed every later layer
            kept.append(made[:, :16])
            if number < 8:
                x = torch.cat([x, made[:, 16:]], 1)
        fused: Tensor = self.lff(torch.cat(kept, 1))
        return fused

    @property
    def weigh(self) -> Statistics:
        """Computes the attention's factors, N×C×1×1, from the whole map."""
        return contrast(self.conv_du)


class FeatureDistillation(nn.Module):
    """Seven residual dense layers, each distilled to 32 channels by 1×1; an eighth of 32; a fusion.

    The first distillation reads the block's input, the others read the result of their layer.
    """

    def __init__(self) -> None:
        super().__init__()
        for number in range(1, 8):
            self.add_module(f"layer{number}", conv3(64 * number, 64))
            self.add_module(f"layer{number}_sub", conv1(64, 32))
        self.layer8 = conv3(64 * 8, 32)
        self.lff = conv1(8 * 32, 64)
        self.conv_du = channel_attention(64, 4)

    def distil(self, x: Tensor) -> Tensor:
        """The block up to its attention, N×64×H×W."""
        dense, latest, kept = x, x, []
        for number in range(1, 8):
            made = convolved(self.get_submodule(f"layer{number}"), dense, plus=latest, then=RELU)
            # as in the checkpoints, whose first distillation was trained on the input
            source = x if number == 1 else made
            kept.append(self.get_submodule(f"layer{number}_sub")(source))
            dense, latest = torch.cat([dense, made], 1), made
        fused: Tensor = self.lff(torch.cat([*kept, self.layer8(dense)], 1))
        return fused

    @property
    def weigh(self) -> Statistics:
        """Computes the attention's factors, N×C×1×1, from the whole map."""
        return contrast(self.conv_du)


class Recursion(nn.Module):
    """The block under its name in the checkpoints."""

    def __init__(self, name: str, block: nn.Module) -> None:
        super().__init__()
        self.add_module(name, block)


class RDCABNet(Network):
    """The IPIU version at ×4.

    The second convolution's features are added at every recursion; one shuffle enlarges 4 times.
    """

    scale = 4

    def __init__(self) -> None:
        super().__init__()
        self.sfe1, self.sfe2 = conv3(3, 64), conv3(64, 64)
        self.recursive_SR = nn.ModuleList([Recursion("rdcabs", RDCAB())])
        self.gff = nn.Sequential(conv1(64 * U, 64), conv3(64, 64))
        self.upscale = nn.Sequential(conv3(64, 64 * 16), nn.PixelShuffle(4))
        self.output = conv3(64, 3)

    @property
    def block(self) -> RDCAB:
        """The block that is applied U times."""
        return cast(RDCAB, self.get_submodule("recursive_SR.0.rdcabs"))

    def stages(self) -> list[Stage[Tensor]]:
        """States: [image, dense], then [image, sum of gff so far, dense].

        `dense` is the block's 576 channels, of which its input is the first 64.
        """
        weigh = self.block.weigh
        # ten convolutions of 3×3 in a row, two of them for the first features
        inner = [Stage(partial(self._advance, number), 10, weigh) for number in range(U - 1)]
        return [Stage(self._enter, 10, weigh), *inner, Stage(self._leave, 5)]

    def _enter(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [state[0], self.block.layers(self.sfe2(self.sfe1(state[0])))]

    def _advance(self, number: int, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, x = self._fuse(number, state, factors)
        return [state[0], total, self.block.layers(x)]

    def _leave(self, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, _ = self._fuse(U - 1, state, factors)
        features = convolved(self.gff[1], total, plus=self.sfe1(state[0]))
        return [in_full(self.output, self.upscale(features))]

    def _fuse(
        self, number: int, state: list[Tensor], factors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The sum of `gff` including this recursion's share, and the block's output."""
        assert factors is not None
        # the sum is not there yet at the first recursion
        image, *carried, dense = state
        total = carried[0] if carried else None
        x = scaled_conv(self.block.lff, dense, factors)
        x = x.add_(dense[:, :64]).add_(self.sfe2(self.sfe1(image)))
        return share(cast(nn.Conv2d, self.gff[0]), number, x, total), x


class Scale(nn.Module):
    """Multiplication by a learned factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """Multiplies `x` by the factor."""
        return x * self.scale.to(x.dtype)


class Recursive(Network):
    """The Split and the FD&IRB version at ×4, whose block is fused before its attention."""

    scale = 4
    reach = 2  # of _enlarge, in LR pixels

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.sfe1, self.sfe2 = conv3(3, 64), conv3(64, 64)
        self.recursive_SR = nn.ModuleList([Recursion("rdbs", block)])
        self.gff = nn.Sequential(conv1(64 * U, 64), conv3(64, 64))

    @property
    def block(self) -> SplitBlock | FeatureDistillation:
        """The block that is applied U times."""
        return cast("SplitBlock | FeatureDistillation", self.get_submodule("recursive_SR.0.rdbs"))

    def stages(self) -> list[Stage[Tensor]]:
        """States: [image, fused], then [image, sum of gff so far, block input, fused]."""
        stages = [Stage(self._enter, 10, self.block.weigh)]
        for number in range(U - 1):
            # the first of these computes the first features again, hence its larger margin
            margin = 10 if number == 0 else 8
            stages.append(Stage(partial(self._advance, number), margin, self.block.weigh))
        return [*stages, Stage(self._leave, self.reach)]

    def _enter(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [state[0], self.block.distil(self.sfe2(self.sfe1(state[0])))]

    def _advance(self, number: int, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, x = self._fuse(number, state, factors)
        return [state[0], total, x, self.block.distil(x)]

    def _leave(self, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        image = state[0]
        total, _ = self._fuse(U - 1, state, factors)
        details = self._enlarge(convolved(self.gff[1], total, plus=self.sfe1(image)))
        return [F.interpolate(image, scale_factor=4, mode="bicubic").add_(details)]

    def _fuse(
        self, number: int, state: list[Tensor], factors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The sum of `gff` including this recursion's share, and the block's output."""
        assert factors is not None
        image, *carried, fused = state
        total, x = carried or (None, self.sfe2(self.sfe1(image)))
        # the factors are applied here, once they are known from the whole map
        x = torch.addcmul(x, fused, factors.to(x.dtype))
        return share(cast(nn.Conv2d, self.gff[0]), number, x, total), x

    @abstractmethod
    def _enlarge(self, features: Tensor) -> Tensor:
        """The details that are added to the bicubic image, N×3×4H×4W."""


class RDCABSplit(Recursive):
    """The Split version: details from one sub-pixel convolution, times a learned factor."""

    def __init__(self) -> None:
        super().__init__(SplitBlock())
        self.upscale1 = conv3(64, 48)
        self.upscale1_scale = Scale()

    def _enlarge(self, features: Tensor) -> Tensor:
        return F.pixel_shuffle(self.upscale1_scale(self.upscale1(features)), 4)


class RDCABFdirb(Recursive):
    """The FD&IRB version.

    Two shuffles by 2, a 1×1 convolution to 32 channels, and LESRCNN's refinement at full size.
    """

    reach = 4

    def __init__(self) -> None:
        super().__init__(FeatureDistillation())
        self.upscale = upsampler(4, 64)
        self.middle_pointwise = conv1(64, 32)
        for number in range(1, 5):
            self.add_module(f"convIRB_{number}", nn.Sequential(conv3(32, 32, bias=False)))
        self.convIRB = nn.Sequential(conv3(32, 3, bias=False))

    def _enlarge(self, features: Tensor) -> Tensor:
        x = self.middle_pointwise(self.upscale(features))
        for number in range(1, 5):
            x = convolved(self.get_submodule(f"convIRB_{number}.0"), x, then=RELU)
        details: Tensor = self.convIRB(x)
        return details
