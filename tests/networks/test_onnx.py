"""ONNX files: what is found out about them by asking, and what of them is refused."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from srup import networks
from srup.errors import EngineUnavailable, WeightsMismatch
from srup.inference.loading import load
from srup.inference.sight import sight_of
from srup.models import community, costs, registry
from tests.conftest import random_network
from tests.data.draw import draw
from tests.models.onnx_files import LAST, OPEN, Function, saved

if importlib.util.find_spec("openvino") is None:  # importing it would let it report home
    pytest.skip("needs openvino; pip install 'srup[openvino]'", allow_module_level=True)
pytest.importorskip("onnx", reason="torch.onnx.export needs onnx")

from srup.networks import onnx

IMAGE = torch.rand(1, 3, 40, 52, generator=torch.Generator().manual_seed(1))


def test_it_is_what_pytorch_computes(tmp_path: Path) -> None:
    """And as large, as dear and as far-sighted: counted from two sides."""
    model = registry.find("lite")[4]
    network = random_network(model)
    found = onnx.network(saved(tmp_path / "lite.onnx", network))
    assert (found.scale, found.multiple, found.channels) == (4, 1, (3, 3))
    with torch.inference_mode():
        assert (found.enlarged(IMAGE) - network(IMAGE).clamp(0, 1)).abs().max() < 1e-4
    described = community.described(tmp_path / "lite.onnx")
    assert described.multi_adds == pytest.approx(costs.cost(network)[1], rel=0.01)
    assert described.largest == pytest.approx(costs.largest_map(network), rel=0.1)
    assert sight_of(found).reach == sum(stage.margin for stage in network.stages())


def test_a_result_that_forgets_what_is_unknown_is_seen_through(tmp_path: Path) -> None:
    """OpenVINO's ReLU makes a number of NaN."""
    network = Function()
    found = onnx.network(saved(tmp_path / "x.onnx", network))
    sight = sight_of(found)
    assert (sight.reach, sight.period) == (2, 1)
    parameters, _, _ = onnx.costs(found, 64)
    assert parameters == pytest.approx(sum(map(torch.numel, network.parameters())), abs=4)


def test_sides_of_a_multiple(tmp_path: Path) -> None:
    network = Function(
        channels=(12, 12), before=lambda image: nn.functional.pixel_unshuffle(image, 2)
    )
    path = saved(
        tmp_path / "x.onnx",
        nn.Sequential(network, nn.PixelShuffle(2)),
    )
    found = onnx.network(path)
    assert (found.scale, found.multiple) == (2, 2)
    assert load(str(path))(np.zeros((31, 45, 3), np.uint8)).shape == (62, 90, 3)


def bytes_of(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


# name → a network, and an image as it takes it
KINDS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "grey": (lambda: Function(channels=(1, 1)), torch.rand(1, 1, 48, 48)),
    "grey of colours": (lambda: Function(channels=(3, 1)), torch.rand(1, 3, 48, 48)),
    "alpha": (lambda: Function(channels=(4, 4)), torch.rand(1, 4, 48, 48)),
    "half": (
        lambda: Function(before=lambda image: image.float(), after=lambda image: image.half()),
        torch.rand(1, 3, 48, 48).half(),
    ),
    "bytes, channels last": (
        lambda: Function(
            before=lambda image: image.permute(0, 3, 1, 2).float() / 255,
            after=lambda image: bytes_of(image).permute(0, 2, 3, 1),
        ),
        torch.zeros(1, 48, 56, 3, dtype=torch.uint8),
    ),
}
FAST = ("alpha", "bytes, channels last")


@pytest.mark.parametrize(
    "kind",
    [kind if kind in FAST else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS],
)
def test_what_it_takes_and_gives(kind: str, tmp_path: Path) -> None:
    make, example = KINDS[kind]
    path = tmp_path / "x.onnx"
    saved(path, make(), example, axes=LAST if example.shape[-1] == 3 else OPEN)
    found = onnx.network(path)
    enlarged = found.enlarged(IMAGE)
    assert enlarged.shape == (1, 3, 80, 104)
    expected = expected_of(make(), kind, IMAGE)
    assert (enlarged - expected).abs().max() < 5e-3  # bytes and half precision round
    # the same through the engine that runs images, in windows
    upscaler = load(str(path), precision="fp32", tile=32)
    pixels = IMAGE[0].permute(1, 2, 0).numpy().astype(np.float32)
    assert np.abs(upscaler(pixels) - expected[0].permute(1, 2, 0).numpy()).max() < 5e-3


