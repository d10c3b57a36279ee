"""Which image belongs to which: files of two folders paired by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from srup.errors import ReadError, UsageError
from srup.images import looks_like_image

ENDING = re.compile(
    r"(?<=.)(?:[_\-. ]?x\d+(?:\.\d+)?|[_\-.@ ]\d+x(?:\d+)?|[_\-. ](?:out|output|sr|hr|lr|gt|result|upscaled|enlarged))$",
    re.IGNORECASE,
)
SCALE = re.compile(r"x(\d{1,2})(?=$|[_\-. ])", re.IGNORECASE)

Key = Callable[[Path], str]


@dataclass(frozen=True)
class Pairing:
    """Pairs of files in the order of the second ones' names, and those that have no partner."""

    both: list[tuple[Path, Path]]
    alone: list[Path]


def pair(first: Path, second: Path) -> Pairing:
    """Two files as one pair, or the images of two folders paired by name: "baby_x4.png" belongs to "baby.png".

    A name that is the same on both sides wins; then endings such as _x4, x4, _out, _800x600 are left out. Raises ReadError for
    what does not exist, UsageError for a file beside a folder, for two partners of one image, and where nothing belongs together.
    """
    for path in (first, second):
        if not path.exists():
            raise ReadError(f"cannot read {path}: no such file or folder; check the name")
    if first.is_dir() != second.is_dir():
        folder, file = (first, second) if first.is_dir() else (second, first)
        raise UsageError(
            f"{folder} is a folder and {file} is a file; give two files or two folders"
        )
    if not first.is_dir():
        return Pairing([(first, second)], [])
    paired = _paired(images_in(first), images_in(second))
    if not paired.both:
        raise UsageError(
            f"no image in {first} has the name of one in {second}: {_listed(paired.alone)}"
        )
    return paired


def images_in(folder: Path) -> list[Path]:
    """The image files in a folder, by name; not in folders below it. Raises ReadError if there are none."""
    if not folder.is_dir():
        raise ReadError(f"cannot read {folder}: no such folder; check the name")
    found = sorted(
        path
        for path in folder.iterdir()
        if looks_like_image(path) and not path.name.startswith(".")
    )
    if not found:
        raise ReadError(f"no images in {folder}; give a folder that holds them itself")
    return found


def _paired(first: list[Path], second: list[Path]) -> Pairing:
    """By the whole name, then, of what is left, by the name without its endings."""
    both: list[tuple[Path, Path]] = []
    taken: set[Path] = set()
    keys: tuple[Key, ...] = (lambda path: path.stem, lambda path: core(path.stem))
    for key in keys:
        ones, others = (
            _by(key, (path for path in paths if path not in taken)) for paths in (first, second)
        )
        for name in ones.keys() & others.keys():
            _one_each(ones[name], others[name])
            both.append((ones[name][0], others[name][0]))
            taken |= {*both[-1]}
    return Pairing(
        sorted(both, key=lambda pair: pair[1].name),
        [path for path in (*first, *second) if path not in taken],
    )


def _by(key: Key, paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(key(path), []).append(path)
    return found


def _one_each(*sides: list[Path]) -> None:
    for paths in sides:
        if len(paths) > 1:
            raise UsageError(
                f"{paths[0]} and {paths[1]} both belong to one image by their names; keep one of them there"
            )


def core(stem: str) -> str:
    """A name without the endings that tools add to it: "baby_x4_out" → "baby"."""
    while (shorter := ENDING.sub("", stem)) != stem:
        stem = shorter
    return stem


def scale_in(path: Path) -> int | None:
    """The scale that a name says: "baby_x4.png" → 4."""
    found = SCALE.findall(path.stem)
    return int(found[-1]) if found else None


def _listed(paths: list[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
