"""EDSR and MDSR.

Lim, Son, Kim, Nah, Lee: "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR
Workshops 2017, https://arxiv.org/abs/1707.02921. Residual blocks without normalisation; colours in
0–255 from which DIV2K's mean is subtracted.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.convolution import RELU, convolved
from srup.networks.layers import conv3, in_full, in_steps, mean_shift, upsampler
from srup.networks.stages import Stage

SCALES = (2, 3, 4)  # of MDSR
GROUP = 4  # blocks per stage: keeps the margin at 8 pixels, but two maps between stages


class ResBlock(nn.Module):
    """Two convolutions with a ReLU between them, scaled by `factor` and added to the input."""

    def __init__(self, channels: int, *, kernel: int = 3, factor: float = 1.0) -> None:
        super().__init__()
        first = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        second = nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
        self.body = nn.Sequential(first, nn.ReLU(inplace=True), second)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Computes `factor · body(x) + x`."""
        inside = convolved(self.body[0], x, then=RELU)
        if self.factor == 1:
            return convolved(self.body[2], inside, plus=x)
        return torch.add(x, self.body[2](inside), alpha=self.factor)


class EDSR(Network):
    """EDSR at ×2, ×3 or ×4; by default the baseline.

    The full network has 32 blocks of 256 channels and a residual factor of 0.1.
    """

    def __init__(
        self, scale: int, channels: int = 64, blocks: int = 16, factor: float = 1.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean, self.add_mean = mean_shift(-1, 255), mean_shift(1, 255)
        self.head = nn.Sequential(conv3(3, channels))
        residual = (ResBlock(channels, factor=factor) for _ in range(blocks))
        self.body = nn.Sequential(*residual, conv3(channels, channels))
        self.tail = nn.Sequential(upsampler(scale, channels), conv3(channels, 3))

    def stages(self) -> list[Stage[Tensor]]:
        """States: [image, features so far].

        The long skip's features are computed again from the image, which is cheaper than keeping
        them.
        """
        *blocks, last = self.body

        def preprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            return [state[0], self._features(state[0])]

        def postprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            features = convolved(last, state[1], plus=self._features(state[0]))
            colours = nn.Sequential(self.tail[1], self.add_mean)
            return [in_full(colours, self.tail[0](features)) / 255]

        return [Stage(preprocess, 1), *in_steps(blocks, 2, GROUP), Stage(postprocess, 3)]

    def _features(self, image: Tensor) -> Tensor:
        features: Tensor = self.head(self.sub_mean(image * 255))
        return features


class MDSR(Network):
    """MDSR: one body for ×2, ×3 and ×4, with two 5×5 blocks and an upsampler for each scale.

    By default the baseline of 16 blocks; the full network has 80.
    """

    def __init__(self, scale: int, blocks: int = 16, channels: int = 64) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean, self.add_mean = mean_shift(-1, 255), mean_shift(1, 255)
        self.head = nn.Sequential(conv3(3, channels))
        self.pre_process = nn.ModuleList()
        for _ in SCALES:
            pair = ResBlock(channels, kernel=5), ResBlock(channels, kernel=5)
            self.pre_process.append(nn.Sequential(*pair))
        residual = (ResBlock(channels) for _ in range(blocks))
        self.body = nn.Sequential(*residual, conv3(channels, channels))
        self.upsample = nn.ModuleList(upsampler(s, channels) for s in SCALES)
        self.tail = nn.Sequential(conv3(channels, 3))

    def at(self, scale: int) -> MDSR:
        """The same weights at ×2, ×3 or ×4."""
        bound = copy.copy(self)
        bound.scale = scale
        return bound

    def stages(self) -> list[Stage[Tensor]]:
        """States: [the body's input, features so far]."""
        *blocks, last = self.body
        number = SCALES.index(self.scale)
        prepare, upsample = self.pre_process[number], self.upsample[number]

        def preprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            prepared = prepare(self.head(self.sub_mean(state[0] * 255)))
            return [prepared, prepared]

        def postprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            enlarged = upsample(convolved(last, state[1], plus=state[0]))
            return [in_full(nn.Sequential(self.tail, self.add_mean), enlarged) / 255]

        return [Stage(preprocess, 1 + 4 * 2), *in_steps(blocks, 2, GROUP), Stage(postprocess, 3)]
