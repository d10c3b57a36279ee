"""The OpenVINO engine must agree with the PyTorch engine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srup.errors import EngineUnavailable, UnsoundResult
from srup.files import hashed
from srup.inference.engines import Conversion, Program
from srup.inference.engines.pytorch import bfloat16_bits, program_of
from srup.inference.tiling import tiled
from srup.models import checkpoints, registry
from srup.models.registry import Model
from srup.models.weights import verified
from srup.networks.layers import mean_and_deviation as of_tensors
from srup.networks.stages import pad_to_multiple, whole
from tests.conftest import models, random_network

if importlib.util.find_spec("openvino") is None:  # importing it would let it report home
    pytest.skip("needs openvino; pip install 'srup[openvino]'", allow_module_level=True)

from srup.inference.engines import openvino

SMALL = ("lite", 3), ("imdn", 2), ("imdn-rte", 2), ("lesrcnn", 2), ("rfdn", 2)
MODELS = models(
    lambda model: (model.name, model.scale) not in SMALL,
    [model for model in registry.MODELS if model.parameters < 5e6],
)
Array = NDArray[np.float32]
Made = Callable[..., Program]


@pytest.fixture
def weights(tmp_path: Path) -> Callable[[Model], Path]:
    def written(model: Model) -> Path:
        path = tmp_path / "weights.pth"
        torch.save(random_network(model).state_dict(), path)
        return path

    return written


def lite(scale: int = 2) -> tuple[Model, Path]:
    model = registry.find("lite")[scale]
    return model, verified(model)


def image(height: int, width: int, channels: int = 3) -> Array:
    """Noise 1×C×H×W, channels last in memory."""
    values = np.random.default_rng(0).random((1, height, width, channels), np.float32)
    return values.transpose(0, 3, 1, 2)


PLAIN = Conversion()


def run(
    program: Program,
    source: NDArray[np.generic],
    conversion: Conversion = PLAIN,
    *,
    full: bool = False,
) -> NDArray[np.generic]:
    enlarged: NDArray[np.generic] = pad_to_multiple(
        program, source, lambda padded: whole(program.stages(conversion, full), padded)
    )
    return enlarged


@pytest.mark.parametrize("model", MODELS)
def test_computes_what_pytorch_does(model: Model, weights: Callable[[Model], Path]) -> None:
    ours = openvino.program(model, weights(model), precision="fp32")
    theirs = program_of(random_network(model), device="cpu", precision="fp32")
    for fact in ("scale", "multiple", "smallest", "name"):
        assert getattr(ours, fact) == getattr(theirs, fact)
    for source in (image(26, 39), image(1, 1)):
        expected = run(theirs, source)
        tolerance = 2e-5 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(run(ours, source), expected, atol=tolerance)


@pytest.mark.parametrize("name", ["imdn-as", "rfdn"])
def test_tiled_equals_whole(name: str, weights: Callable[[Model], Path]) -> None:
    model = registry.find(name)[max(registry.find(name))]
    program = openvino.program(model, weights(model), precision="fp32")
    stages, source = program.stages(Conversion(), False), image(132, 120)
    in_windows = tiled(stages, source, 64, workers=2, pool=program.pool)
    expected = whole(stages, source)
    assert np.linalg.norm(in_windows - expected) / np.linalg.norm(expected) < 3e-6


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 1), (np.uint8, 3), (np.uint16, 3)])
def test_integers_go_in_and_come_out(dtype: type, channels: int) -> None:
    levels = int(np.iinfo(dtype).max)
    source = np.rint(image(70, 33, channels) * levels).astype(dtype)
    conversion = Conversion(levels, levels, channels == 1)
    model, path = lite()
    network = checkpoints.load_weights(registry.build(model), path)
    theirs = program_of(network, device="cpu", precision="fp32")
    ours = openvino.program(model, path, precision="bf16" if openvino.has_bfloat16() else "fp32")
    result, expected = run(ours, source, conversion, full=True), run(theirs, source, conversion)
    assert (result.dtype, result.shape) == (dtype, (1, channels, 140, 66))
    assert np.abs(result.astype(int) - expected.astype(int)).max() <= 1


def test_results_under_bfloat16_are_float32(weights: Callable[[Model], Path]) -> None:
    if not openvino.has_bfloat16():
        pytest.skip("needs a processor with bfloat16")
    model = registry.find("lesrcnn")[2]
    path, source = weights(model), image(40, 33)
    exact = run(openvino.program(model, path, precision="fp32"), source)
    half = run(openvino.program(model, path, precision="bf16"), source)
    assert 1e-4 < np.linalg.norm(half - exact) / np.linalg.norm(exact) < 1e-2
    lower_bits = np.ascontiguousarray(half).view(np.uint32) & 0xFFFF
    assert np.count_nonzero(lower_bits) > 0.99 * lower_bits.size


@pytest.mark.parametrize("half", [False, True])
def test_statistics_of_strips(half: bool) -> None:
    values = torch.from_numpy(100 + image(300, 210, 8))
    values = values.contiguous(memory_format=torch.channels_last)
    values = values.bfloat16() if half else values
    array = bfloat16_bits(values) if half else values.numpy()
    strips = [array[:, :, :100], array[:, :, 100:]]
    mean, deviation = openvino.mean_and_deviation(strips, 2)
    expected_mean, expected_deviation = of_tensors([values.double()])
    np.testing.assert_allclose(mean, expected_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(deviation, expected_deviation.numpy(), rtol=1e-5)


def test_infinite_values_are_an_error() -> None:
    with pytest.raises(UnsoundResult):
        run(openvino.program(*lite(), precision="fp32"), image(20, 20) * np.float32("inf"))


WITHOUT_TORCH = """
import sys
from pathlib import Path
import numpy as np
from srup.models import registry
from srup.inference.engines import Conversion, openvino
from srup.models.weights import verified
from srup.networks.stages import whole
model = registry.find("lite")[2]
program = openvino.program(model, verified(model))
result = whole(program.stages(Conversion(255, 255), False), np.zeros((1, 3, 16, 16), np.uint8))
assert result.shape == (1, 3, 32, 32), result.shape
imported = {name.partition(".")[0] for name, module in sys.modules.items() if module}
assert "openvino_telemetry" not in imported
assert "torch" not in sys.modules
"""


def test_runs_without_pytorch_once_exported(cache: Path) -> None:
    openvino.program(*lite())
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        env={**os.environ, "SRUP_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("file", ["manifest.json", "stage0.bin", "stage0.xml"])
def test_a_damaged_export_is_replaced(file: str) -> None:
    folder, facts = openvino.exported(*lite())
    damaged = folder / file
    damaged.write_bytes(damaged.read_bytes()[:-100])
    again, replaced = openvino.exported(*lite())
    assert (again, replaced["stages"]) == (folder, facts["stages"])
    assert {name: hashed(folder / name) for name in facts["files"]} == replaced["files"]
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == [folder.name]


def test_other_weights_are_another_export(weights: Callable[[Model], Path]) -> None:
    model, path = lite()
    assert openvino.exported(model, path)[0] != openvino.exported(model, weights(model))[0]


def test_without_openvino_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    for module in ("srup.openvino", "srup.inference.engines.openvino"):
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(EngineUnavailable, match=r"pip install 'srup\[openvino\]'"):
        import srup.inference.engines.openvino  # noqa: F401


@pytest.mark.parametrize(
    ("options", "advice"),
    [({"device": "cuda"}, "device=cpu"), ({"precision": "fp16"}, "precision=fp32")],
)
def test_unsupported_devices_and_precisions(options: dict[str, Any], advice: str) -> None:
    with pytest.raises(EngineUnavailable, match=advice):
        openvino.program(*lite(), **options)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SRUP_CACHE", str(tmp_path / "file"))
    with pytest.raises(EngineUnavailable, match="SRUP_CACHE"):
        openvino.program(*lite())
