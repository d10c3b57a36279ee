"""RDSRN, by the author of RDCAB-RecursiveSRNet.

Woo et al.: "Residual Dense Split Recursive Network", ICCE 2022. One block of split dense layers is
applied U = 3 times. Its outputs are concatenated and fused (here as a running sum), enlarged by
sub-pixel convolutions and refined at full size as in LESRCNN; the bicubic image is added. Where
paper and code differ, this file follows the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    share,
    upsampler,
)
from srup.networks.rdcab import Recursion, Scale
from srup.networks.stages import Stage

U = 3
KEPT = 32  # channels that a layer passes on unchanged; the other 32 get two more convolutions
WIDER = {1: 96, 2: 96, 5: 128, 6: 128}  # layer → the channels between those two convolutions


def adapt(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replaces the published weight normalisation by the kernels that it stands for.

    w = g · v / ‖v‖ for each output channel; Salimans, Kingma: "Weight Normalization", NIPS 2016,
    https://arxiv.org/abs/1602.07868.
    """
    folded = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight_v"):
            g = tensors[f"{name[:-1]}g"]
            folded[name[:-2]] = torch._weight_norm(tensor, g, 0)
        elif not name.endswith(".weight_g"):
            folded[name] = tensor
    return folded


class Block(nn.Module):
    """The recursive block: four split dense layers in two residual groups, a fusion, attention."""

    def __init__(self) -> None:
        super().__init__()
        for number, inputs in ((1, 64), (2, 128), (5, 64), (6, 128)):
            self.add_module(f"layer{number}", nn.Sequential(conv3(inputs, 64)))
            first, second = conv3(KEPT, WIDER[number]), conv3(WIDER[number], KEPT)
            further = nn.Sequential(first, nn.ReLU(inplace=True), second)
            # the checkpoint calls what goes further "idle"
            self.add_module(f"idle_layer{number}", further)
            self.add_module(f"res_scale_{number}", Scale())
            self.add_module(f"x_scale_{number}", Scale())
        self.CONCAT_FF_1, self.CONCAT_FF_2 = conv1(128, 64), conv1(192, 64)
        self.conv_du = channel_attention(64, 4)

    def fuse(self, x: Tensor, first: Tensor) -> Tensor:
        """The block up to its attention, N×64×H×W; `first` are the network's first features."""
        c1 = self._layer(1, x, x)
        c2 = self._layer(2, torch.cat([x, c1], 1), c1)
        # letters as in the figure of the paper
        u = torch.cat([x, c2], 1)
        cs = convolved(self.CONCAT_FF_1, u, plus=first)
        c3 = self._layer(5, cs, cs)
        c4 = self._layer(6, torch.cat([cs, c3], 1), c3)
        return convolved(self.CONCAT_FF_2, torch.cat([u, c4], 1), plus=first)

    def _layer(self, number: int, inputs: Tensor, identity: Tensor) -> Tensor:
        x = convolved(self.get_submodule(f"layer{number}.0"), inputs, then=RELU) + identity
        kept, rest = x[:, :KEPT], x[:, KEPT:]
        inside = convolved(self.get_submodule(f"idle_layer{number}.0"), rest, then=RELU)
        further = self.get_submodule(f"idle_layer{number}.2")(inside)
        scaled = self.get_submodule(f"res_scale_{number}")(further)
        scaled.add_(self.get_submodule(f"x_scale_{number}")(rest))
        return torch.cat([kept, scaled], 1)

    @property
    def weigh(self) -> Statistics:
        """Computes the attention's factors, N×64×1×1, from the whole fused map."""
        return contrast(self.conv_du)


class RDSRN(Network):
    """RDSRN at ×2, ×3 or ×4."""

    takes_half = True

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.sfe1, self.sfe2 = conv3(3, 64), conv3(64, 64)
        self.rbs = nn.ModuleList([Recursion("rdbs", Block())])
        self.gff, self.gff_2 = conv1(64 * U, 64), conv3(64, KEPT)
        self.upscale = upsampler(scale, KEPT)
        for number in range(1, 5):
            self.add_module(f"conv17_{number}", nn.Sequential(conv3(KEPT, KEPT, bias=False)))
        self.conv18 = nn.Sequential(conv3(KEPT, 3, bias=False))

    @property
    def block(self) -> Block:
        """The block that is applied U times."""
        return cast(Block, self.get_submodule("rbs.0.rdbs"))

    def stages(self) -> list[Stage[Tensor]]:
        """States: [image, fused], then [image, sum of gff so far, block input, fused]."""
        stages = [Stage(self._enter, 14, self.block.weigh)]
        for number in range(U - 1):
            # the first of these computes the first features again, hence its larger margin
            margin = 14 if number == 0 else 12
            stages.append(Stage(partial(self._advance, number), margin, self.block.weigh))
        # convolutions after the last block: ×4 enlarges twice, on twice as large a map
        return [*stages, Stage(self._leave, {2: 6, 3: 5, 4: 5}[self.scale])]

    def _first(self, image: Tensor) -> Tensor:
        features: Tensor = self.sfe2(self.sfe1(image))
        return features

    def _enter(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        first = self._first(state[0])
        return [state[0], self.block.fuse(first, first)]

    def _advance(self, number: int, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        total, x = self._fuse(number, state, factors)
        return [state[0], total, x, self.block.fuse(x, self._first(state[0]))]

    def _leave(self, state: list[Tensor], factors: Tensor | None) -> list[Tensor]:
        image = state[0]
        total, _ = self._fuse(U - 1, state, factors)
        enlarged = self.upscale(self.gff_2(total + self.sfe1(image)))
        x = enlarged
        for number in range(1, 5):
            x = convolved(self.get_submodule(f"conv17_{number}.0"), x, then=RELU)
        bicubic = F.interpolate(image, scale_factor=self.scale, mode="bicubic")
        return [bicubic.add_(self.conv18(x + enlarged))]

    def _fuse(
        self, number: int, state: list[Tensor], factors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The sum of `gff` including this recursion's share, and the block's output."""
        assert factors is not None
        image, *carried, fused = state
        total, x = carried or (None, self._first(image))
        x = torch.addcmul(x, fused, factors.to(x.dtype))
        return share(self.gff, number, x, total), x
