"""What three or more of the networks share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks.stages import Stage


class Shortcut(nn.Module):
    """A module and the identity around it."""

    def __init__(self, sub: nn.Module) -> None:
        super().__init__()
        self.sub = sub

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.sub(x)
        return x + inside


def conv3(before: int, after: int, *, bias: bool = True) -> nn.Conv2d:
    """A 3×3 convolution that keeps the sides."""
    return nn.Conv2d(before, after, 3, padding=1, bias=bias)


def mean_shift(sign: int, span: float) -> nn.Conv2d:
    """A 1×1 convolution that adds `sign` times DIV2K's mean colour for values in 0–`span`; part of published checkpoints."""
    shift = nn.Conv2d(3, 3, 1).requires_grad_(False)
    with torch.no_grad():
        shift.weight.copy_(torch.eye(3)[:, :, None, None])
        shift.bias.copy_(sign * span * torch.tensor([0.4488, 0.4371, 0.4040]))  # type: ignore[union-attr]
    return shift


def upsampler(scale: int, channels: int) -> nn.Sequential:
    """Convolutions and pixel shuffles that enlarge a map 2, 3, 4 or 8 times, as in EDSR: by 3 at once, else by 2 at a time.

    W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network",
    CVPR 2016, https://arxiv.org/abs/1609.05158.
    """
    steps = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
    pairs = [(conv3(channels, channels * step**2), nn.PixelShuffle(step)) for step in steps]
    return nn.Sequential(*itertools.chain.from_iterable(pairs))


def share(conv: nn.Conv2d, number: int, x: Tensor, total: Tensor | None = None) -> Tensor:
    """A 1×1 convolution over the concatenation of maps, one map at a time: `total` and the share of map `number` (from 0).

    In place of the maps, many times 64 channels, only their running sum is kept.
    """
    width = x.shape[1]
    part = F.conv2d(x, conv.weight[:, width * number : width * (number + 1)], None if number else conv.bias)
    return part if total is None else total + part


def in_steps(blocks: Iterable[nn.Module], reach: int, size: int) -> list[Stage]:
    """Stages over the last tensor of a state, `size` blocks of `reach` pixels each at a time; the others are handed through."""

    def stage(group: nn.Sequential) -> Stage:
        def run(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            return [*state[:-1], group(state[-1])]

        return Stage(run, reach * len(group))

    listed = list(blocks)
    return [stage(nn.Sequential(*listed[start : start + size])) for start in range(0, len(listed), size)]


def mean_and_deviation(strips: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1/N) of each channel of a map, N×C×1×1 both, from its strips in one pass.

    In no less than float32, where squares do not overflow. Strips are joined as Chan, Golub, LeVeque: "Algorithms for computing
    the sample variance" (1983) join samples: their deviations are taken around their own means, so that nothing cancels.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for strip in strips:
        strip = strip.to(torch.promote_types(strip.dtype, torch.float32))
        size = strip.shape[2] * strip.shape[3]
        own = strip.mean((2, 3), keepdim=True)
        spread = (strip - own).square_().sum((2, 3), keepdim=True)
        apart = own - mean.to(own.device)
        squares = squares.to(own.device) + spread + apart.square() * (count * size / (count + size))
        count += size
        mean = mean.to(own.device) + apart * (size / count)
    return mean, (squares / count).sqrt()


def channel_attention(channels: int, squeezed: int) -> nn.Sequential:
    """From a number per channel to a factor per channel, through a narrow middle."""
    return nn.Sequential(nn.Conv2d(channels, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, channels, 1), nn.Sigmoid())


@dataclass(frozen=True)
class Statistics:
    """A summary of each channel's mean and deviation over the whole map: what `weigh` makes of the two, N×C×1×1 each."""

    weigh: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, strips: Iterable[Tensor]) -> Tensor:
        return self.weigh(*mean_and_deviation(strips))


@dataclass(frozen=True)
class WholeMap:
    """A summary that looks at the map in one piece, which is for narrow maps."""

    look: Callable[[Tensor], Tensor]

    def __call__(self, strips: Iterable[Tensor]) -> Tensor:
        return self.look(torch.cat(list(strips), 2))


def contrast(attention: Callable[[Tensor], Tensor]) -> Statistics:
    """Contrast-aware channel attention: factors from the sum of deviation and mean over the whole map."""
    return Statistics(lambda mean, deviation: attention(deviation + mean))
