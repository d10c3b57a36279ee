"""Temporary files and folders, and what processes that were killed left of them.

Whoever makes one holds a lock on it while it is in use. A lock ends with its process, however that
ends: what no process holds was left behind, whatever a clock or the number of a process says.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there nothing is taken for abandoned
    fcntl = None  # type: ignore[assignment]

PREFIX = "srup-"
MARK = ".srup"  # the file in a folder that says whose it is, and is locked while it is in use

_folders: set[Path] = set()  # that this process has in use


@contextmanager
def held(path: Path, mode: int = 0o666) -> Iterator[None]:
    """Creates an empty file and holds a lock on it while the block runs. Raises OSError."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
    if fcntl is None:  # a file that is open could not be renamed
        os.close(descriptor)
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks: it is never taken for abandoned
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def is_abandoned(path: Path) -> bool:
    """Whether no process holds a file that `held` created; False where that cannot be known."""
    if fcntl is None:
        return False
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def folder(parent: Path | None = None, prefix: str = PREFIX) -> Iterator[Path]:
    """Yields an empty folder, of TMPDIR if no `parent` is named, and removes it with all in it.

    Raises OSError.
    """
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as made:
        path = Path(made)
        _folders.add(path)
        try:
            with held(path / MARK, 0o600):
                yield path
        finally:
            _folders.discard(path)


def remove_folders() -> None:
    """Removes the folders that this process has in use, before it ends at once."""
    for path in list(_folders):
        shutil.rmtree(path, ignore_errors=True)


def remove_abandoned_folders(parent: Path, prefix: str = PREFIX) -> None:
    """Removes folders that `folder` made in `parent` and that no process holds any more."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            is_folder = entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False)
            # other users of a shared TMPDIR may name folders as they like
            if is_folder and _is_own(entry) and is_abandoned(Path(entry.path) / MARK):
                shutil.rmtree(entry.path, ignore_errors=True)


def _is_own(entry: os.DirEntry[str]) -> bool:
    owner = entry.stat(follow_symlinks=False).st_uid
    return not hasattr(os, "getuid") or owner == os.getuid()
