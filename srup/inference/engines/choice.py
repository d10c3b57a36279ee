"""Chooses the engine of a network: by a rule, or by what `srup bench --save` measured here."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from srup import processor
from srup.errors import WriteError
from srup.files import cache, check_regular, replacing
from srup.inference.engines import libraries
from srup.inference.run_options import EngineName, Precision
from srup.models.registry import Model
from srup.models.weights import locked_in_cache

log = logging.getLogger(__name__)

# Multiply-adds for an input pixel up to which starting PyTorch is a large part of what a photograph
# takes. OpenVINO starts in a fifth of that time. It computes about as fast, but takes more memory,
# and compiles every stage for every size of window.
LIGHT = 0.5e6
FEW = 2e6  # input pixels up to which its fast start outweighs that


def choose(model: Model, precision: Precision, pixels: float) -> EngineName:
    """The engine with which one waits less, of those that are installed.

    `pixels` are those of all images that are to be enlarged.
    """
    seconds = _read(_file()).get(_key(model, precision), {})
    measured: dict[EngineName, float] = {
        name: seconds[name] for name in libraries() if name in seconds
    }
    if measured:
        return min(measured, key=measured.__getitem__)
    starts_fast = model.work(max(model.scale, 1)) <= LIGHT and pixels <= FEW
    return "openvino" if starts_fast and "openvino" in libraries() else "pytorch"


def save(model: Model, precision: Precision, seconds: Mapping[EngineName, float]) -> None:
    """Keeps what each engine takes for one image, for `choose`.

    Raises WriteError if the cache cannot be written to.
    """
    file = _file()
    with locked_in_cache(file, WriteError), replacing(file) as temporary:
        # read under the lock: others may have written
        known = {**_read(file), _key(model, precision): dict(seconds)}
        temporary.write_text(json.dumps(known, indent=1, ensure_ascii=False))
    log.info("%s: kept %s in %s", model.name, dict(seconds), file)


def _file() -> Path:
    return cache() / "engines.json"


def _key(model: Model, precision: Precision) -> str:
    """What a measurement holds for: another processor or version may have another best engine."""
    versions = ", ".join(f"{library} {version(library)}" for library in libraries().values())
    machine = f"{processor.name()} with {processor.cores()} cores"
    return f"{model.name} ×{model.scale}, {precision}, {machine}, {versions}"


def _read(file: Path) -> dict[str, dict[EngineName, float]]:
    """What was measured so far; nothing if the file is missing, or with a warning damaged."""
    try:
        check_regular(file)
        known = json.loads(file.read_text())
    except OSError:
        return {}
    except (ValueError, RecursionError):
        known = None
    if isinstance(known, dict) and all(map(_are_seconds, known.values())):
        return known
    log.warning("%s is damaged: nothing that was measured is used; remove it", file)
    return {}


def _are_seconds(measured: object) -> bool:
    """Whether a value is names of engines → seconds."""
    if not isinstance(measured, dict):
        return False
    return all(isinstance(each, (int, float)) for each in measured.values())
