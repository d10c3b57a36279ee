"""Convolutions together with what follows them: an addition, an activation, or both.

PyTorch goes over a map once for the convolution and once more for each of them. oneDNN does them
where the convolution's sums still are in registers, before they are rounded to bfloat16: its
"post-operations", https://uxlfoundation.github.io/oneDNN/dev_guide_attributes_post_ops.html.
PyTorch has operators for that, which it made for its own compiler. They are not public. So they
are tried once in a process, and where they are missing or differ, the plain form is computed.

Only bfloat16 on a processor is computed so. In float32 it would save at most 2 %, and a network
gives bit for bit what its parts give one after the other. Training needs gradients, which these
operators do not have.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

log = logging.getLogger(__name__)

HALF = torch.bfloat16
TRIED_ON = (1, 16, 12, 12)  # N×C×H×W of the map on which the operators are tried
TOLERANCE = 2**-6  # of the largest value: two roundings to bfloat16's 8 bits, and one before


@dataclass(frozen=True)
class Activation:
    """An activation: its name and numbers in oneDNN, and in PyTorch.

    In PyTorch it works in place: only apply it to the fresh result of a convolution.
    """

    name: str
    numbers: tuple[float, ...]
    plain: Callable[[Tensor], Tensor]


RELU = Activation("relu", (), F.relu_)
LEAKY = Activation("leaky_relu", (0.05,), partial(F.leaky_relu_, negative_slope=0.05))
SILU = Activation("swish", (), partial(F.silu, inplace=True))
TRIED = (None, RELU, LEAKY, SILU)


@dataclass(frozen=True)
class Kernel:
    """A convolution's kernel and bias in bfloat16, the kernel in the order that oneDNN likes.

    `version` is that of the weight that it was made of.
    """

    weight: Tensor
    bias: Tensor | None
    version: int


_kernels: WeakKeyDictionary[nn.Module, Kernel] = WeakKeyDictionary()


def convolved(
    conv: nn.Module, x: Tensor, *, plus: Tensor | None = None, then: Activation | None = None
) -> Tensor:
    """Computes `then(conv(x) + plus)`; `plus` has the shape of the result.

    `conv` is a convolution, or what training or an export put in its place.
    """
    if type(conv) is nn.Conv2d and _in_one_pass(x):
        kernel = _kernel(conv, x)
        return _fused(x, kernel.weight, kernel.bias, _geometry(conv), plus, then)
    result: Tensor = conv(x)
    return _followed(result, plus, then)


def convolved_by(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    *,
    dilation: Sequence[int] = (1, 1),
    plus: Tensor | None = None,
) -> Tensor:
    """Convolves without padding, by a kernel that was just made, and adds `plus`."""
    if _in_one_pass(x):
        half = None if bias is None else bias.to(HALF)
        return _fused(x, kernel.to(HALF), half, ((0, 0), (1, 1), dilation, 1), plus, None)
    return _followed(F.conv2d(x, kernel, bias, dilation=tuple(dilation)), plus, None)


def _followed(result: Tensor, plus: Tensor | None, then: Activation | None) -> Tensor:
    if plus is not None:
        result.add_(plus)
    return result if then is None else then.plain(result)


def _in_one_pass(x: Tensor) -> bool:
    """Whether a convolution of `x` would now be computed in bfloat16, on a processor."""
    return (
        torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == HALF
        and x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and usable()
    )


Geometry = tuple[Sequence[int], Sequence[int], Sequence[int], int]


def _geometry(conv: nn.Conv2d) -> Geometry:
    """Padding, stride, dilation and groups, in the order of the operators."""
    assert not isinstance(conv.padding, str)
    return conv.padding, conv.stride, conv.dilation, conv.groups


def _kernel(conv: nn.Conv2d, x: Tensor) -> Kernel:
    """The convolution's kernel, converted when it is first used or when the weight has changed."""
    made = _kernels.get(conv)
    if made is None or made.version != conv.weight._version:
        made = Kernel(
            _reordered(conv.weight.to(HALF), _geometry(conv), x.shape),
            None if conv.bias is None else conv.bias.to(HALF),
            conv.weight._version,
        )
        _kernels[conv] = made
    return made


def _reordered(kernel: Tensor, geometry: Geometry, shape: Sequence[int]) -> Tensor:
    reordered: Tensor = torch.ops.mkldnn._reorder_convolution_weight(kernel, *geometry, shape)
    return reordered


def _fused(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
    plus: Tensor | None,
    then: Activation | None,
) -> Tensor:
    x = x.to(HALF)
    pointwise = torch.ops.mkldnn._convolution_pointwise
    result: Tensor
    if plus is None:
        name, numbers = ("none", ()) if then is None else (then.name, then.numbers)
        result = pointwise(x, kernel, bias, *geometry, name, numbers, "")
        return result
    # after an addition, only this activation is there
    relu = "relu" if then is RELU else None
    added = plus.to(HALF)
    result = pointwise.binary(x, added, kernel, bias, *geometry, "add", None, relu, (), "")
    return result if then is None or relu else then.plain(result)


@cache
def usable() -> bool:
    """Whether PyTorch's operators are there and compute what the plain form does."""
    try:
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            right = all(_right(plus, then) for plus in (False, True) for then in TRIED)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        log.debug("convolutions run alone, as oneDNN's operators do not: %s", error)
        return False
    if not right:
        log.debug("convolutions run alone, as oneDNN's operators compute something else")
    return right


def _right(plus: bool, then: Activation | None) -> bool:
    """Whether a convolution of random numbers, in one pass, is about the same as in float32."""
    random = torch.Generator().manual_seed(0)
    channels = TRIED_ON[1]
    x = torch.randn(TRIED_ON, generator=random).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn((channels, channels, 3, 3), generator=random) / (9 * channels) ** 0.5
    bias, other = torch.randn(channels, generator=random), x.flip(1) if plus else None
    geometry: Geometry = ((1, 1), (1, 1), (1, 1), 1)
    reordered = _reordered(kernel.to(HALF), geometry, x.shape)
    fused = _fused(x, reordered, bias.to(HALF), geometry, other, then)
    plain = _followed(F.conv2d(x, kernel, bias, padding=1), other, then)
    return bool((fused - plain).abs().max() <= TOLERANCE * plain.abs().max())
