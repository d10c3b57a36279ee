"""Layers and summaries that three or more of the networks share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from srup.networks.convolution import convolved, convolved_by
from srup.networks.stages import Stage

PART = 1 << 18  # values of a map whose statistics are taken at once: they fit a core's cache
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)  # RGB in [0, 1]


class Shortcut(nn.Module):
    """Modules of which the last is a convolution, with a residual connection around them."""

    def __init__(self, sub: nn.Sequential) -> None:
        super().__init__()
        self.sub = sub

    def forward(self, x: Tensor) -> Tensor:
        """Computes `sub(x) + x`."""
        return convolved(self.sub[-1], self.sub[:-1](x), plus=x)


def conv3(before: int, after: int, *, bias: bool = True) -> nn.Conv2d:
    """A 3×3 convolution from `before` to `after` channels that keeps height and width."""
    return nn.Conv2d(before, after, 3, padding=1, bias=bias)


def conv1(before: int, after: int, *, bias: bool = True) -> nn.Conv2d:
    """A 1×1 convolution from `before` to `after` channels.

    A kernel with one tap computes the same at any dilation. The dilation of 2 only selects another
    implementation: with one thread PyTorch hands plain 1×1 kernels in float32 to a matrix product,
    a third slower than the convolution that it uses for all other kernels.
    """
    return nn.Conv2d(before, after, 1, dilation=2, bias=bias)


def full(x: Tensor) -> Tensor:
    """Converts half precision to float32; float32 and float64 stay as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def in_full(module: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Computes `module(x)` in float32 even inside autocast.

    For whatever carries colours to the last convolution, and for that convolution: bfloat16 would
    cut colours to 8 bits. It may hold differences between colours, which are small.
    """
    with _without_autocast(x.device.type):
        return module(full(x))


def _without_autocast(kind: str) -> AbstractContextManager[object]:
    if torch.amp.is_autocast_available(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def scaled_conv(
    conv: nn.Conv2d, x: Tensor, factors: Tensor, *, plus: Tensor | None = None
) -> Tensor:
    """A 1×1 convolution of `x * factors`, where `factors` is N×C×1×1, and `plus` added to it.

    For a single image the factors go into the kernel, which saves a pass over the map.
    """
    if len(x) > 1:  # each image has factors of its own
        return convolved(conv, x * factors.to(x.dtype), plus=plus)
    kernel = conv.weight * factors
    return convolved_by(x, kernel, conv.bias, dilation=conv.dilation, plus=plus)


def mean_shift(sign: int, span: float) -> nn.Conv2d:
    """A 1×1 convolution that adds `sign` times the mean colour of DIV2K to values in [0, `span`].

    It is not trained, but published checkpoints contain it.
    """
    shift = conv1(3, 3).requires_grad_(False)
    assert shift.bias is not None
    with torch.no_grad():
        shift.weight.copy_(torch.eye(3)[:, :, None, None])
        shift.bias.copy_(sign * span * torch.tensor(DIV2K_MEAN))
    return shift


def upsampler(scale: int, channels: int) -> nn.Sequential:
    """Sub-pixel convolutions that enlarge a map 2, 3, 4 or 8 times, as in EDSR.

    ×3 takes one step, the other scales take steps of ×2. Shi et al.: "Real-Time Single Image and
    Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016,
    https://arxiv.org/abs/1609.05158.
    """
    steps = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
    layers: list[nn.Module] = []
    for step in steps:
        layers += [conv3(channels, channels * step**2), nn.PixelShuffle(step)]
    return nn.Sequential(*layers)


def share(conv: nn.Conv2d, number: int, x: Tensor, total: Tensor | None = None) -> Tensor:
    """Adds one map's share of a 1×1 convolution over concatenated maps to the running sum.

    `x` is map `number` (from 0) of the concatenation, `total` the sum over the maps before it.
    Only this sum has to be kept between stages, instead of all maps.
    """
    width = x.shape[1]
    kernel = conv.weight[:, width * number : width * (number + 1)]
    bias = conv.bias if number == 0 else None  # the bias is added once
    return convolved_by(x, kernel, bias, dilation=conv.dilation, plus=total)


def in_steps(blocks: Sequence[nn.Module], reach: int, size: int) -> list[Stage[Tensor]]:
    """Stages of `size` blocks each over the last tensor of a state; passes the others on.

    Every block sees `reach` pixels far.
    """
    groups = [nn.Sequential(*blocks[start : start + size]) for start in range(0, len(blocks), size)]
    return [_step(group, reach * len(group)) for group in groups]


def _step(group: nn.Sequential, margin: int) -> Stage[Tensor]:
    def run(state: list[Tensor], _: Tensor | None) -> list[Tensor]:
        return [*state[:-1], group(state[-1])]

    return Stage(run, margin)


def mean_and_deviation(strips: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1/N) of each channel of a map, N×C×1×1 each, in one pass.

    Computed in float32 at least, where squares do not overflow. The statistics of parts are joined
    as in Chan, Golub, LeVeque: "Algorithms for computing the sample variance" (1983): deviations
    are taken around each part's own mean, which avoids cancellation.
    """
    count, mean, squares = 0, torch.zeros(()), torch.zeros(())
    for part in _parts(strips):
        part = full(part)
        size = part.shape[2] * part.shape[3]
        own = part.mean((2, 3), keepdim=True)
        spread = (part - own).square_().sum((2, 3), keepdim=True)
        apart = own - mean.to(own.device)
        squares = squares.to(own.device) + spread + apart.square() * (count * size / (count + size))
        count += size
        mean = mean.to(own.device) + apart * (size / count)
    return mean, (squares / count).sqrt()


def _parts(strips: Iterable[Tensor]) -> Iterator[Tensor]:
    """Splits strips into blocks of rows that stay in the cache for the four passes over them."""
    for strip in strips:
        if strip.device.type == "cpu":
            yield from torch.split(strip, max(1, PART // math.prod(strip[:, :, 0].shape)), 2)
        else:
            yield strip


def channel_attention(channels: int, squeezed: int) -> nn.Sequential:
    """Maps a number per channel to a factor per channel in [0, 1], through `squeezed` channels."""
    return nn.Sequential(
        nn.Conv2d(channels, squeezed, 1), nn.ReLU(), nn.Conv2d(squeezed, channels, 1), nn.Sigmoid()
    )


@dataclass(frozen=True)
class Statistics:
    """A summary that depends on each channel's mean and deviation over the whole map.

    `weigh(mean, deviation)` takes both as N×C×1×1 and returns the context.
    """

    weigh: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, strips: Iterable[Tensor]) -> Tensor:
        """The context, from the strips of a finished map."""
        return self.weigh(*mean_and_deviation(strips))


@dataclass(frozen=True)
class WholeMap:
    """A summary that needs the map in one piece, in float32 at least; for maps of few channels."""

    look: Callable[[Tensor], Tensor]

    def __call__(self, strips: Iterable[Tensor]) -> Tensor:
        """The context, from the strips of a finished map."""
        return self.look(full(torch.cat(list(strips), 2)))


def contrast(attention: Callable[[Tensor], Tensor]) -> Statistics:
    """Contrast-aware attention: applied to the sum of deviation and mean over the whole map."""
    return Statistics(lambda mean, deviation: attention(deviation + mean))
