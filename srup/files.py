"""How a file appears: whole, by rename from a temporary name in the same folder, or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from srup.errors import WriteError

CHUNK = 1 << 20  # bytes


def cache() -> Path:
    """The folder of everything srup keeps for later: SRUP_CACHE, or the platform's own place for
    caches.
    """
    return Path(os.environ.get("SRUP_CACHE") or platformdirs.user_cache_path("srup"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it
    does not.

    Raises WriteError for what the file system refuses, naming `path`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with writing(path):
            yield temporary
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the operating system says against writing `path`, in one line that says what to do."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"cannot write {path}: {_advice(error, path.parent)}") from error


def _advice(error: OSError, folder: Path) -> str:
    if isinstance(error, FileNotFoundError):
        return f"the folder {folder} does not exist; create it first, or give another with -o"
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return f"{folder} is a file, not a folder; give another place"
    if isinstance(error, PermissionError) or error.errno == 30:  # EROFS
        return f"the folder {folder} may not be written to; give another place with -o"
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return "the disk is full; free some space, or give another place with -o"
    return error.strerror or str(error)


def hashed(path: Path, state: hashlib._Hash | None = None) -> str:
    """The digest of a file's bytes in hexadecimal: SHA-256, or what `state` computes."""
    state = state or hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            state.update(chunk)
    return state.hexdigest()


def check_folder(path: Path) -> None:
    """Raises WriteError if a file `path` could not be created: better known before the work than
    after it.
    """
    with writing(path):
        probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        probe.touch()
        probe.unlink()


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises WriteError if a file is there that may not be replaced, or none could be created."""
    if path.exists() and not overwrite:
        raise WriteError(f"{path} exists; -y replaces it, -o names another")
    check_folder(path)
