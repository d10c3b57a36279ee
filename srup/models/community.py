"""Checkpoints that people have: a file is recognised, described, and may be kept under a name.

The description of a file is kept in the cache beside its digest, so that it is read once. Networks
of srup's own are recognised by the names and shapes of their tensors, those of others by spandrel.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from srup.errors import OutOfMemory, UsageError, WeightsMismatch
from srup.files import cache as cache_folder
from srup.files import hashed, replacing
from srup.isolate import run_isolated
from srup.models import checkpoints, state_dicts
from srup.models.registry import COUNTED_PIXELS, MODELS, ONNX, Model, names

if TYPE_CHECKING:  # importing torch takes seconds
    from torch import Tensor

    from srup.networks.community import Community

SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors", ".bin", ONNX)
PURPOSES = {"SR": "enlarges", "Restoration": "restores, at its own size", "FaceSR": "faces"}
NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")  # of a checkpoint that is kept
PROBE = 64  # pixels a side of the image that costs are counted on


@dataclass(frozen=True)
class Description:
    """What a checkpoint holds.

    `own` are the name and the scales of the registry's rows that it fits; without them it is a
    network of another `architecture`, which enlarges `scale` times. `parameters`, `multi_adds` and
    `largest` are as in Model.
    """

    own: tuple[str, tuple[int, ...]] | None = None
    architecture: str = ""
    purpose: str = ""
    scale: int = 0
    parameters: int = 0
    multi_adds: float = 0.0
    largest: int = 0


def is_file(name: str) -> bool:
    """Whether a name is that of a checkpoint's file."""
    return PurePath(name).suffix.lower() in SUFFIXES


def rows(name: str) -> dict[int, Model]:
    """The rows of a checkpoint, named by its file or as it was added; {} if there is none.

    Raises WeightsMismatch for a file that cannot be read or recognised, EngineUnavailable where
    that takes an extra.
    """
    kept = _kept(name)
    if not is_file(name) and kept is None:
        return {}
    path = kept or Path(name)
    checkpoints.check_file(path)
    status = path.stat()
    stem = name if kept else path.stem
    return _rows(path.absolute(), (status.st_size, status.st_mtime_ns), stem)


@cache
def _rows(path: Path, _: tuple[int, int], name: str) -> dict[int, Model]:
    """The same for a file that has not changed since."""
    digest = hashed(path)
    found = _description(path, digest)
    if found.own:
        own, scales = found.own
        table = [row for row in MODELS if row.name == own and row.scale in scales]
        return {row.scale: _of_file(row, path, digest) for row in table}
    row = Model(
        name,
        found.scale,
        network="",
        file=str(path),
        digest=f"sha256:{digest}",
        parameters=found.parameters,
        multi_adds=found.multi_adds,
        largest=found.largest,
        licence="its author's",
        paper=found.architecture,
        note=f"{PURPOSES.get(found.purpose, found.purpose)} ({found.architecture})",
    )
    return {row.scale: row}


def _of_file(row: Model, path: Path, digest: str) -> Model:
    """A row of the table with weights from a file."""
    return dataclasses.replace(
        row, file=str(path), digest=f"sha256:{digest}", urls=(), released=True, published={}
    )


def network(path: Path) -> Community:
    """The network of a checkpoint that is none of srup's own. Raises as `rows` does."""
    if path.suffix.lower() == ONNX:
        from srup.networks import onnx

        return onnx.network(path)
    from srup.networks.community import recognised

    return recognised(state_dicts.read(path), path.name)


def facts_path(digest: str, kind: str) -> Path:
    """The file in the cache with what is known of a checkpoint: its "description" or "sight"."""
    return cache_folder() / "community" / f"{digest.removeprefix('sha256:')[:16]}.{kind}.json"


def read_facts(path: Path) -> dict[str, Any]:
    """What such a file says; {} where it is not there, or damaged."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """Keeps facts in the cache, where it can be written to."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(facts), encoding="utf-8")


def sight_in_words(model: Model) -> str:
    """How the windows of a checkpoint are cut, as far as that was measured; "" for nothing."""
    facts = read_facts(facts_path(model.digest, "sight"))
    try:
        reach, overlap, rest = facts["reach"], int(facts["overlap"]), float(facts["rest"])
    except (KeyError, TypeError, ValueError):
        return ""
    if reach is None:
        return f"sees the whole image: windows are blended over {overlap} px, seam {rest:g} levels"
    if rest:
        return f"sees {reach} px, of which {overlap} px decide more than {rest:g} levels"
    return f"sees {reach} px: windows are exact"


