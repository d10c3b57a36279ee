"""What is attacked. Each target is a module with two functions.

`make(chance)` makes a case: bytes, the same for the same random numbers. `run(case, folder)` gives
it to srup, which may refuse it with a SrupError, and raises for everything else that is wrong.
`folder` is empty and may be written to.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

TARGETS = {  # name of a target and its module → what is attacked
    "read": "image files of every format",
    "write": "what is read of mutated files, written in every format and opened again",
    "metadata": "sound pictures with EXIF, XMP, IPTC and profiles that were mutated",
    "journal": "the journal of a batch",
    "shards": "tar files of images",
    "weights": "checkpoints: .pth, .pt and .safetensors",
    "onnx": "networks in ONNX files",
    "http": "answers of a server that weights are downloaded from",
    "request": "requests to srup serve",
    "page": "names, values and pictures of a report",
    "api": "arguments of srup.load and of an Upscaler",
}


@dataclass(frozen=True)
class Target:
    make: Callable[[Random], bytes]
    run: Callable[[bytes, Path], None]


def target(name: str) -> Target:
    module = importlib.import_module(f"{__name__}.{name}")
    return Target(module.make, module.run)
