"""Writing files whole or not at all, hashing them, and the folder of the cache."""

from __future__ import annotations

import ctypes
import errno
import functools
import hashlib
import itertools
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import platformdirs

from srup import temporaries
from srup.errors import AlreadyExists, WriteError

CHUNK = 1 << 20  # bytes
ELSEWHERE = "{output} names another place"
REPLACE = ("{overwrite} replaces it", ELSEWHERE, "{suffix} another name")  # a file that exists
KEPT = 180  # bytes of a long name in a temporary name; file systems allow about 255
SCRATCH = ".pixels.tif"  # ends the name of what is written on the way to a temporary file
HEX = "[0-9a-f]" * 8
# the group is the shortened name of the file that it becomes
TEMPORARY = re.compile(rf"\.(.+)\.{HEX}\.part(?:{re.escape(SCRATCH)})?", re.DOTALL)
AT_FDCWD, RENAME_NOREPLACE = -100, 1  # of Linux's renameat2
# what calls fail with that a system or file system does not have
NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP)

CACHES = ("weights", "openvino", "own", "journals")  # folders in the cache

_unfinished: set[Path] = set()  # the temporary files that this process is writing


def cache() -> Path:
    """The folder of the cache: `SRUP_CACHE`, or where the platform keeps caches."""
    return Path(os.environ.get("SRUP_CACHE") or platformdirs.user_cache_path("srup"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the folder of `path`; replaces `path` with it at the end.

    A file that is replaced hands on its permissions, and its owner where that is allowed. If the
    block raises, the temporary file is removed and `path` stays as it was. Raises WriteError with
    the name of `path` for what the file system refuses.
    """
    with writing(path):
        before = _status(path)
    # never open to more readers than the file that it replaces
    with _temporary_beside(path, 0o600 if before else 0o666) as temporary:
        yield temporary
        if before:
            _hand_on(before, temporary)
        temporary.replace(path)


@contextmanager
def creating(path: Path) -> Iterator[Path]:
    """The same for a file that is new: `path` is never replaced, also if it appears meanwhile.

    Raises AlreadyExists then.
    """
    with _temporary_beside(path) as temporary:
        yield temporary
        try:
            _move_to_free(temporary, path)
        except FileExistsError as error:
            about = f"{path} exists: it appeared while srup was at work"
            raise AlreadyExists(about, *REPLACE) from error


def placing(path: Path, *, overwrite: bool) -> AbstractContextManager[Path]:
    """`replacing` where a file may be replaced, or else `creating`."""
    return replacing(path) if overwrite else creating(path)


@contextmanager
def _temporary_beside(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yields an empty temporary file in the folder of `path`; nothing is left there afterwards.

    What killed processes left of the same file is removed too.
    """
    for left in _left_in(path.parent).pop(shortened(path.name), ()):
        remove_if_abandoned(left)
    temporary = _temporary(path)
    _unfinished.add(temporary)
    try:
        with writing(path), temporaries.held(temporary, mode):
            yield temporary
    finally:
        _remove(temporary)
        _unfinished.discard(temporary)


def _temporary(path: Path) -> Path:
    # A rename is atomic only within a file system, so the file lies in the same folder. The random
    # part keeps two processes that write the same path from sharing it.
    return path.with_name(f".{shortened(path.name)}.{secrets.token_hex(4)}.part")


def shortened(name: str) -> str:
    """The beginning of a file name that leaves room for what makes it a temporary name."""
    while len(os.fsencode(name)) > KEPT:
        name = name[:-1]
    return name


def scratch(temporary: Path) -> Path:
    """A second temporary path, for what is written on the way to a temporary file."""
    return temporary.with_name(f"{temporary.name}{SCRATCH}")


def remove_unfinished() -> None:
    """Removes what this process is writing, and its temporary folders, before it ends at once."""
    for temporary in list(_unfinished):
        _remove(temporary)
    temporaries.remove_folders()


def remove_abandoned() -> None:
    """Removes what killed processes left in TMPDIR and in the cache.

    In the folders of results, what they left of a file is removed when it is written again.
    """
    temporaries.remove_abandoned_folders(Path(tempfile.gettempdir()))
    for folder in (cache(), *(cache() / name for name in CACHES)):
        temporaries.remove_abandoned_folders(folder, prefix=".")
        for left in itertools.chain.from_iterable(_left_in(folder).values()):
            remove_if_abandoned(left)


# A folder is looked through once: with many thousand files that takes a while.
@functools.lru_cache(maxsize=100)
def _left_in(folder: Path) -> dict[str, list[Path]]:
    """The temporary files in a folder by the (shortened) names of the files that they become."""
    found: dict[str, list[Path]] = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = TEMPORARY.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                found.setdefault(match[1], []).append(Path(entry.path))
    return found


def remove_if_abandoned(left: Path) -> None:
    """Removes a temporary file that no process holds; a second one goes with the first.

    What cannot be removed stays.
    """
    first = left.with_name(left.name.removesuffix(SCRATCH))
    if temporaries.is_abandoned(first) or (first != left and not first.exists()):
        _remove(first)


def _remove(temporary: Path) -> None:
    for path in (temporary, scratch(temporary)):
        # what cannot be removed must not hide why the file could not be written
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _status(path: Path) -> os.stat_result | None:
    """The status of a regular file; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _hand_on(before: os.stat_result, path: Path) -> None:
    """Gives a file the permissions of another, and its owner and group where that is allowed."""
    for user, group in ((before.st_uid, -1), (-1, before.st_gid)):
        with suppress(OSError, AttributeError):  # AttributeError: Windows
            os.chown(path, user, group)
    with suppress(OSError):
        path.chmod(stat.S_IMODE(before.st_mode))


def _move_to_free(source: Path, target: Path) -> None:
    """Moves a file to a path where there is none. Raises FileExistsError."""
    for move in (_rename_to_free, _link_to_free):
        try:
            return move(source, target)
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
    return _claim_and_replace(source, target)


def _rename_to_free(source: Path, target: Path) -> None:
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    names = (AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target))
    if libc.renameat2(*names, RENAME_NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def _link_to_free(source: Path, target: Path) -> None:
    os.link(source, target)
    source.unlink()


def _claim_and_replace(source: Path, target: Path) -> None:
    # two steps: a process that is killed in between leaves an empty file
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    source.replace(target)


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
    if error.errno == errno.ENAMETOOLONG:
        return "the name is too long for this file system", ELSEWHERE, "{suffix} another name"
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


def make_folders(folder: Path) -> None:
    """Makes a folder, with those above it that are missing. Raises OSError."""
    # Path.mkdir calls itself for each of them, and trees may be deeper than Python can call
    missing = itertools.takewhile(lambda each: not each.exists(), (folder, *folder.parents))
    for each in (*reversed(list(missing)), folder):
        each.mkdir(exist_ok=True)


def check_folder(path: Path) -> None:
    """Raises WriteError if no file could be created at `path`; call it before long work."""
    with writing(path):
        # Permissions alone do not tell (root, read-only mounts, quotas), so a file is created.
        probe = _temporary(path)
        with temporaries.held(probe):
            probe.unlink()


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raises AlreadyExists if there is a file at `path` and `overwrite` is false, WriteError if
    none can be created there.
    """
    with writing(path):
        exists = path.exists()
    if exists and not overwrite:
        raise AlreadyExists(f"{path} exists", "{overwrite} replaces it", "{output} names another")
    check_folder(path)
