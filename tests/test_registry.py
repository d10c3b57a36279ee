from __future__ import annotations

from pathlib import Path

import pytest
import torch

from srup import costs, registry
from srup.errors import ScaleError, UnknownModel, WeightsMismatch
from srup.registry import MODELS, Model
from tests.conftest import model_id, random_network


@pytest.mark.parametrize("model", MODELS, ids=model_id)
def test_rows_say_what_the_network_costs(model: Model) -> None:
    parameters, multi_adds = costs.cost(model)
    assert model.parameters == parameters
    assert model.multi_adds == round(multi_adds, 1)


@pytest.mark.parametrize(("name", "scale", "published"), [("imdn", 2, 158.8), ("imdn", 3, 71.5), ("imdn", 4, 40.9)])
def test_multi_adds_are_those_of_the_papers(name: str, scale: int, published: float) -> None:
    """srup makes IMDN's first features three times over, once where each is needed: 3.5 K more for each input pixel."""
    again = 2 * 64 * 3 * 9 * (1280 * 720 / scale**2) / 1e9
    assert registry.find(name)[scale].multi_adds - again == pytest.approx(published, rel=0.005)


def test_names_and_scales_are_unique() -> None:
    assert len({(model.name, model.scale) for model in MODELS}) == len(MODELS)


@pytest.mark.parametrize(("asked", "hint"), [("imnd", "imdn"), ("IMDN_AS", "imdn-as"), ("Lite", "lite"), ("zzz", "there are")])
def test_an_unknown_name_gets_a_suggestion(asked: str, hint: str) -> None:
    with pytest.raises(UnknownModel, match=hint):
        registry.find(asked)


@pytest.mark.parametrize(
    ("name", "scale", "steps"),
    [
        ("imdn", 1, [2]),
        ("imdn", 2, [2]),
        ("imdn", 2.5, [3]),
        ("imdn", 4, [4]),
        ("imdn", 4.1, [2, 3]),
        ("imdn", 6, [2, 3]),
        ("imdn", 8, [2, 4]),
        ("imdn", 9, [3, 3]),
        ("imdn", 16, [4, 4]),
        ("imdn", 32, [2, 4, 4]),
        ("imdn-rtc", 3, [2, 2]),
        ("imdn-plus", 2, [4]),
        ("imdn-as", 7.7, [0]),
    ],
)
def test_the_least_chain_that_suffices(name: str, scale: float, steps: list[int]) -> None:
    assert [model.scale for model in registry.route(name, scale)] == steps


@pytest.mark.parametrize("scale", [0, 0.5, -2, 33, float("nan"), float("inf")])
def test_scales_out_of_range(scale: float) -> None:
    with pytest.raises(ScaleError):
        registry.route("imdn", scale)


def network(name: str = "imdn-rtc", scale: int = 2) -> registry.Network:  # type: ignore[name-defined]
    return random_network(registry.find(name)[scale])


def test_a_checkpoint_of_ones_own(tmp_path: Path) -> None:
    made = network()
    wrapped = {f"module.{name}": tensor for name, tensor in made.state_dict().items()}
    torch.save(wrapped, tmp_path / "own.pth")
    loaded = registry.load_weights(registry.build(registry.find("imdn-rtc")[2]), tmp_path / "own.pth")
    assert all(torch.equal(tensor, made.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_a_checkpoint_in_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch", reason="needs the extra srup[safetensors]")
    made = network()
    safetensors.save_file(made.state_dict(), tmp_path / "own.safetensors")
    loaded = registry.load_weights(registry.build(registry.find("imdn-rtc")[2]), tmp_path / "own.safetensors")
    assert all(torch.equal(tensor, made.state_dict()[name]) for name, tensor in loaded.state_dict().items())


def test_a_checkpoint_of_another_network(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "own.pth")
    with pytest.raises(WeightsMismatch, match=r"missing fea_conv.*unexpected model\.0\.weight"):
        registry.load_weights(network("imdn", 4), tmp_path / "own.pth")


def test_a_checkpoint_of_another_scale(tmp_path: Path) -> None:
    torch.save(network("imdn", 2).state_dict(), tmp_path / "own.pth")
    with pytest.raises(WeightsMismatch, match=r"upsampler\.0\.weight is \(12, 64, 3, 3\), not \(48, 64, 3, 3\)"):
        registry.load_weights(network("imdn", 4), tmp_path / "own.pth")


def test_what_fits_is_loaded(tmp_path: Path) -> None:
    made = network("imdn", 2)
    torch.save(made.state_dict(), tmp_path / "own.pth")
    started = registry.build(registry.find("imdn")[4])
    assert registry.load_what_fits(started, tmp_path / "own.pth") == ["upsampler.0.weight", "upsampler.0.bias"]
    assert torch.equal(started.state_dict()["LR_conv.weight"], made.state_dict()["LR_conv.weight"])


class Rogue:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("content", ["missing", "garbage", "rogue", "list"])
def test_what_is_no_checkpoint(tmp_path: Path, content: str) -> None:
    path = tmp_path / "own.pth"
    if content == "garbage":
        path.write_bytes(b"garbage")
    elif content != "missing":
        torch.save({"rogue": Rogue(), "list": [1, 2]}[content], path)
    with pytest.raises(WeightsMismatch, match=r"own\.pth"):
        registry.load_weights(network(), path)
