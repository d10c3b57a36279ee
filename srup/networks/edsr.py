"""EDSR and MDSR.

Lim, Son, Kim, Nah, Lee: "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPR Workshops 2017,
https://arxiv.org/abs/1707.02921. Residual blocks without normalisation, colours in 0–255 around DIV2K's mean.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from srup.networks.base import Network
from srup.networks.layers import conv3, in_full, in_steps, mean_shift, upsampler
from srup.networks.stages import Stage

SCALES = (2, 3, 4)  # of MDSR
GROUP = 4  # blocks to a stage: a margin of 8 px, for the price of parking two maps


class ResBlock(nn.Module):
    def __init__(self, channels: int, *, kernel: int = 3, factor: float = 1.0) -> None:
        super().__init__()
        first, second = (
            nn.Conv2d(channels, channels, kernel, padding=kernel // 2) for _ in range(2)
        )
        self.body = nn.Sequential(first, nn.ReLU(inplace=True), second)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.body(x)
        return torch.add(x, inside, alpha=self.factor) if self.factor != 1 else inside.add_(x)


class EDSR(Network):
    """×2, ×3, ×4: the baseline with 16 blocks of 64 channels, the full network with 32 of 256 and a residual factor of 0.1."""

    def __init__(
        self, scale: int, channels: int = 64, blocks: int = 16, factor: float = 1.0
    ) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean, self.add_mean = mean_shift(-1, 255), mean_shift(1, 255)
        self.head = nn.Sequential(conv3(3, channels))
        self.body = nn.Sequential(
            *(ResBlock(channels, factor=factor) for _ in range(blocks)), conv3(channels, channels)
        )
        self.tail = nn.Sequential(upsampler(scale, channels), conv3(channels, 3))

    def stages(self) -> list[Stage]:
        """Between stages: [image, features so far]; the first features are made anew from the image where the skip ends."""
        *blocks, last = self.body

        def preprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            return [state[0], self._features(state[0])]

        def postprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            details = last(state[1]).add_(self._features(state[0]))
            return [
                in_full(nn.Sequential(self.tail[1], self.add_mean), self.tail[0](details)) / 255
            ]

        return [Stage(preprocess, 1), *in_steps(blocks, 2, GROUP), Stage(postprocess, 3)]

    def _features(self, image: Tensor) -> Tensor:
        features: Tensor = self.head(self.sub_mean(image * 255))
        return features


class MDSR(Network):
    """One body for ×2, ×3 and ×4: 16 blocks in the baseline, 80 in full; for each scale two 5×5 blocks before and an upsampler."""

    def __init__(self, scale: int, blocks: int = 16, channels: int = 64) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean, self.add_mean = mean_shift(-1, 255), mean_shift(1, 255)
        self.head = nn.Sequential(conv3(3, channels))
        self.pre_process = nn.ModuleList(
            nn.Sequential(ResBlock(channels, kernel=5), ResBlock(channels, kernel=5))
            for _ in SCALES
        )
        self.body = nn.Sequential(
            *(ResBlock(channels) for _ in range(blocks)), conv3(channels, channels)
        )
        self.upsample = nn.ModuleList(upsampler(s, channels) for s in SCALES)
        self.tail = nn.Sequential(conv3(channels, 3))

    def at(self, scale: int) -> MDSR:
        bound = copy.copy(self)
        bound.scale = scale
        return bound

    def stages(self) -> list[Stage]:
        """Between stages: [what the body began with, features so far]."""
        *blocks, last = self.body
        number = SCALES.index(self.scale)
        prepare, upsample = self.pre_process[number], self.upsample[number]

        def preprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            prepared = prepare(self.head(self.sub_mean(state[0] * 255)))
            return [prepared, prepared]

        def postprocess(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            enlarged = upsample(last(state[1]).add_(state[0]))
            return [in_full(nn.Sequential(self.tail, self.add_mean), enlarged) / 255]

        return [Stage(preprocess, 1 + 4 * 2), *in_steps(blocks, 2, GROUP), Stage(postprocess, 3)]
