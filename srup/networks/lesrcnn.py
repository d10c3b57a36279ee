"""LESRCNN.

Tian, Zhuge, Wu, Xu, Zuo, Chen, Lin: "Lightweight image super-resolution with enhanced CNN",
Knowledge-Based Systems 2020, https://arxiv.org/abs/2007.04344. Seventeen layers, alternately 3×3
and 1×1 with a residual sum at each 1×1 (IEEB); one sub-pixel upsampler applied to the last and the
first of them (RB); four 3×3 convolutions at full size that refine the result (IRB).
"""

from __future__ import annotations

import copy
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.convolution import RELU, convolved
from srup.networks.layers import conv1, conv3, in_full, mean_shift, upsampler
from srup.networks.stages import Stage, local

SCALES = (2, 3, 4)  # of LESRCNN-M


class Shift(nn.Module):
    """The mean shift under its name in the checkpoints."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.shifter = mean_shift(sign, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Adds the mean colour, or subtracts it."""
        shifted: Tensor = self.shifter(x)
        return shifted


class Upsampler(nn.Module):
    """The sub-pixel upsampler under its name in the checkpoints."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.body = upsampler(scale, 64)

    def both(self, one: Tensor, other: Tensor) -> Tensor:
        """Enlarges two maps and adds the results.

        The upsampler is affine, so the sum of the maps is enlarged once, with every bias doubled.
        """
        x = one + other
        for layer in self.body:
            x = _doubly_biased(layer, x) if isinstance(layer, nn.Conv2d) else layer(x)
        return x


def _doubly_biased(conv: nn.Conv2d, x: Tensor) -> Tensor:
    assert conv.bias is not None
    return F.conv2d(x, conv.weight, 2 * conv.bias, padding=conv.padding)


class LESRCNN(Network):
    """LESRCNN at ×2, ×3 or ×4."""

    loss = "l2"
    takes_half = True

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean, self.add_mean = Shift(-1), Shift(1)
        self.conv1 = nn.Sequential(conv3(3, 64, bias=False))
        for number in range(2, 18):
            layer = conv1(64, 64, bias=False) if number % 2 else conv3(64, 64, bias=False)
            self.add_module(f"conv{number}", nn.Sequential(layer))
        for number in range(1, 5):
            self.add_module(f"conv17_{number}", nn.Sequential(conv3(64, 64, bias=False)))
        self.conv18 = nn.Sequential(conv3(64, 3, bias=False))
        self.upsample = nn.ModuleDict(self._upsamplers())

    def _upsamplers(self) -> dict[str, nn.Module]:
        return {"up": Upsampler(self.scale)}

    def _upsampler(self) -> Upsampler:
        return cast(Upsampler, self.upsample["up"])

    def stages(self) -> list[Stage[Tensor]]:
        """A single stage."""
        return local(self._enlarge, {2: 13, 3: 12, 4: 12}[self.scale])

    def _enlarge(self, image: Tensor) -> Tensor:
        first = convolved(self.conv1[0], self.sub_mean(image), then=RELU)
        x = F.relu_(self._upsampler().both(self._enhance(first), first))
        for number in range(1, 5):
            x = convolved(self.get_submodule(f"conv17_{number}.0"), x, then=RELU)
        return in_full(nn.Sequential(self.conv18, self.add_mean), x)

    def _enhance(self, first: Tensor) -> Tensor:
        """Layers 2 to 17, with a residual sum and a ReLU at each 1×1."""
        x = first
        for number in range(2, 18, 2):
            inside = convolved(self.get_submodule(f"conv{number}.0"), x, then=RELU)
            x = convolved(self.get_submodule(f"conv{number + 1}.0"), inside, plus=x, then=RELU)
        return x


class LESRCNN_M(LESRCNN):
    """One network for three scales, with an upsampler for each."""

    takes_half = False  # there are no weights to measure it with

    def _upsamplers(self) -> dict[str, nn.Module]:
        return {f"up{scale}": Upsampler(scale) for scale in SCALES}

    def _upsampler(self) -> Upsampler:
        return cast(Upsampler, self.upsample[f"up{self.scale}"])

    def at(self, scale: int) -> LESRCNN_M:
        """The same weights at ×2, ×3 or ×4."""
        bound = copy.copy(self)
        bound.scale = scale
        return bound