@torch.inference_mode()
def expected_of(network: nn.Module, kind: str, image: Tensor) -> Tensor:
    """What PyTorch makes of colours."""
    if kind == "grey":
        return torch.cat([network(image[:, each, None]) for each in range(3)], 1).clamp(0, 1)
    if kind == "grey of colours":
        return network(image).expand(-1, 3, -1, -1).clamp(0, 1)
    if kind == "alpha":
        opaque = torch.ones_like(image[:, :1])
        return network(torch.cat([image, opaque], 1))[:, :3].clamp(0, 1)
    if kind == "half":
        return network(image.half()).float().clamp(0, 1)
    return network(bytes_of(image).permute(0, 2, 3, 1)).permute(0, 3, 1, 2) / 255


class Two(nn.Module):
    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        return image + other


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "rubbish": (lambda path: path.write_bytes(b"\x08\x07rubbish" * 9), "cannot read"),
    "empty": (lambda path: path.write_bytes(b""), "cannot read"),
    "a single size": (
        lambda path: saved(path, FixedSize(), axes=None),
        "export it with open height and width",
    ),
    "five channels": (
        lambda path: saved(path, Function(channels=(5, 3)), torch.rand(1, 5, 48, 48)),
        "takes 5 channels and gives 3",
    ),
    "no image": (
        lambda path: saved(path, nn.Flatten(), torch.rand(1, 3, 48, 48)),
        "no batch of images",
    ),
    "made smaller": (
        lambda path: saved(path, nn.AvgPool2d(2)),
        "does not enlarge images of any size",
    ),
}


class FixedSize(Function):
    """A network that takes 48×48 pixels alone: a constant of that size is added."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image + torch.linspace(0, 1, 48))


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    make, told = REFUSED[case]
    path = tmp_path / "x.onnx"
    make(path)
    with pytest.raises(WeightsMismatch, match=told):
        onnx.network(path)


def test_two_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    example = torch.rand(1, 3, 48, 48)
    torch.onnx.export(Two(), (example, example), str(path), dynamo=False)
    with pytest.raises(WeightsMismatch, match="it has 2 inputs and 1 outputs"):
        onnx.network(path)


def test_values_in_another_file_are_refused(tmp_path: Path) -> None:
    """Whose name could be any on this machine."""
    import onnx as library

    path = saved(tmp_path / "x.onnx", Function())
    model = library.load(str(path))
    library.save(model, str(path), save_as_external_data=True, location="values", size_threshold=0)
    with pytest.raises(WeightsMismatch, match="keeps its values in another file"):
        onnx.network(path)


def test_windows_are_exact(tmp_path: Path) -> None:
    path = str(saved(tmp_path / "x.onnx", Function()))
    image = np.asarray(draw(150, 120))
    whole = load(path, tile="none", precision="fp32")(image)
    assert whole.std() > 1
    for tile in (32, 50, 96):
        windows = load(path, tile=tile, precision="fp32")(image)
        assert np.abs(windows.astype(int) - whole).max() <= 1


def test_pytorch_does_not_run_it(tmp_path: Path) -> None:
    path = str(saved(tmp_path / "x.onnx", Function()))
    with pytest.raises(EngineUnavailable, match="which PyTorch does not run"):
        load(path, engine="pytorch")
    with pytest.raises(EngineUnavailable, match="cannot be used with OpenVINO") as raised:
        load(path, device="cuda")
    assert "pytorch" not in str(raised.value)
    assert load(path).programs[0].engine == "openvino"


def test_without_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other engine is advised: none runs it."""
    path = saved(tmp_path / "x.onnx", Function())
    monkeypatch.setitem(sys.modules, "openvino", None)
    for module in ("srup.openvino", "srup.networks.onnx"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(networks, "onnx")
    with pytest.raises(EngineUnavailable, match=r"pip install 'srup\[openvino\]'$"):
        community.network(path)
