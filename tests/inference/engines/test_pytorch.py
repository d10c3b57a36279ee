from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

import srup
from srup import processor
from srup.errors import UnsoundResult, UsageError
from srup.evaluation.benchmark import Evaluation
from srup.images import Bytes, read_image
from srup.inference.engines import BFLOAT16_BITS, Conversion
from srup.inference.engines.pytorch import (
    bfloat16_bits,
    from_bfloat16_bits,
    from_uint16_bits,
    program_of,
    stages_on,
    uint16_bits,
)
from srup.inference.run_options import Precision, RunOptions
from srup.inference.tiling import tiled
from srup.models import registry
from srup.models.registry import MODELS, Model
from srup.networks import convolution
from srup.networks.stages import Array, Stage, pad_to_multiple, whole
from tests.conftest import evaluated, model_id, models, random_network
from tests.data.draw import draw

COLOURS = np.asarray(draw(90, 70))
EIGHT_BITS = Conversion(255, 255)
Noise = Callable[[int, int], torch.Tensor]
CONVOLUTIONS = ("aten::_convolution", "mkldnn::_convolution_pointwise")  # in PyTorch's profiler
ALONE = {  # activations behind a running sum, a shuffle, or in float32
    "imdn": 1,
    "imdn-as": 2,
    "lesrcnn": 1,
    "lesrcnn-m": 1,
    "rfdn": 13,  # twelve behind an addition: oneDNN knows ReLU there, but no leaky one
}

RELEASED = [row for row in MODELS if row.released and row.scale and row.parameters < 5e6]
published = pytest.mark.parametrize(
    "model", models(lambda model: (model.name, model.scale) != ("lite", 4), RELEASED)
)


@pytest.mark.parametrize(
    "conversion",
    [
        Conversion(255, 255),
        Conversion(65535, 65535),
        Conversion(255, None),
        Conversion(None, 255),
        Conversion(255, 65535, grey=True),
    ],
)
def test_conversions_of_tensors_equal_those_of_arrays(conversion: Conversion) -> None:
    """They are written twice: in NumPy, and in PyTorch for where the network is computed."""
    kind = {255: np.uint8, 65535: np.uint16, None: np.float32}[conversion.before]
    values = np.random.default_rng(0).random((1, 1 if conversion.grey else 3, 9, 7), np.float32)
    image = (values * (conversion.before or 1)).astype(kind)
    brighter = Stage[torch.Tensor](lambda state, _: [state[0] * 1.1 - 0.05], 0)
    (stage,) = stages_on([brighter], conversion=conversion)
    (result,) = stage.run([image], None)
    computed = conversion.preprocess(image) * np.float32(1.1) - np.float32(0.05)
    expected = conversion.postprocess(computed)
    assert result.dtype == expected.dtype and result.shape == expected.shape
    tolerance = 1e-6 if conversion.after is None else 1
    assert np.abs(result.astype(np.float64) - expected).max() <= tolerance
    assert (result == expected).mean() > 0.99 or conversion.after is None


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_windows_of_a_read_only_image_become_channels_last(dtype: type, channels: int) -> None:
    """With the strides by which oneDNN recognises it, or each convolution would copy its input."""
    pixels = np.zeros((40, 30, channels), dtype)
    pixels.flags.writeable = False
    window = pixels[None].transpose(0, 3, 1, 2)[..., 4:24, 5:21]
    received = []

    def run(state: list[torch.Tensor], _: torch.Tensor | None) -> list[torch.Tensor]:
        received.append(state[0])
        return state

    before = np.iinfo(dtype).max if dtype != np.float32 else None
    (stage,) = stages_on([Stage(run, 0)], conversion=Conversion(before=before))
    stage.run([window], None)
    (tensor,) = received
    assert tensor.shape == (1, 3, 20, 16)
    assert tensor.is_contiguous(memory_format=torch.channels_last)
    assert tensor.stride() == (20 * 16 * 3, 1, 16 * 3, 3)


def test_uint16_and_bfloat16_survive_as_bits() -> None:
    pixels = np.array([0, 1, 32767, 32768, 65535], np.uint16)
    assert (from_uint16_bits(uint16_bits(pixels)).numpy() == pixels).all()
    values = torch.tensor([0, -1.5, 3e38, float("inf")], dtype=torch.bfloat16)
    assert (from_bfloat16_bits(bfloat16_bits(values)) == values).all()


def test_bfloat16_maps_pass_between_stages_unchanged() -> None:
    state = torch.rand(1, 4, 5, 6).bfloat16()
    stages = [Stage(lambda _, __: [state], 0), Stage(lambda state, _: [state[0].float()], 0)]
    first, last = stages_on(stages, precision="bf16")
    (array,) = first.run([np.zeros((1, 3, 5, 6), np.float32)], None)
    assert array.dtype == BFLOAT16_BITS
    (result,) = last.run([array], None)
    assert (result == state.float().numpy()).all()


@pytest.mark.parametrize("name", ["lite", "imdn", "rfdn", "lesrcnn"])
def test_windows_in_bfloat16_equal_the_whole(name: str, noise: Noise) -> None:
    """At 8 bits, to one level, in fewer than 1 in 100,000 values."""
    made = program_of(random_network(registry.find(name)[4]), device="cpu", precision="bf16")
    stages = made.stages(Conversion(255, 255), False)
    image = (noise(100, 90).numpy() * 255).astype(np.uint8)
    expected = pad_to_multiple(made, image, lambda padded: tiled(stages, padded))
    result = pad_to_multiple(made, image, lambda padded: tiled(stages, padded, 48))
    difference = np.abs(result.astype(int) - expected)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) * 100_000 <= difference.size


