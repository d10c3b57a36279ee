"""ONNX files: asked what network they hold, or refused in a line."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from random import Random

from srup.networks import onnx
from tests.fuzz.mutation import mutated
from tests.models.onnx_files import Function, saved


@functools.cache
def files() -> list[bytes]:
    """Small networks that enlarge, and that restore."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [saved(Path(folder) / f"{scale}.onnx", Function(scale=scale)) for scale in (1, 2)]
        return [path.read_bytes() for path in paths]


def make(chance: Random) -> bytes:
    return mutated(chance.choice(files()), chance, files())


def run(case: bytes, folder: Path) -> None:
    path = folder / "x.onnx"
    path.write_bytes(case)
    onnx.costs(onnx.network(path), 32)
