from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import srup
from srup import processor
from srup.errors import UnsoundResult, UsageError
from srup.evaluation.benchmark import Evaluation
from srup.inference.engines import Conversion
from srup.inference.engines.pytorch import program_of, stages_on
from srup.inference.run_options import RunOptions
from srup.inference.tiling import tiled
from srup.models import registry
from srup.models.registry import MODELS, Model
from srup.networks.stages import Stage, pad_to_multiple, whole
from tests.conftest import evaluated, model_id, random_network
from tests.data.draw import draw

COLOURS = np.asarray(draw(90, 70))
Noise = Callable[[int, int], torch.Tensor]

published = pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            model,
            id=model_id(model),
            marks=[] if model.name == "lite" and model.scale == 4 else [pytest.mark.slow],
        )
        for model in MODELS
        if model.released and model.scale and model.parameters < 5e6
    ],
)


@pytest.mark.parametrize(
    "ends",
    [
        Conversion(255, 255),
        Conversion(65535, 65535),
        Conversion(255, None),
        Conversion(None, 255),
        Conversion(255, 65535, grey=True),
    ],
)
def test_both_ends_on_the_device_are_those_in_numpy(conversion: Conversion) -> None:
    """The same conversions are written twice: for arrays, and for tensors where the network is computed."""
    kind = {255: np.uint8, 65535: np.uint16, None: np.float32}[conversion.before]
    values = np.random.default_rng(0).random((1, 1 if conversion.grey else 3, 9, 7), np.float32)
    image = (values * (conversion.before or 1)).astype(kind)
    (stage,) = stages_on(
        [Stage(lambda state, _: [state[0] * 1.1 - 0.05], 0)], conversion=conversion
    )
    (result,) = stage.run([image], None)
    expected = conversion.postprocess(
        conversion.preprocess(image) * np.float32(1.1) - np.float32(0.05)
    )
    assert result.dtype == expected.dtype and result.shape == expected.shape
    assert np.abs(result.astype(np.float64) - expected).max() <= (
        1e-6 if conversion.after is None else 1
    )
    assert (result == expected).mean() > 0.99 or conversion.after is None


def test_maps_of_bfloat16_come_and_go_as_they_are() -> None:
    state = torch.rand(1, 4, 5, 6).bfloat16()
    stages = [Stage(lambda _, __: [state], 0), Stage(lambda state, _: [state[0].float()], 0)]
    first, last = stages_on(stages, precision="bf16")
    (array,) = first.run([np.zeros((1, 3, 5, 6), np.float32)], None)
    assert array.dtype == np.int16
    (result,) = last.run([array], None)
    assert (result == state.float().numpy()).all()


@pytest.mark.parametrize("name", ["lite", "imdn", "rfdn", "lesrcnn"])
def test_windows_in_bfloat16_equal_the_whole(name: str, noise: Noise) -> None:
    """On 8 bits, to a level, in fewer than 1 in 100,000 values."""
    made = program_of(random_network(registry.find(name)[4]), device="cpu", precision="bf16")
    stages, image = (
        made.stages(Conversion(255, 255), False),
        (noise(100, 90).numpy() * 255).astype(np.uint8),
    )
    expected = pad_to_multiple(made, image, lambda padded: tiled(stages, padded)).astype(int)
    difference = np.abs(
        pad_to_multiple(made, image, lambda padded: tiled(stages, padded, 48)) - expected
    )
    assert difference.max() <= 1
    assert np.count_nonzero(difference) * 100_000 <= difference.size


def test_precision_is_what_was_asked_for() -> None:
    full, half = (
        srup.load("lite", engine="pytorch", device="cpu", precision=each)
        for each in ("fp32", "bf16")
    )
    assert (full.programs[0].precision, half.programs[0].precision) == ("fp32", "bf16")
    difference = np.abs(full(COLOURS).astype(int) - half(COLOURS))
    assert 0 < difference.max() <= 8
    with pytest.raises(UsageError, match="fp8"):
        srup.load("lite", precision="fp8")


def test_a_precision_that_is_imitated_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "srup"):
        srup.load("lite", engine="pytorch", device="cpu", precision="fp32")
        assert not caplog.records
        srup.load("lite", engine="pytorch", device="cpu", precision="fp16")
    assert "no fp16" in caplog.text


def test_auto_takes_what_the_processor_is_fast_at() -> None:
    expected = "bf16" if processor.has_bfloat16() else "fp32"
    assert srup.load("lite", engine="pytorch", device="cpu").programs[0].precision == expected


def test_sixteen_bits_stay_in_full_unless_told_otherwise() -> None:
    deep = COLOURS.astype(np.uint16) * 257
    half = srup.load("lite", engine="pytorch", device="cpu", precision="bf16")
    full = srup.load("lite", engine="pytorch", device="cpu", precision="fp32")(deep)
    assert (replace(half, precision="auto")(deep) == full).all()
    assert (half(deep) != full).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_result(value: float) -> None:
    (stage,) = stages_on([Stage(lambda state, _: [state[0] + value], 0)])
    with pytest.raises(UnsoundResult):
        whole([stage], np.zeros((1, 3, 4, 4), np.float32))


@published
def test_bfloat16_costs_at_most_a_hundredth_of_a_decibel(
    model: Model, shared: Path, checkpoints: Path
) -> None:
    """Of the networks that "auto" takes it for, on Set14."""
    if model.urls and not (shared / "weights" / model.file).exists():
        pytest.skip(f"needs {model.file} in {shared / 'weights'}")
    if not registry.build(model).takes_half:
        pytest.skip(f"{model.name} stays in float32")
    jobs = [
        Evaluation(
            model.name,
            model.scale,
            run_options=RunOptions(engine="pytorch", device="cpu", precision=each),
        )
        for each in ("fp32", "bf16")
    ]
    full, half = (evaluated(job, shared, "Set14").psnr for job in jobs)
    print(f"{model_id(model)}: {half - full:+.4f} dB")
    assert full - half <= 0.01
