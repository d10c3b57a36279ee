"""Which engine is the faster one here: measured once for each network, and written down in the cache.

What is measured is what waiting for one photograph is made of: a new process imports the engine, makes the network ready, and
enlarges an image. An engine that computes a little faster but takes seconds to start, or to prepare itself for every size of
window, is not the faster one.
"""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

from filelock import FileLock

from srup import processor
from srup.errors import WriteError
from srup.files import cache, replacing
from srup.inference.engines import Conversion, libraries, program
from srup.inference.tiling import tiled
from srup.models.registry import Model, find
from srup.networks.stages import pad_to_multiple

log = logging.getLogger(__name__)

LARGE, SMALL = (
    515,
    64,
)  # pixels: the width of the image, and of the one before it that has everything exported and read once
WINDOW = 192  # pixels a side: as in most photographs, not all windows are of one size
WORK = 2e11  # multiply-adds of the image at most, about: some seconds of a core


def choose(model: Model, weights: Path, device: str, precision: str) -> str:
    """The name of the faster engine of those that are installed; with a GPU it is PyTorch.

    A network that is met the first time on this processor, with these versions, is measured.
    """
    there = libraries()
    file = cache() / "engines.json"
    versions = ", ".join(f"{library} {version(library)}" for library in there.values())
    key = f"{model.name} ×{model.scale}, {device}, {precision}, {processor.name()} with {processor.cores()} cores, {versions}"
    seconds = _read(file).get(key)
    if seconds is None:
        log.info(
            "%s ×%d is met the first time: %s are measured",
            model.name,
            model.scale,
            " and ".join(there),
        )
        seconds = {
            name: found
            for name in there
            if (found := _measured(model, weights, name, device, precision)) is not None
        }
        _write(file, key, seconds)
        log.info("%s", ", ".join(f"{name} {found:.2f} s" for name, found in seconds.items()))
    return min(seconds, key=lambda name: seconds[name], default="pytorch")


def _measured(
    model: Model, weights: Path, engine: str, device: str, precision: str
) -> float | None:
    """Seconds in a process of its own; None if the engine cannot run the network, which it may say itself when it is asked for."""
    per_pixel = model.multi_adds * 1e9 * max(model.scale, 1) ** 2 / (1280 * 720)
    side = max(SMALL, min(LARGE, int(math.sqrt(WORK / per_pixel))))
    for pixels in (SMALL, side):
        words = [model.name, str(model.scale), str(weights), engine, device, precision, str(pixels)]
        done = subprocess.run(
            [sys.executable, "-m", __name__, *words], capture_output=True, text=True, check=False
        )
        if done.returncode:
            return None
    return float(done.stdout)


def _first_image(
    name: str, scale: str, weights: str, engine: str, device: str, precision: str, side: str
) -> None:
    """Prints how many seconds it takes from here to an image enlarged; none of a GPU."""
    started = perf_counter()
    made = program(
        find(name)[int(scale)], Path(weights), engine=engine, device=device, precision=precision
    )
    if made.device != "cpu":
        print(0.0)
        return
    import numpy as np

    shape = (1, int(side) * 2 // 3, int(side), 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8).transpose(0, 3, 1, 2)
    stages = made.stages(Conversion(before=255), False)
    pad_to_multiple(
        made,
        image,
        lambda padded: tiled(stages, padded, WINDOW, workers=made.workers, pool=made.pool),
    )
    print(perf_counter() - started)


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
            temporary.write_text(
                json.dumps({**_read(file), key: seconds}, indent=1, ensure_ascii=False)
            )
    except (OSError, WriteError) as error:
        log.info("%s is not written: %s", file, error)


def _main(words: Sequence[str]) -> None:
    from srup import memory

    memory.keep_freed()
    _first_image(*words)


if __name__ == "__main__":
    _main(sys.argv[1:])
