"""Convolutions with what follows them, in bfloat16, against the same in float32 and in parts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srup.networks import convolution
from srup.networks.convolution import LEAKY, RELU, SILU, Activation, convolved, convolved_by

ROUNDING = 2**-7  # of the largest value: inputs, kernels and result are rounded to bfloat16
CONVOLUTIONS = {
    "3×3": nn.Conv2d(12, 20, 3, padding=1),
    "1×1, dilated": nn.Conv2d(12, 20, 1, dilation=2),
    "5×5": nn.Conv2d(12, 12, 5, padding=2),
    "stride": nn.Conv2d(12, 20, 3, stride=2, padding=1),
    "no bias": nn.Conv2d(12, 12, 3, padding=1, bias=False),
}
needs_onednn = pytest.mark.skipif(
    not convolution.usable(), reason="oneDNN has no bfloat16 on this processor"
)


def noise(channels: int, seed: int = 0) -> Tensor:
    image = torch.randn((1, channels, 17, 14), generator=torch.Generator().manual_seed(seed))
    return image.contiguous(memory_format=torch.channels_last)


def in_parts(conv: nn.Conv2d, x: Tensor, plus: Tensor | None, then: Activation | None) -> Tensor:
    result = F.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation)
    result = result if plus is None else result + plus
    functions = {RELU: F.relu, LEAKY: lambda x: F.leaky_relu(x, 0.05), SILU: F.silu}
    return result if then is None else functions[then](result)


def half(x: Tensor) -> Tensor:
    return x.bfloat16().float()


@pytest.mark.parametrize("then", [None, RELU, LEAKY, SILU])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("conv", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
class TestOfAll:
    def test_float32_is_what_the_parts_give(
        self, conv: nn.Conv2d, added: bool, then: Activation | None
    ) -> None:
        with torch.inference_mode():
            plus = conv(noise(12, 1)) if added else None
            expected = in_parts(conv, noise(12), plus, then)
            assert torch.equal(convolved(conv, noise(12), plus=plus, then=then), expected)

    @needs_onednn
    def test_bfloat16_is_that_to_rounding(
        self, conv: nn.Conv2d, added: bool, then: Activation | None
    ) -> None:
        with torch.inference_mode():
            plus = half(conv(noise(12, 1))) if added else None
            expected = in_parts(conv, half(noise(12)), plus, then)
            with torch.autocast("cpu", torch.bfloat16):
                result = convolved(conv, noise(12), plus=plus, then=then)
        assert result.dtype == torch.bfloat16
        assert result.is_contiguous(memory_format=torch.channels_last)
        assert (result.float() - expected).abs().max() <= ROUNDING * expected.abs().max()


@needs_onednn
@pytest.mark.parametrize("added", [False, True])
def test_a_kernel_that_was_just_made(added: bool) -> None:
    kernel, plus = torch.randn(20, 12, 1, 1), half(noise(20, 1)) if added else None
    bias = torch.randn(20)
    with torch.inference_mode():
        expected = F.conv2d(noise(12), kernel, bias) + (0 if plus is None else plus)
        assert torch.equal(convolved_by(noise(12), kernel, bias, plus=plus), expected)
        with torch.autocast("cpu", torch.bfloat16):
            result = convolved_by(noise(12), kernel, bias, plus=plus)
    assert (result.float() - expected).abs().max() <= ROUNDING * expected.abs().max()


@needs_onednn
def test_a_weight_that_changes_is_converted_again() -> None:
    conv = nn.Conv2d(12, 12, 3, padding=1)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        before = convolved(conv, noise(12), then=RELU)
    conv.load_state_dict({"weight": -conv.weight, "bias": -conv.bias})  # type: ignore[operator]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        after = convolved(conv, noise(12), then=RELU)
    assert ((before > 0) ^ (after > 0)).float().mean() > 0.99


def test_training_in_bfloat16_has_gradients() -> None:
    conv = nn.Conv2d(12, 12, 3, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        convolved(conv, noise(12), plus=noise(12, 1), then=LEAKY).sum().backward()
    assert conv.weight.grad is not None and conv.weight.grad.abs().max() > 0


@pytest.fixture
def tried_anew() -> Iterator[None]:
    """The operators are tried once in a process: they are, in the test and after it."""
    convolution.usable.cache_clear()
    yield
    convolution.usable.cache_clear()


def absent(*_: object) -> Tensor:
    raise NotImplementedError("Could not run 'mkldnn::_convolution_pointwise'")


def wrong(x: Tensor, *_: object) -> Tensor:
    return x


@pytest.mark.usefixtures("tried_anew")
@pytest.mark.parametrize("operator", [absent, wrong])
def test_the_plain_form_where_the_operators_are_missing_or_wrong(
    operator: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = CONVOLUTIONS["3×3"]
    monkeypatch.setattr(torch.ops.mkldnn, "_convolution_pointwise", operator)
    assert not convolution.usable()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = F.relu(conv(noise(12)))
        assert torch.equal(convolved(conv, noise(12), then=RELU), expected)
