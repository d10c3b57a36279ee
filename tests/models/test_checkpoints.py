from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from srup.errors import WeightsMismatch
from srup.models import checkpoints, registry
from srup.models.state_dicts import WRAPPERS
from srup.networks.base import Network
from tests.conftest import random_network


def network(name: str = "imdn-rtc", scale: int = 2) -> Network:
    return random_network(registry.find(name)[scale])


def loaded(path: Path, name: str = "imdn-rtc", scale: int = 2) -> Network:
    """A network that has only what the checkpoint gave it."""
    return checkpoints.load_weights(registry.build(registry.find(name)[scale]), path)


def equal(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> bool:
    same_names = ours.keys() == theirs.keys()
    return same_names and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_a_checkpoint_saved_by_data_parallel_or_compiled(tmp_path: Path, prefix: str) -> None:
    tensors = network().state_dict()
    prefixed = {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
    torch.save(prefixed, tmp_path / "own.pth")
    assert equal(loaded(tmp_path / "own.pth").state_dict(), tensors)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_checkpoint_in_a_wrapper(tmp_path: Path, wrapper: str) -> None:
    tensors = network().state_dict()
    torch.save({wrapper: tensors, "epoch": 7}, tmp_path / "own.pth")
    assert equal(loaded(tmp_path / "own.pth").state_dict(), tensors)
    torch.save({"model": {wrapper: tensors}}, tmp_path / "own.pth")
    assert equal(loaded(tmp_path / "own.pth").state_dict(), tensors)


def test_a_wrapper_that_holds_itself_is_no_checkpoint(tmp_path: Path) -> None:
    endless: dict[str, object] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "own.pth")
    with pytest.raises(WeightsMismatch, match="is no state dict"):
        loaded(tmp_path / "own.pth")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rdn_in_the_layout_of_edsr_pytorch(tmp_path: Path, scale: int) -> None:
    """Its colours are in 0–255: our kernels, the first and last scaled, must load as ours again."""
    tensors = network("rdn", scale).state_dict()
    last = 4 if scale == 4 else 2
    theirs = {}
    for name, tensor in tensors.items():
        name = re.sub(r"^sfe(\d)", r"SFENet\1", name)
        name = re.sub(r"^rdbs\.(\d+)\.layers\.(\d)\.conv", r"RDBs.\1.convs.\2.conv.0", name)
        name = re.sub(r"^rdbs\.(\d+)\.lff", r"RDBs.\1.LFF", name)
        name = name.replace("gff.", "GFF.").replace("upscale.", "UPNet.")
        name = name.replace("output.", f"UPNet.{last}.")
        if name == "SFENet1.weight":
            tensor = tensor / 255
        if name.startswith(f"UPNet.{last}."):
            tensor = tensor * 255
        theirs[name] = tensor
    torch.save(theirs, tmp_path / "own.pt")
    ours = loaded(tmp_path / "own.pt", "rdn", scale).state_dict()
    for name, tensor in tensors.items():
        assert torch.allclose(ours[name], tensor, rtol=1e-6, atol=0), name


def test_imdn_in_the_layout_of_kair(tmp_path: Path) -> None:
    """Loaded from KAIR's names, the network computes what those names mean, written out here."""
    theirs = {}
    for name, tensor in network("imdn-kair", 4).state_dict().items():
        name = re.sub(r"\.c([123])\.", r".conv\1.0.", name)
        theirs[name.replace(".c4.", ".conv4.").replace(".c5.", ".conv1x1.")] = tensor
    torch.save(theirs, tmp_path / "own.pth")
    ours = loaded(tmp_path / "own.pth", "imdn-kair", 4)

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        kernel = theirs[f"{name}.weight"]
        return torch.conv2d(x, kernel, theirs[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    x = torch.rand(1, 3, 9, 11)
    body = first = conv(x, "model.0")
    for block in (f"model.1.sub.{number}" for number in range(8)):
        kept, rest = [], body
        for step in (1, 2, 3):
            activated = torch.nn.functional.leaky_relu(conv(rest, f"{block}.conv{step}.0"), 0.05)
            kept, rest = [*kept, activated[:, :16]], activated[:, 16:]
        body = body + conv(torch.cat([*kept, conv(rest, f"{block}.conv4")], 1), f"{block}.conv1x1")
    expected = torch.pixel_shuffle(conv(first + conv(body, "model.1.sub.8"), "model.2"), 4)
    with torch.no_grad():
        assert torch.allclose(ours(x), expected, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_in_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip(
        "safetensors.torch", reason="needs the extra srup[safetensors]"
    )
    tensors = network().state_dict()
    safetensors.save_file(tensors, tmp_path / "own.safetensors")
    assert equal(loaded(tmp_path / "own.safetensors").state_dict(), tensors)


def test_a_checkpoint_of_another_network(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "own.pth")
    with pytest.raises(WeightsMismatch, match=r"missing fea_conv.*unexpected model\.0\.weight"):
        loaded(tmp_path / "own.pth", "imdn", 4)


def test_a_checkpoint_of_another_scale(tmp_path: Path) -> None:
    torch.save(network("imdn", 2).state_dict(), tmp_path / "own.pth")
    with pytest.raises(
        WeightsMismatch, match=r"upsampler\.0\.weight is \(12, 64, 3, 3\), not \(48, 64, 3, 3\)"
    ):
        loaded(tmp_path / "own.pth", "imdn", 4)


def test_what_fits_is_loaded(tmp_path: Path) -> None:
    made = network("imdn", 2)
    torch.save(made.state_dict(), tmp_path / "own.pth")
    started = registry.build(registry.find("imdn")[4])
    assert checkpoints.load_what_fits(started, tmp_path / "own.pth") == [
        "upsampler.0.weight",
        "upsampler.0.bias",
    ]
    assert torch.equal(started.state_dict()["LR_conv.weight"], made.state_dict()["LR_conv.weight"])


class Rogue:
    """An object that would run code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize("content", ["missing", "garbage", "rogue", "list"])
def test_files_that_are_no_checkpoint(tmp_path: Path, content: str) -> None:
    path = tmp_path / "own.pth"
    if content == "garbage":
        path.write_bytes(b"garbage")
    elif content != "missing":
        torch.save({"rogue": Rogue(), "list": [1, 2]}[content], path)
    with pytest.raises(WeightsMismatch, match=r"own\.pth"):
        loaded(path)
