"""Chooses the faster engine: measured once for each network, and remembered in the cache.

What is measured is the wait for a single photograph: a new process imports the engine, makes the
network ready, and enlarges an image. An engine that computes a little faster, but takes seconds to
start or to prepare itself for every size of window, loses.
"""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import cast

from srup import processor
from srup.errors import WriteError
from srup.files import cache, replacing
from srup.inference.engines import Conversion, libraries, program
from srup.inference.run_options import EngineName, Precision
from srup.inference.tiling import tiled
from srup.models.registry import Model, find
from srup.models.weights import locked_in_cache
from srup.networks.stages import Array, pad_to_multiple

log = logging.getLogger(__name__)

LARGE = 515  # pixels: the width of the measured image at most
SMALL = 64  # pixels: the width of the image before it, after which exports and caches are filled
WINDOW = 192  # pixels a side: then not all windows are of one size, as in most photographs
WORK = 2e11  # multiply-adds of the measured image at most: some seconds of one core


def choose(model: Model, weights: Path, device: str, precision: Precision) -> str:
    """The name of the fastest installed engine for a network; with a GPU that is PyTorch.

    Measures it where this processor meets this network with these versions for the first time.
    """
    installed = libraries()
    file = cache() / "engines.json"
    versions = ", ".join(f"{library} {version(library)}" for library in installed.values())
    machine = f"{processor.name()} with {processor.cores()} cores"
    key = f"{model.name} ×{model.scale}, {device}, {precision}, {machine}, {versions}"
    seconds = _read(file).get(key)
    if seconds is None:
        seconds = _measure_all(list(installed), model, weights, device, precision)
        _write(file, key, seconds)
    return min(seconds, key=lambda name: seconds[name], default="pytorch")


def _measure_all(
    engines: list[str], model: Model, weights: Path, device: str, precision: Precision
) -> dict[str, float]:
    """Seconds that each engine takes; engines that cannot run the network are left out."""
    log.info(
        "measuring %s for %s ×%d, once on this machine",
        " and ".join(engines),
        model.name,
        model.scale,
    )
    seconds = {}
    for name in engines:
        found = _measure(model, weights, name, device, precision)
        if found is not None:
            seconds[name] = found
            log.info("%s takes %.2f s", name, found)
    return seconds


def _measure(
    model: Model, weights: Path, engine: str, device: str, precision: Precision
) -> float | None:
    """Seconds in a process of its own; None if it fails: whoever takes the engine hears why."""
    per_pixel = model.multi_adds * 1e9 * max(model.scale, 1) ** 2 / (1280 * 720)
    side = max(SMALL, min(LARGE, int(math.sqrt(WORK / per_pixel))))
    for pixels in (SMALL, side):  # the small one exports the network and fills caches
        words = [model.name, str(model.scale), str(weights), engine, device, precision, str(pixels)]
        command = [sys.executable, "-m", __name__, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return None
    return float(done.stdout)


def _read(file: Path) -> dict[str, dict[str, float]]:
    """What was measured so far; nothing if the file is missing or damaged."""
    try:
        known: dict[str, dict[str, float]] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(file: Path, key: str, seconds: dict[str, float]) -> None:
    """Adds a measurement to the file; where that fails, it is measured again next time."""
    try:
        with locked_in_cache(file, WriteError), replacing(file) as temporary:
            known = {**_read(file), key: seconds}  # read under the lock: others may have written
            temporary.write_text(json.dumps(known, indent=1, ensure_ascii=False))
    except WriteError as error:
        log.info("%s", error)


def _seconds_of_first_image(
    name: str,
    scale: int,
    weights: Path,
    engine: EngineName,
    device: str,
    precision: Precision,
    side: int,
) -> float:
    """Seconds from here until an image is enlarged; 0 with a GPU, which needs no comparison."""
    started = perf_counter()
    made = program(find(name)[scale], weights, engine=engine, device=device, precision=precision)
    if made.device != "cpu":
        return 0.0
    import numpy as np

    shape = (1, side * 2 // 3, side, 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8).transpose(0, 3, 1, 2)
    stages = made.stages(Conversion(before=255), False)

    def in_windows(padded: Array) -> Array:
        return tiled(stages, padded, WINDOW, workers=made.workers, pool=made.pool)

    pad_to_multiple(made, image, in_windows)
    return perf_counter() - started


def _main(words: list[str]) -> None:
    """Prints the seconds; `words` are those of `_measure`."""
    from srup import memory

    memory.keep_freed()
    name, scale, weights, engine, device, precision, side = words
    seconds = _seconds_of_first_image(
        name,
        int(scale),
        Path(weights),
        cast(EngineName, engine),
        device,
        cast(Precision, precision),
        int(side),
    )
    print(seconds)


if __name__ == "__main__":
    _main(sys.argv[1:])
