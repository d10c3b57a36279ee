"""Pairs of image files that belong together: two files, or two folders matched by file name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from srup.errors import ReadError, UsageError
from srup.images import looks_like_image

# Endings that tools add to a name: "_x4", "x4", "@2x", "_800x600", "_out", "-SR".
ENDING = re.compile(
    r"(?<=.)(?:"
    r"[_\-. ]?x\d+(?:\.\d+)?"
    r"|[_\-.@ ]\d+x(?:\d+)?"
    r"|[_\-. ](?:out|output|sr|hr|lr|gt|result|upscaled|enlarged)"
    r")$",
    re.IGNORECASE,
)
SCALE = re.compile(r"x(\d{1,2})(?=$|[_\-. ])", re.IGNORECASE)
REFERENCES = re.compile(r"(?:hr|gt)(?:[_\-. ]?x\d+)?", re.IGNORECASE)  # folders called alike
LISTED = 6  # names at most that an error message lists

Key = Callable[[Path], str]


@dataclass(frozen=True)
class Pairing:
    """Pairs (first, second) in the order of the second files, and files without a partner."""

    pairs: list[tuple[Path, Path]]
    unpaired: list[Path]


def called(path: Path) -> str:
    """What a file or folder is called in a title: its name, but "Set5" for Set5/HR."""
    whole = path.absolute()
    name = whole.parent.name if REFERENCES.fullmatch(whole.name) else whole.name
    return name or str(whole)


def pair(first: Path, second: Path) -> Pairing:
    """Two files as one pair, or the images of two folders paired by name.

    Equal names are paired first; then names without endings such as _x4, _out or _800x600, so that
    "baby_x4.png" belongs to "baby.png". Raises ReadError for a path that does not exist, UsageError
    for a file and a folder, for two partners of one image, and where nothing belongs together.
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
    if not paired.pairs:
        raise UsageError(
            f"no image in {first} has the name of one in {second}: {_listed(paired.unpaired)}"
        )
    return paired


def images_in(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name. Raises ReadError if there are none."""
    if not folder.is_dir():
        raise ReadError(f"cannot read {folder}: no such folder; check the name")
    visible = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    found = [path for path in visible if looks_like_image(path)]
    if not found:
        raise ReadError(f"no images in {folder}; give a folder that holds them itself")
    return found


def _paired(first: Sequence[Path], second: Sequence[Path]) -> Pairing:
    """Pairs by the whole name, then, among the rest, by the name without its endings."""
    pairs: list[tuple[Path, Path]] = []
    taken: set[Path] = set()
    for key in (_stem, _base_name_of):
        ones, others = _by(key, first, taken), _by(key, second, taken)
        for name in ones.keys() & others.keys():
            one, other = _only(ones[name]), _only(others[name])
            pairs.append((one, other))
            taken |= {one, other}
    pairs.sort(key=lambda pair: pair[1].name)
    return Pairing(pairs, [path for path in (*first, *second) if path not in taken])


def _stem(path: Path) -> str:
    return path.stem


def _base_name_of(path: Path) -> str:
    return base_name(path.stem)


def _by(key: Key, paths: Sequence[Path], taken: set[Path]) -> dict[str, list[Path]]:
    """The paths that are not taken yet, by their key."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        if path not in taken:
            found.setdefault(key(path), []).append(path)
    return found


def _only(paths: Sequence[Path]) -> Path:
    """The one path that has a name. Raises UsageError if there are several."""
    if len(paths) > 1:
        raise UsageError(
            f"{paths[0]} and {paths[1]} both belong to one image by their names; "
            "keep one of them there"
        )
    return paths[0]


def base_name(stem: str) -> str:
    """A file's stem without the endings that tools add to it: "baby_x4_out" → "baby"."""
    while (shorter := ENDING.sub("", stem)) != stem:
        stem = shorter
    return stem


def scale_in(path: Path) -> int | None:
    """The scale in a file name: "baby_x4.png" → 4; None if it has none."""
    found = SCALE.findall(path.stem)
    return int(found[-1]) if found else None


def _listed(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:LISTED])
    if len(paths) > LISTED:
        names += f" and {len(paths) - LISTED} more"
    return names
