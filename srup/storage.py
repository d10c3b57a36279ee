"""Files by path or by URL: local ones with the standard library, all others with fsspec."""

from __future__ import annotations

import logging
import os
import random
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import Any

from srup import temporaries
from srup.errors import AlreadyExists, EngineUnavailable, ReadError, SrupError, WriteError
from srup.files import REPLACE, hashed, make_folders, writing

# File systems name what changes with a file differently. The most reliable come first: an ETag
# follows the content, a time has the resolution of a clock.
STAMPS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "created")
SORTED = 10_000  # names of a folder that are read and sorted before the first is told
WAITS = (1.0, 4.0, 16.0)  # seconds before a transfer that failed is made again

log = logging.getLogger(__name__)
_tries = threading.local()


@dataclass(frozen=True)
class Entry:
    """A file or folder that was found on a disk or a server."""

    path: str  # or URL
    name: str  # relative to the folder that was listed
    size: int = 0  # bytes
    stamp: str = ""  # changes whenever the file does; "" if unknown
    folder: bool = False
    error: str = ""  # why it cannot be read, where that is known already
    link: bool = False  # a symbolic link, or in a folder that was reached by one


def is_url(place: str) -> bool:
    """Whether a place is a URL and not a path."""
    return "://" in place


def join(folder: str, name: str) -> str:
    """The path or URL of `name` in a folder."""
    if is_url(folder):
        return f"{folder.rstrip('/')}/{name}"
    return str(Path(folder) / name)


def absolute(place: str) -> str:
    """The place as an absolute path or a URL, valid in processes with other working folders."""
    return place if is_url(place) else str(Path(place).absolute())


