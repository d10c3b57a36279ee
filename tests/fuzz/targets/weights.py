"""Checkpoints: loaded or refused in a line, and no code of theirs runs.

A case is the name of the file, a line break, and the file.
"""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import struct
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from srup.errors import SrupError, WeightsMismatch
from srup.models import checkpoints, registry, state_dicts
from tests.fuzz.mutation import VALUES, in_json, mutated

ROW = registry.find("imdn-rtc")[2]
RAN = "ran"  # the folder that a checkpoint makes whose code was run
OPCODES = (
    *(b"cposix\nmkdir\n", b"cbuiltins\nexec\n", b"ctorch\nload\n", b"ctorch\nFloatStorage\n"),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"\x93", b"R", b"b"),
    *(b".", b"(", b")", b"t", b"\x85", b"\x86", b"\x87", b"}", b"s", b"u", b"0", b"1", b"2", b"Q"),
    *(b"q\0", b"h\0", b"h\xff", b"j\xff\xff\xff\xff", b"K\1", b"M\xff\xff", b"J\xff\xff\xff\xff"),
    *(b"\x8a\x08" + b"\xff" * 8, b"X\4\0\0\0name", b"X\xff\xff\xff\x7f", b"]", b"a", b"e", b"\x81"),
    *(b"\x80\2", b"\x80\x63", b"N", b"\x88", b"\x89", b"G\x7f\xf0\0\0\0\0\0\0", b"\x94", b"\x95"),
)


class Rogue:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (RAN,)


@functools.cache
def tensors() -> dict[str, Tensor]:
    return registry.build(ROW).state_dict()


def _saved(value: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


@functools.cache
def files() -> dict[str, bytes]:
    """Checkpoints of a network, by their names, and smaller ones whose damage is more often met."""
    few = {name: tensor[:1].clone() for name, tensor in list(tensors().items())[:3]}
    strange = {
        "half": torch.zeros(3, dtype=torch.float16),
        "shared": torch.zeros(9)[2:5],
        "whole": torch.arange(4),
        "transposed": torch.zeros(4, 3).T,
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "boolean": torch.ones(2, dtype=torch.bool),
    }
    return {
        "own.pth": _saved(dict(tensors())),
        "few.pth": _saved(few),
        "wrapped.pt": _saved({"params_ema": few, "epoch": 3}),
        "of several.pth": _saved({f"module.{name}": each for name, each in tensors().items()}),
        "strange.pth": _saved(strange),
        "old.pth": _saved(few, _use_new_zipfile_serialization=False),
        "rogue.pth": _saved({"weight": Rogue()}),
        "rogue pickle.pth": pickle.dumps({"weight": Rogue()}, protocol=2),
        "few.safetensors": _safetensors(few),
        "own.safetensors": _safetensors(tensors()),
    }


def _safetensors(values: dict[str, Tensor]) -> bytes:
    """The file of the format's description: the length of its header, the header, the values."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in values.items():
        own = tensor.detach().contiguous().numpy().tobytes()
        ends = [len(data), len(data) + len(own)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": ends}
        data += own
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def make(chance: Random) -> bytes:
    name = chance.choice(list(files()))
    data = files()[name]
    if name.endswith(".safetensors") and chance.random() < 0.6:
        return name.encode() + b"\n" + _other_header(data, chance)
    if chance.random() < 0.3:
        return name.encode() + b"\n" + _other_opcodes(data, chance)
    return name.encode() + b"\n" + mutated(data, chance, [*files().values()])


def _other_header(data: bytes, chance: Random) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    name = chance.choice(list(header))
    header[name] = in_json(header[name], chance)
    if chance.random() < 0.2:
        header = {**header, "more": chance.choice((*VALUES, header[name]))}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _other_opcodes(data: bytes, chance: Random) -> bytes:
    """The file with instructions of a pickle put in."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        place, new = chance.randrange(min(len(data), 3000)), chance.choice(OPCODES)
        data = data[:place] + new + data[place + chance.choice((0, len(new))) :]
    return data


def run(case: bytes, folder: Path) -> None:
    name, _, data = case.partition(b"\n")
    path = folder / name.decode()
    path.write_bytes(data)
    os.chdir(folder)
    try:
        read = _refused_or(lambda: state_dicts.read(path))
        _refused_or(lambda: checkpoints.load_what_fits(registry.build(ROW), path))
        _refused_or(lambda: checkpoints.load_weights(registry.build(ROW), path))
    finally:
        assert not (folder / RAN).exists(), "code of the checkpoint was run"
    if read is None:
        raise WeightsMismatch("refused")
    held = sum(tensor.numel() * tensor.element_size() for tensor in read.values())
    assert held <= state_dicts.SHARED * len(data), f"{held} bytes of {len(data)}"


def _refused_or(load: Any) -> Any:
    try:
        return load()
    except SrupError as error:
        assert isinstance(error, WeightsMismatch), type(error).__name__
        assert str(error).isprintable(), "more than a line"
        return None
