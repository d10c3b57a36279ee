"""Files by path or by URL: local ones with the standard library, all others with fsspec."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from srup.errors import EngineUnavailable, ReadError, WriteError
from srup.files import writing

STAMPS = (
    "ETag",
    "etag",
    "mtime",
    "LastModified",
    "last_modified",
    "created",
)  # what file systems call it, the surest first


@dataclass(frozen=True)
class Entry:
    """A file: its `path` or URL, its `name` below where it was found, its `size` in bytes, and a
    `stamp` that changes with it.
    """

    path: str
    name: str
    size: int = 0
    stamp: str = ""
    folder: bool = False


def is_url(place: str) -> bool:
    return "://" in place


def join(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}" if is_url(folder) else str(Path(folder) / name)


def absolute(place: str) -> str:
    """The place as processes with other working folders find it."""
    return place if is_url(place) else str(Path(place).absolute())


def entry(place: str) -> Entry | None:
    """What is at a path or URL; None if nothing is.

    Raises ReadError where it may not be looked at.
    """
    if is_url(place):
        system, path = _system(place)
        with _reaching(place):
            return (
                _remote(system, system.info(path), place, Path(path).name)
                if system.exists(path)
                else None
            )
    try:
        return _local(Path(place), Path(place).name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReadError(
            f"cannot read {place}: {error.strerror}; check its name and permissions"
        ) from error


def listing(folder: str, *, recursive: bool = False) -> Iterator[Entry]:
    """What is in a folder, by name, or with `recursive` all files below it, through links, each
    folder once; nothing hidden.

    A folder is itself an entry where it is not gone into.
    """
    yield from (
        _listing_remote(folder, recursive) if is_url(folder) else _listing_local(folder, recursive)
    )


def _listing_local(folder: str, recursive: bool) -> Iterator[Entry]:
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_unreadable):
        here = Path(parent).stat()
        if (here.st_dev, here.st_ino) in seen:  # a link back up
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*files, *([] if recursive else folders)]):
            if not name.startswith("."):
                path = Path(parent, name)
                below = os.path.relpath(path, folder)
                yield (
                    _local(path, below) if path.exists() else Entry(str(path), below)
                )  # a broken link
        if not recursive:
            return


def _unreadable(error: OSError) -> None:
    raise ReadError(
        f"cannot read {error.filename}: {error.strerror}; check its owner and mode"
    ) from error


def _local(path: Path, name: str) -> Entry:
    status = path.stat()
    return Entry(
        str(path), name, status.st_size, str(status.st_mtime_ns), stat.S_ISDIR(status.st_mode)
    )


def _listing_remote(folder: str, recursive: bool) -> Iterator[Entry]:
    system, root = _system(folder)
    with _reaching(folder):
        found = (
            system.find(root, detail=True)
            if recursive
            else {info["name"]: info for info in system.ls(root, detail=True)}
        )
    for path, info in sorted(found.items()):
        name = os.path.relpath(path, root)
        if not any(part.startswith(".") for part in Path(name).parts):
            yield _remote(system, info, join(folder, name), name)


def _remote(system: Any, info: dict[str, Any], place: str, name: str) -> Entry:
    stamp = next((str(info[key]) for key in STAMPS if key in info), "")
    return Entry(place, name, int(info.get("size") or 0), stamp, info.get("type") == "directory")


def sizes(folder: str) -> dict[str, int]:
    """Name → bytes of all that is below a folder; nothing if there is none."""
    if entry(folder) is None:
        return {}
    return {each.name.replace(os.sep, "/"): each.size for each in listing(folder, recursive=True)}


@contextmanager
def fetched(place: str) -> Iterator[Path]:
    """A local file with what is at a path or URL. Raises ReadError."""
    if not is_url(place):
        yield Path(place)
        return
    system, path = _system(place)
    with tempfile.TemporaryDirectory(prefix="srup-") as folder:
        local = Path(folder) / Path(path).name
        with _reaching(place):
            system.get_file(path, str(local))
        yield local


@contextmanager
def stored(place: str) -> Iterator[Path]:
    """The local path to write what is to be at a path or URL, where it then is brought; its folder
    is made. Raises WriteError.
    """
    if not is_url(place):
        with writing(Path(place)):
            Path(place).parent.mkdir(parents=True, exist_ok=True)
        yield Path(place)
        return
    system, path = _system(place)
    with tempfile.TemporaryDirectory(prefix="srup-") as folder:
        local = Path(folder) / Path(path).name
        yield local
        try:
            system.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            system.put_file(str(local), path)
        except Exception as error:  # each file system has errors of its own
            raise WriteError(
                f"cannot write {place}: {_said(error)}; check the address and the credentials"
            ) from error


@contextmanager
def _reaching(place: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ReadError(f"cannot read {place}: no such file; check the address") from error
    except Exception as error:  # each file system has errors of its own
        raise ReadError(
            f"cannot read {place}: {_said(error)}; check the address and the credentials"
        ) from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _system(place: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(place)
    except ImportError as error:
        protocol = place.partition("://")[0]
        raise EngineUnavailable(
            f"{place} needs the file system of {protocol}: pip install 'srup[remote]' ({error})"
        ) from error
    except ValueError as error:
        raise ReadError(f"cannot read {place}: {_said(error)}; check the address") from error
    return system, path
