"""What three or more of the networks share."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks.stages import Stage

PART = (
    1 << 18
)  # values of a map whose statistics are taken at once: as many as stay in a core's cache


class Shortcut(nn.Module):
    """A module that ends in a convolution, and the identity around it."""

    def __init__(self, sub: nn.Module) -> None:
        super().__init__()
        self.sub = sub

    def forward(self, x: Tensor) -> Tensor:
        inside: Tensor = self.sub(x)
        return inside.add_(x)


def conv3(before: int, after: int, *, bias: bool = True) -> nn.Conv2d:
    """A 3×3 convolution that keeps the sides."""
    return nn.Conv2d(before, after, 3, padding=1, bias=bias)


def conv1(before: int, after: int, *, bias: bool = True) -> nn.Conv2d:
    """A 1×1 convolution.

    Its single tap has no neighbour to be dilated from, so `dilation` changes nothing but who computes it: with one thread PyTorch
    hands plain 1×1 kernels in float32 to a matrix product, a third slower than the convolution that it has for all the others.
    """
    return nn.Conv2d(before, after, 1, dilation=2, bias=bias)


def full(x: Tensor) -> Tensor:
    """In no less than float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def in_full(module: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`module(x)` in float32 whatever autocast says: for what carries colours to the last convolution, and that.

    bfloat16 would cut them to 8 bits. Differences between colours it may hold: they are small.
    """
    kind = x.device.type
    with (
        torch.autocast(kind, enabled=False)
        if torch.amp.is_autocast_available(kind)
        else nullcontext()
    ):
        return module(full(x))


def scaled_conv(conv: nn.Conv2d, x: Tensor, factors: Tensor) -> Tensor:
    """A 1×1 convolution of `x * factors`, N×C×1×1. One image's factors go into the kernel, which spares a pass over the map."""
    if len(x) > 1:
        result: Tensor = conv(x * factors.to(x.dtype))
        return result
    return F.conv2d(x, conv.weight * factors, conv.bias, dilation=conv.dilation)


def mean_shift(sign: int, span: float) -> nn.Conv2d:
    """A 1×1 convolution that adds `sign` times DIV2K's mean colour for values in 0–`span`; part of published checkpoints."""
    shift = conv1(3, 3).requires_grad_(False)
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
    kernel = conv.weight[:, width * number : width * (number + 1)]
    part = F.conv2d(x, kernel, None if number else conv.bias, dilation=conv.dilation)
    return part if total is None else part.add_(total)


def in_steps(blocks: Iterable[nn.Module], reach: int, size: int) -> list[Stage]:
    """Stages over the last tensor of a state, `size` blocks of `reach` pixels each at a time; the others are handed through."""

    def stage(group: nn.Sequential) -> Stage:
        def run(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
            return [*state[:-1], group(state[-1])]

        return Stage(run, reach * len(group))

    listed = list(blocks)
    return [
        stage(nn.Sequential(*listed[start : start + size])) for start in range(0, len(listed), size)
    ]


def mean_and_deviation(strips: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1/N) of each channel of a map, N×C×1×1 both, from its strips in one pass.

    In no less than float32, where squares do not overflow. Parts are joined as Chan, Golub, LeVeque: "Algorithms for computing
    the sample variance" (1983) join samples: their deviations are taken around their own means, so that nothing cancels.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for part in itertools.chain.from_iterable(map(_parts, strips)):
        part = full(part)
        size = part.shape[2] * part.shape[3]
        own = part.mean((2, 3), keepdim=True)
        spread = (part - own).square_().sum((2, 3), keepdim=True)
        apart = own - mean.to(own.device)
        squares = squares.to(own.device) + spread + apart.square() * (count * size / (count + size))
        count += size
        mean = mean.to(own.device) + apart * (size / count)
    return mean, (squares / count).sqrt()


def _parts(strip: Tensor) -> Sequence[Tensor]:
    """Rows of a strip, so many at a time that the four passes over them find them in the cache."""
    if strip.device.type != "cpu":
        return [strip]
    return torch.split(strip, max(1, PART // math.prod(strip[:, :, 0].shape)), 2)


def channel_attention(channels: int, squeezed: int) -> nn.Sequential:
    """From a number per channel to a factor per channel, through a narrow middle."""
    return nn.Sequential(
        nn.Conv2d(channels, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, channels, 1), nn.Sigmoid()
    )


@dataclass(frozen=True)
class Statistics:
    """A summary of each channel's mean and deviation over the whole map: what `weigh` makes of the two, N×C×1×1 each."""

    weigh: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, strips: Iterable[Tensor]) -> Tensor:
        return self.weigh(*mean_and_deviation(strips))


@dataclass(frozen=True)
class WholeMap:
    """A summary that looks at the map in one piece, in no less than float32; for narrow maps."""

    look: Callable[[Tensor], Tensor]

    def __call__(self, strips: Iterable[Tensor]) -> Tensor:
        return self.look(full(torch.cat(list(strips), 2)))


def contrast(attention: Callable[[Tensor], Tensor]) -> Statistics:
    """Contrast-aware channel attention: factors from the sum of deviation and mean over the whole map."""
    return Statistics(lambda mean, deviation: attention(deviation + mean))