def test_threads_for_windows_compute_alone() -> None:
    """Or on 16 cores 16 windows would share them with 15 others each."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        made = program_of(random_network(registry.find("lite")[2]), device="cpu")
        assert made.workers == 3
        with made.pool(2) as threads:
            assert list(threads.map(lambda _: torch.get_num_threads(), range(4))) == [1] * 4
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_precision_is_what_was_asked_for() -> None:
    full = srup.load("lite", engine="pytorch", device="cpu", precision="fp32")
    half = srup.load("lite", engine="pytorch", device="cpu", precision="bf16")
    assert (full.programs[0].precision, half.programs[0].precision) == ("fp32", "bf16")
    difference = np.abs(full(COLOURS).astype(int) - half(COLOURS))
    assert 0 < difference.max() <= 8
    with pytest.raises(UsageError, match="fp8"):
        srup.load("lite", precision="fp8")


def test_emulated_precisions_log_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "srup"):
        srup.load("lite", engine="pytorch", device="cpu", precision="fp32")
        assert not caplog.records
        srup.load("lite", engine="pytorch", device="cpu", precision="fp16")
    assert "no fp16" in caplog.text


def test_auto_takes_the_fastest_precision() -> None:
    expected = "bf16" if processor.has_bfloat16() else "fp32"
    assert srup.load("lite", engine="pytorch", device="cpu").programs[0].precision == expected


def test_images_of_16_bits_are_computed_in_float32_by_default() -> None:
    sixteen_bit = COLOURS.astype(np.uint16) * 257
    half = srup.load("lite", engine="pytorch", device="cpu", precision="bf16")
    full = srup.load("lite", engine="pytorch", device="cpu", precision="fp32")(sixteen_bit)
    assert (replace(half, precision="auto")(sixteen_bit) == full).all()
    assert (half(sixteen_bit) != full).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_an_error(value: float) -> None:
    (stage,) = stages_on([Stage(lambda state, _: [state[0] + value], 0)])
    with pytest.raises(UnsoundResult):
        whole([stage], np.zeros((1, 3, 4, 4), np.float32))


@published
def test_bfloat16_costs_at_most_a_hundredth_of_a_decibel(
    model: Model, shared: Path, checkpoints: Path
) -> None:
    """On Set14, for the networks that "auto" computes in bfloat16."""
    if model.urls and not (shared / "weights" / model.file).exists():
        pytest.skip(f"needs {model.file} in {shared / 'weights'}")
    if not registry.build(model).takes_half:
        pytest.skip(f"{model.name} stays in float32")

    def psnr(precision: Precision) -> float:
        options = RunOptions(engine="pytorch", device="cpu", precision=precision)
        evaluation = Evaluation(model.name, model.scale, run_options=options)
        return evaluated(evaluation, shared, "Set14").psnr

    full, half = psnr("fp32"), psnr("bf16")
    print(f"{model_id(model)}: {half - full:+.4f} dB")
    assert full - half <= 0.01


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", sorted({row.name for row in MODELS if 0 < row.parameters < 1.3e6}))
def test_pixels_of_a_file_are_convolved_as_those_of_an_array(
    name: str, precision: Precision, tmp_path: Path
) -> None:
    """Arrays of files are read-only; convolutions must not copy their maps for it."""
    draw(40, 40).save(tmp_path / "picture.png")
    pixels = read_image(tmp_path / "picture.png").pixels
    assert not pixels.flags.writeable
    rows = registry.find(name)
    network = registry.build(rows[max(rows)])
    stages = program_of(network, device="cpu", precision=precision).stages(EIGHT_BITS, False)
    copied = copied_maps(stages, pixels)
    assert copied == copied_maps(stages, pixels.copy())
    if name in ("lesrcnn", "lite") and precision == "bf16":  # others cut maps into parts
        assert not copied


@pytest.mark.skipif(not convolution.usable(), reason="oneDNN has no bfloat16 on this processor")
@pytest.mark.parametrize("name", sorted({row.name for row in MODELS if 0 < row.parameters < 1.3e6}))
def test_in_bfloat16_convolutions_take_their_activations_along(name: str) -> None:
    """None goes over a map once more, except behind what is no convolution."""
    rows = registry.find(name)
    network = registry.build(rows[max(rows)])
    stages = program_of(network, device="cpu", precision="bf16").stages(EIGHT_BITS, False)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        whole(stages, COLOURS[None].transpose(0, 3, 1, 2))
    events = [event.name for event in profiled.events()]
    alone = [event for event in events if event.endswith(("relu_", "silu_"))]
    assert "mkldnn::_convolution_pointwise" in events
    assert len(alone) == ALONE.get(name, 0)


def copied_maps(stages: list[Stage[Array]], pixels: Bytes) -> list[tuple[int, ...]]:
    """The shapes of the maps that convolutions copy before they run."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        whole(stages, pixels[None].transpose(0, 3, 1, 2))
    convolutions = [event for event in profiled.events() if event.name in CONVOLUTIONS]
    assert convolutions, "no convolution was seen"
    shapes = [shape for event in convolutions for shape in _copied(event)]
    return [shape for shape in shapes if shape[-1] > 5]  # kernels are no larger


def _copied(event: FunctionEvent) -> Iterator[tuple[int, ...]]:
    for child in event.cpu_children:
        if child.name in ("aten::copy_", "aten::clone"):
            yield tuple(child.input_shapes[0])
        yield from _copied(child)