def entry(place: str) -> Entry | None:
    """The file or folder at a path or URL; None if there is none.

    Raises ReadError if the file system does not let us see it.
    """
    if is_url(place):
        system, path = _system(place)
        with _read_errors(place):
            if not system.exists(path):
                return None
            return _remote(system.info(path), place, Path(path).name)
    try:
        return _local(Path(place), Path(place).name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ReadError(f"cannot read {place}: {reason}; check its name and permissions") from error


def listing(folder: str, *, recursive: bool = False) -> Iterator[Entry]:
    """The files and folders in a folder, sorted by name; hidden ones are left out.

    Of a folder with more than 10,000 the first come before all are known: it is sorted in runs of
    so many. With `recursive`, all files below it instead, each folder once although links are
    followed, and folders that cannot be read. What the file system refuses is an entry with an
    `error`. Raises ReadError for URLs.
    """
    return _listed(folder, recursive=recursive, hidden=False)


def _listed(folder: str, *, recursive: bool, hidden: bool) -> Iterator[Entry]:
    if is_url(folder):
        return _listing_remote(folder, recursive, hidden)
    return _listing_local(folder, recursive, hidden)


def _listing_local(folder: str, recursive: bool, hidden: bool) -> Iterator[Entry]:
    seen: set[tuple[int, int]] = set()
    # (folder, how names in it begin, whether a link led there); no recursion: folders may lie
    # deeper than Python can call
    waiting = [(folder, "", False)]
    while waiting:
        parent, prefix, linked = waiting.pop()
        below = []
        try:
            here = os.stat(parent)  # noqa: PTH116  (no Path for each of many thousand folders)
            if (here.st_dev, here.st_ino) in seen:  # a link to a folder above would never end
                continue
            seen.add((here.st_dev, here.st_ino))
            for found in _in_runs(parent, hidden):
                each = _local_or_error(found, prefix + found.name, linked)
                if recursive and each.folder and not each.error:
                    below.append((each.path, f"{each.name}{os.sep}", each.link))
                else:
                    yield each
        except OSError as error:
            yield _unreadable(parent, prefix.rstrip(os.sep) or ".", error, folder=True)
        waiting += sorted(below, reverse=True)


def _in_runs(folder: str, hidden: bool) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, sorted in runs. Raises OSError."""
    with os.scandir(folder) as found:
        while run := sorted(islice(found, SORTED), key=attrgetter("name")):
            for each in run:
                if hidden or not each.name.startswith("."):
                    yield each


def _local_or_error(found: os.DirEntry[str], name: str, linked: bool) -> Entry:
    try:
        status, link = found.stat(), linked or found.is_symlink()
    except FileNotFoundError:  # a broken link: reading it will say so
        return Entry(found.path, name)
    except OSError as error:
        # the folder says what it is, also where it cannot be reached
        return _unreadable(found.path, name, error, folder=found.is_dir(follow_symlinks=False))
    return _entry(found.path, name, status, link)


def _unreadable(path: str, name: str, error: OSError, *, folder: bool) -> Entry:
    about = f"cannot read {path}: {error.strerror}; check its owner and mode"
    return Entry(path, name, folder=folder, error=about)


def _local(path: Path, name: str) -> Entry:
    return _entry(str(path), name, path.stat(), link=True)  # or in a folder that is one


def _entry(path: str, name: str, status: os.stat_result, link: bool) -> Entry:
    folder = stat.S_ISDIR(status.st_mode)
    return Entry(path, name, status.st_size, str(status.st_mtime_ns), folder, link=link)


def _listing_remote(folder: str, recursive: bool, hidden: bool) -> Iterator[Entry]:
    system, root = _system(folder)
    with _read_errors(folder):
        if recursive:
            found = system.find(root, detail=True)
        else:
            found = {info["name"]: info for info in system.ls(root, detail=True)}
    for path, info in sorted(found.items()):
        name = os.path.relpath(path, root)
        if hidden or not any(part.startswith(".") for part in Path(name).parts):
            yield _remote(info, join(folder, name), name)


def _remote(info: dict[str, Any], place: str, name: str) -> Entry:
    """An entry made of fsspec's `info`, whose keys differ between file systems."""
    stamp = ""
    for key in STAMPS:
        if key in info:
            stamp = str(info[key])
            break
    size = int(info.get("size") or 0)
    return Entry(place, name, size, stamp, info.get("type") == "directory")


def digest(file: Path) -> str:
    """The SHA-256 of a local file in hexadecimal. Raises ReadError."""
    # what was read a moment ago may be gone
    try:
        return hashed(file)
    except OSError as error:
        raise ReadError(
            f"cannot read {file}: {error.strerror or error}; check its name and permissions"
        ) from error


def sizes(folder: str) -> dict[str, int]:
    """Relative path, with slashes, → bytes of all files below a folder, hidden ones too; {} if it
    does not exist. Folders that cannot be read count as empty.
    """
    if entry(folder) is None:
        return {}
    found = _listed(folder, recursive=True, hidden=True)
    return {each.name.replace(os.sep, "/"): each.size for each in found if not each.folder}


@contextmanager
def fetched(place: str) -> Iterator[Path]:
    """Yields a local file with the content of a path or URL; a copy is removed afterwards.

    Raises ReadError.
    """
    if not is_url(place):
        yield Path(place)
        return
    system, path = _system(place)
    with temporaries.folder() as folder:
        local = folder / Path(path).name
        with _read_errors(place):
            _persistently(system.get_file, path, str(local))
        yield local


@contextmanager
def stored(place: str, *, overwrite: bool = True) -> Iterator[Path]:
    """Yields a local path to write to; at the end its file is at the path or URL `place`.

    The folder is made. Raises WriteError, and AlreadyExists for a URL where there is a file that
    may not be replaced; what a local path has, whoever writes there finds.
    """
    if not is_url(place):
        with writing(Path(place)):
            make_folders(Path(place).parent)
        yield Path(place)
        return
    system, path = _system(place)
    with temporaries.folder() as folder:
        local = folder / Path(path).name
        yield local
        with _write_errors(place):
            if not overwrite and system.exists(path):
                raise AlreadyExists(f"{place} exists", *REPLACE)
            system.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
            _persistently(system.put_file, str(local), path)


def _persistently(transfer: Callable[[str, str], object], source: str, target: str) -> None:
    """Transfers a file, up to four times; between tries it waits longer and longer.

    Stores refuse requests when there are too many, and connections break.
    """
    for wait in WAITS:
        try:
            transfer(source, target)
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # each file system has errors of its own
            log.info("%s → %s: %s; once more in %g s", source, target, _one_line(error), wait)
            _tries.again = retries() + 1
            time.sleep(wait * random.uniform(0.5, 1))  # many workers must not all come back at once
        else:
            return
    transfer(source, target)


def retries() -> int:
    """How many transfers this thread had to make again so far."""
    return getattr(_tries, "again", 0)


@contextmanager
def _write_errors(place: str) -> Iterator[None]:
    """Turns whatever a file system raises into a WriteError."""
    try:
        yield
    except SrupError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise WriteError(
            f"cannot write {place}: {_one_line(error)}; check the address and the credentials"
        ) from error


@contextmanager
def _read_errors(place: str) -> Iterator[None]:
    """Turns whatever a file system raises into a ReadError."""
    try:
        yield
    except FileNotFoundError as error:
        raise ReadError(f"cannot read {place}: no such file; check the address") from error
    except Exception as error:  # each file system has errors of its own
        raise ReadError(
            f"cannot read {place}: {_one_line(error)}; check the address and the credentials"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _system(place: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises EngineUnavailable if the package for its protocol is not installed.
    """
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(place)
    except ImportError as error:
        protocol = place.partition("://")[0]
        raise EngineUnavailable(
            f"{place} needs the file system of {protocol}: pip install 'srup[remote]' ({error})"
        ) from error
    except ValueError as error:
        raise ReadError(f"cannot read {place}: {_one_line(error)}; check the address") from error
    return system, path
