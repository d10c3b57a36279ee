"""Which engine is the faster one here: measured once for each network, and written down in the cache."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from srup import processor
from srup.engines import Ends, Program, libraries
from srup.files import replacing
from srup.networks.stages import fitted
from srup.registry import Model
from srup.tiling import tiled
from srup.weights import cache

log = logging.getLogger(__name__)

SIDE, ROUNDS = 192, 3  # of what is measured, in pixels
HEAD_START = 1.1  # PyTorch takes seconds to import: it must be faster by so much


def choose(model: Model, precision: str, make: Callable[[str], Program]) -> str:
    """The name of the faster engine of those that are installed; `make` makes the program of an engine.

    A network that is met the first time on this processor, with these versions, is measured. Raises what `make` does.
    """
    there = libraries()
    file = cache() / "engines.json"
    versions = ", ".join(f"{library} {version(library)}" for library in there.values())
    key = f"{model.name} ×{model.scale}, {precision}, {processor.name()}, {versions}"
    seconds = _read(file).get(key)
    if seconds is None:
        seconds = _measured({name: make(name) for name in there})
        _write(file, key, seconds)
    return best(seconds)


def best(seconds: dict[str, float]) -> str:
    """The engine to take."""
    return min(seconds, key=lambda name: seconds[name] * (HEAD_START if name == "pytorch" else 1))


def _measured(programs: dict[str, Program]) -> dict[str, float]:
    """The least of a few rounds, in seconds, the engines taking turns; of a GPU nothing needs to be measured."""
    faster = {name: 0.0 for name, program in programs.items() if program.device != "cpu"}
    if faster:
        return faster
    image = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8).transpose(0, 3, 1, 2)
    rounds = [{name: _timed(program, image) for name, program in programs.items()} for _ in range(ROUNDS + 1)]
    found = {name: min(each[name] for each in rounds[1:]) for name in programs}
    log.info("%s: %s", next(iter(programs.values())).name, ", ".join(f"{name} {time:.2f} s" for name, time in found.items()))
    return found


def _timed(program: Program, image: NDArray[np.uint8]) -> float:
    started = perf_counter()
    stages = program.stages(Ends(before=255), False)
    fitted(program, image, lambda padded: tiled(stages, padded, SIDE // 2, workers=program.workers, pool=program.pool))
    return perf_counter() - started


def _read(file: Path) -> dict[str, dict[str, float]]:
    try:
        known: dict[str, dict[str, float]] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(file: Path, key: str, seconds: dict[str, float]) -> None:
    """Beside what other processes have written meanwhile; where that cannot be, it is measured again the next time."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"), replacing(file) as temporary:
            temporary.write_text(json.dumps({**_read(file), key: seconds}, indent=1, ensure_ascii=False))
    except OSError as error:
        log.info("%s cannot be written (%s)", file, error.strerror or error)