def _description(path: Path, digest: str) -> Description:
    """What a file holds, as it was found before, or else found now."""
    place = facts_path(digest, "description")
    with suppress(TypeError, ValueError):
        return _from_facts(read_facts(place))
    found = described(path)
    write_facts(place, dataclasses.asdict(found))
    return found


def _from_facts(facts: dict[str, Any]) -> Description:
    """A description that was written down. Raises TypeError or ValueError for anything else."""
    if not facts:
        raise ValueError("nothing is known")
    own = facts.pop("own")
    return Description(own=(own[0], tuple(own[1])) if own else None, **facts)


def described(path: Path) -> Description:
    """What a checkpoint holds, found by reading it."""
    if path.suffix.lower() == ONNX:
        return _of_onnx(path)
    tensors = state_dicts.read(path)
    if own := _own(tensors):
        return Description(own=own)
    from srup.networks.community import recognised

    found = recognised(tensors, path.name)
    return _described(found, _costs(found))


def _of_onnx(path: Path) -> Description:
    """The description of an ONNX file, made in a child process: what reads such files is written in
    C++, and a damaged one may end it.
    """
    try:
        (found,) = run_isolated(path.name, _asked, path)
    except OutOfMemory as error:
        raise WeightsMismatch(f"{path} ended the process that read it; check the file") from error
    return found


def _asked(path: Path) -> Iterator[Description]:
    """The description of an ONNX file, alone."""
    from srup.networks import onnx

    found = onnx.network(path)
    yield _described(found, onnx.costs(found, PROBE))


def _described(found: Community, costs: tuple[int, float, int]) -> Description:
    """A network of others, with its parameters, and for an image of PROBE pixels a side its
    multiply-adds and the values of its largest map.
    """
    parameters, multiply_adds, largest = costs
    pixels = COUNTED_PIXELS / found.scale**2
    return Description(
        architecture=found.architecture,
        purpose=found.purpose,
        scale=found.scale,
        parameters=parameters,
        multi_adds=round(multiply_adds / 1e9 / PROBE**2 * pixels, 1),
        largest=math.ceil(largest / PROBE**2),
    )


def _own(tensors: dict[str, Tensor]) -> tuple[str, tuple[int, ...]] | None:
    """The name and scales of the rows of the table that tensors fit by name and shape."""
    count = sum(tensor.numel() for tensor in tensors.values())
    fitting: dict[str, list[int]] = {}
    for row in MODELS:
        # a file may hold constants and branches that only training needs, but not much else
        likely = 0 < row.parameters <= count * 1.05 and count <= row.parameters * 1.5
        if likely and checkpoints.fits(tensors, row):
            fitting.setdefault(row.name, []).append(row.scale)
    name = next(iter(fitting), None)
    return (name, tuple(fitting[name])) if name else None


def _costs(found: Community) -> tuple[int, float, int]:
    """Parameters, multiply-adds and the values of the largest map, counted on a small image."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from srup.models.costs import LargestMap

    image = torch.rand(1, 3, PROBE, PROBE)
    with torch.no_grad(), FlopCounterMode(display=False) as counter, LargestMap() as largest:
        found(image)
    count = sum(tensor.numel() for tensor in found.parameters())
    return count, counter.get_total_flops() / 2, largest.numel


def add(file: str, name: str | None) -> str:
    """Keeps a checkpoint in the cache under a name, its file's unless told otherwise; the name.

    Raises WeightsMismatch, EngineUnavailable, and UsageError for a name that cannot be.
    """
    path = Path(file)
    checkpoints.check_file(path)
    name = (name or re.sub(r"[^a-z0-9.-]+", "-", path.stem.lower())).strip("-.")
    if not NAME.fullmatch(name) or name in names() or is_file(name):
        raise UsageError(
            f"{name!r} cannot be a network's name here: letters, digits, points and dashes, and "
            "none that srup has",
            "choose one with {name}",
        )
    rows(file)  # raises for what is no network
    target = _folder() / f"{name}{path.suffix.lower()}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        shutil.copyfile(path, temporary)
    return name


def added() -> list[str]:
    """The names of the checkpoints that are kept."""
    return sorted(path.stem for path in _files())


def remove(name: str) -> Path | None:
    """Forgets a checkpoint; its file, if there was one."""
    path = _kept(name)
    if path:
        path.unlink()
    return path


def _folder() -> Path:
    return cache_folder() / "community"


def _files() -> Iterator[Path]:
    try:
        found = sorted(_folder().iterdir())
    except OSError:
        return
    yield from (path for path in found if is_file(path.name) and not path.name.startswith("."))


def _kept(name: str) -> Path | None:
    """The file of a checkpoint that was added under a name."""
    return next((path for path in _files() if path.stem == name.lower()), None)
