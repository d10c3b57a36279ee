"""Checkpoints that were made to harm: each is one line, and none of PyTorch's own advice."""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import random
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from srup.errors import WeightsMismatch
from srup.models import checkpoints, registry, state_dicts
from tests.conftest import random_network

RTC = registry.find("imdn-rtc")[2]


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    return random_network(RTC).state_dict()


def refusal(path: Path) -> str:
    """What is said of a file, in one line."""
    with pytest.raises(WeightsMismatch) as caught:
        checkpoints.load_weights(registry.build(RTC), path)
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < len(str(path)) + 300
    for advice in ("weights_only", "trust", "safe_globals", "GitHub", "CUDA"):
        assert advice not in said
    return said


def packed(path: Path, tensors: object, method: int) -> None:
    """A checkpoint whose archive is compressed by a method of zipfile."""
    data = io.BytesIO()
    torch.save(tensors, data)
    with zipfile.ZipFile(data) as source, zipfile.ZipFile(path, "w", method) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))


def test_an_archive_that_is_compressed(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Zeros of a network that fits, in a hundredth of the bytes: PyTorch alone would load them."""
    zeros = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    packed(tmp_path / "own.pth", zeros, zipfile.ZIP_DEFLATED)
    assert torch.load(tmp_path / "own.pth", weights_only=True).keys() == zeros.keys()
    assert "it is compressed, to" in refusal(tmp_path / "own.pth")
    packed(tmp_path / "own.pth", tensors, zipfile.ZIP_STORED)
    checkpoints.load_weights(registry.build(RTC), tmp_path / "own.pth")


def test_an_archive_that_cannot_be_judged(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(state_dicts.ZIP + os.urandom(5000))
    assert "not a zip file" in refusal(tmp_path / "own.pth")


def test_tensors_larger_than_their_file(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """One number, expanded to a terabyte: views cost nothing until somebody computes with them."""
    name = next(iter(tensors))
    huge = torch.zeros(1).expand(1 << 20, 1 << 18)
    torch.save({**tensors, name: huge}, tmp_path / "own.pth")
    assert "many times as large as the file" in refusal(tmp_path / "own.pth")


def strange() -> dict[str, Callable[[torch.Tensor], object]]:
    """What a tensor of a checkpoint may turn out to be."""
    return {
        "sparse": lambda tensor: tensor.to_sparse(),
        "sparse rows": lambda tensor: tensor.reshape(len(tensor), -1).to_sparse_csr(),
        "without values": lambda tensor: tensor.to("meta"),
        "nested": lambda tensor: torch.nested.nested_tensor([tensor, tensor]),
        "quantised": lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
        "complex": lambda tensor: tensor.to(torch.complex64),
        "a list": lambda tensor: tensor.tolist(),
        "a number": lambda tensor: 7,
        "a dictionary": lambda tensor: {"weight": tensor},
        "a size": lambda tensor: tensor.shape,
    }


@pytest.mark.parametrize("kind", strange())
def test_strange_tensors(tmp_path: Path, tensors: dict[str, torch.Tensor], kind: str) -> None:
    name = next(iter(tensors))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({**tensors, name: strange()[kind](tensors[name])}, tmp_path / "own.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f"no state dict of tensors ({name} " in refusal(tmp_path / "own.pth")


@pytest.mark.parametrize("key", [7, None, (1, 2), b"weight", 1.5])
def test_keys_that_are_no_names(
    tmp_path: Path, tensors: dict[str, torch.Tensor], key: object
) -> None:
    torch.save({**tensors, key: torch.zeros(1)}, tmp_path / "own.pth")
    assert "is no name" in refusal(tmp_path / "own.pth")


@pytest.mark.parametrize("key", ["x" * 100_000, "line\nbreak", "\x1b[31mred", "\0", "ö"])
def test_names_are_shown_in_a_line(
    tmp_path: Path, tensors: dict[str, torch.Tensor], key: str
) -> None:
    torch.save({**tensors, key: torch.zeros(1)}, tmp_path / "own.pth")
    assert "unexpected" in refusal(tmp_path / "own.pth")


def test_some_names_of_a_network_whose_layout_is_converted(tmp_path: Path) -> None:
    """Conversion relies on names of the published file, of which only the first is there."""
    torch.save({"SFENet1.weight": torch.zeros(3)}, tmp_path / "own.pth")
    with pytest.raises(WeightsMismatch, match="some names of another network"):
        checkpoints.load_weights(registry.build(registry.find("rdn")[2]), tmp_path / "own.pth")


def test_half_a_layout_of_the_same_network(
    tmp_path: Path, tensors: dict[str, torch.Tensor]
) -> None:
    torch.save({f"module.{name}": each.half() for name, each in tensors.items()}, tmp_path / "a.pt")
    checkpoints.load_weights(registry.build(RTC), tmp_path / "a.pt")


class Rogue:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


def test_code_is_not_run_nor_advised(tmp_path: Path) -> None:
    torch.save({"weight": Rogue()}, tmp_path / "own.pth")
    assert "holds more than tensors" in refusal(tmp_path / "own.pth")
    (tmp_path / "own.pth").write_bytes(pickle.dumps(Rogue()))
    assert "holds more than tensors" in refusal(tmp_path / "own.pth")


@pytest.mark.parametrize("zipped", [True, False])
def test_damage_anywhere(tmp_path: Path, tensors: dict[str, torch.Tensor], zipped: bool) -> None:
    """A byte changed in the directory, the pickle or the archive's end: loaded or refused."""
    data = io.BytesIO()
    small = {name: tensor[:1] for name, tensor in tensors.items() if tensor.ndim}
    torch.save(small, data, _use_new_zipfile_serialization=zipped)
    sound, chance = data.getvalue(), random.Random(0)
    for _ in range(60):
        damaged = bytearray(sound)
        for _ in range(chance.choice((1, 3, 30))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path = tmp_path / "own.pth"
        path.write_bytes(damaged[: chance.choice((None, None, len(sound) // 2))])
        refusal(path)


@pytest.mark.usefixtures("ends")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with FIFOs")
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_regular_file(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"device{suffix}").symlink_to("/dev/zero")
    (tmp_path / f"folder{suffix}").mkdir()
    assert "a pipe, a socket or a device" in refusal(tmp_path / f"pipe{suffix}")
    assert "a pipe, a socket or a device" in refusal(tmp_path / f"device{suffix}")
    assert "Is a directory" in refusal(tmp_path / f"folder{suffix}")


def safetensors(header: object, values: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values


def one(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        safetensors(one(), bytes(8), length=1 << 60),
        safetensors(b"{", bytes(8)),
        safetensors([1, 2]),
        safetensors(one()),
        safetensors(one(shape=[1 << 40]), bytes(8)),
        safetensors(one(shape=[-2]), bytes(8)),
        safetensors(one(data_offsets=[8, 0]), bytes(8)),
        safetensors(one(data_offsets=[0, 1 << 62]), bytes(8)),
        safetensors(one(dtype="F99"), bytes(8)),
        safetensors({**one(), "b": one()["a"]}, bytes(8)),
        safetensors(one(), bytes(8)),
        random.Random(0).randbytes(300),
    ],
)
def test_damaged_safetensors(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("safetensors", reason="needs the extra srup[safetensors]")
    (tmp_path / "own.safetensors").write_bytes(content)
    refusal(tmp_path / "own.safetensors")


def test_the_command_line_says_it_in_a_line(tmp_path: Path, photo: Path) -> None:
    torch.save(collections.OrderedDict(weight=Rogue()), tmp_path / "own.pth")
    own = ["--weights", str(tmp_path / "own.pth")]
    process = subprocess.run(
        [sys.executable, "-m", "srup", "upscale", str(photo), "-m", "imdn-rtc", "-s", "2", *own],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 3
    assert process.stderr.count("\n") == 1
