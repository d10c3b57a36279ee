"""RDN.

Zhang, Tian, Kong, Zhong, Fu: "Residual Dense Network for Image Super-Resolution", CVPR 2018,
https://arxiv.org/abs/1802.08797. D = 16 residual dense blocks of C = 8 layers, G = G₀ = 64.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.convolution import RELU, convolved
from srup.networks.layers import conv1, conv3, in_full, share, upsampler
from srup.networks.stages import Stage

D, C, G = 16, 8, 64


EDSR_PYTORCH = (  # pattern of a name there, the name here
    (r"SFENet(\d)\.", r"sfe\1."),
    (r"RDBs\.(\d+)\.convs\.(\d)\.conv\.0\.", r"rdbs.\1.layers.\2.conv."),
    (r"RDBs\.(\d+)\.LFF\.", r"rdbs.\1.lff."),
    (r"GFF\.", "gff."),
    (r"UPNet\.(\d)\.", r"upscale.\1."),
)


def adapt(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts a checkpoint of EDSR-PyTorch to the layout used here; returns others unchanged.

    In EDSR-PyTorch the last convolution is part of the upsampler, and colours are in 0–255: that
    factor goes into the first and the last convolution.
    """
    if "SFENet1.weight" not in tensors:
        return dict(tensors)
    last = max(name.split(".")[1] for name in tensors if name.startswith("UPNet."))
    renamed = {}
    for name, tensor in tensors.items():
        own = name.replace(f"UPNet.{last}.", "output.")
        for pattern, replacement in EDSR_PYTORCH:
            own = re.sub(f"^{pattern}", replacement, own)
        renamed[own] = tensor
    # their network works on 0–255, ours on 0–1
    factors = {"sfe1.weight": 255.0, "output.weight": 1 / 255, "output.bias": 1 / 255}
    return {name: tensor * factors.get(name, 1) for name, tensor in renamed.items()}


class DenseLayer(nn.Module):
    """A 3×3 convolution and ReLU whose result is concatenated to its input."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.conv = conv3(before, G)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W → N×(C + 64)×H×W."""
        return torch.cat([x, convolved(self.conv, x, then=RELU)], 1)


class RDB(nn.Module):
    """A residual dense block: C dense layers, fused by a 1×1 convolution, added to the input."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DenseLayer(G * (number + 1)) for number in range(C)))
        self.lff = conv1(G * (C + 1), G)

    def forward(self, x: Tensor) -> Tensor:
        """Adds the fusion of the dense layers to `x`."""
        return convolved(self.lff, self.layers(x), plus=x)


class RDN(Network):
    """RDN at ×2, ×3 or ×4.

    The global fusion `gff` over the outputs of the sixteen blocks is kept as a running sum.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.sfe1, self.sfe2 = conv3(3, G), conv3(G, G)
        self.rdbs = nn.ModuleList(RDB() for _ in range(D))
        # over all blocks: as one map of 16 · 64 channels it would be most of the memory
        self.gff = nn.Sequential(conv1(G * D, G), conv3(G, G))
        self.upscale = upsampler(scale, G)
        self.output = conv3(G, 3)

    def stages(self) -> list[Stage[Tensor]]:
        """States: [image, sum of gff so far, features]."""
        # C convolutions of 3×3 in each block
        inner = [Stage(partial(self._advance, number), C) for number in range(1, D)]
        return [Stage(self._enter, 2 + C), *inner, Stage(self._leave, 3)]

    def _enter(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        x = self.rdbs[0](self.sfe2(self.sfe1(state[0])))
        return [state[0], share(cast(nn.Conv2d, self.gff[0]), 0, x), x]

    def _advance(self, number: int, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        image, total, x = state
        x = self.rdbs[number](x)
        return [image, share(cast(nn.Conv2d, self.gff[0]), number, x, total), x]

    def _leave(self, state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        image, total, _x = state
        features = convolved(self.gff[1], total, plus=self.sfe1(image))
        return [in_full(self.output, self.upscale(features))]
