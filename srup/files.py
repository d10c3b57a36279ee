"""Writing files whole or not at all, hashing them, and the folder of the cache."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from srup.errors import WriteError

CHUNK = 1 << 20  # bytes
ELSEWHERE = "{output} names another place"


def cache() -> Path:
    """The folder of the cache: `SRUP_CACHE`, or where the platform keeps caches."""
    return Path(os.environ.get("SRUP_CACHE") or platformdirs.user_cache_path("srup"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; replaces `path` with it at the end.

    If the block raises, the temporary file is removed and `path` stays as it was. Raises WriteError
    with the name of `path` for what the file system refuses.
    """
    temporary = _temporary(path)
    try:
        with writing(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    # A rename is atomic only within a file system, so the file lies in the same folder. The random
    # part keeps two processes that write the same path from sharing it.
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError raised while writing `path` into a WriteError that says what to do."""
    try:
        yield
    except OSError as error:
        reason, *hints = _explained(error, path.parent)
        raise WriteError(f"cannot write {path}: {reason}", *hints) from error


def _explained(error: OSError, folder: Path) -> tuple[str, ...]:
    """What is wrong in words, followed by hints."""
    if isinstance(error, FileNotFoundError):
        return f"the folder {folder} does not exist; create it first", ELSEWHERE
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return f"{folder} is a file, not a folder", ELSEWHERE
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return f"the folder {folder} may not be written to", ELSEWHERE
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space", ELSEWHERE
    return (error.strerror or str(error),)


class NotRegular(OSError):
    """A pipe, a socket or a device stands where a file should: to read it might never end."""


def check_regular(path: Path) -> None:
    """Raises NotRegular, IsADirectoryError or another OSError unless there is a file to read.

    To be called before a file that somebody else named is opened: opening a pipe waits for whoever
    writes to it, and a device such as /dev/zero has no end.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise NotRegular(errno.EINVAL, "a pipe, a socket or a device, not a file", str(path))


def hashed(path: Path, state: hashlib._Hash | None = None) -> str:
    """The digest of a file in hexadecimal: SHA-256, or what the hash object `state` computes.

    Raises OSError, also for what is no regular file.
    """
    check_regular(path)
    state = state or hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
    return state.hexdigest()


def check_folder(path: Path) -> None:
    """Raises WriteError if no file could be created at `path`; call it before long work."""
    with writing(path):
        # Permissions alone do not tell (root, read-only mounts, quotas), so a file is created.
        probe = _temporary(path)
        probe.touch()
        probe.unlink()


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises WriteError if a file exists at `path` and `overwrite` is false, or none can be
    created there.
    """
    if path.exists() and not overwrite:
        raise WriteError(f"{path} exists", "{overwrite} replaces it", "{output} names another")
    check_folder(path)
