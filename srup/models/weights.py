"""Published weights: a URL and a digest become a verified file in the cache.

Environment variables: SRUP_CACHE is the folder of the cache, SRUP_MIRROR a URL that is asked first
for each file, SRUP_OFFLINE=1 forbids downloads.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from srup.errors import DigestMismatch, DownloadError, Offline, SrupError, WeightsError
from srup.files import cache, check_regular, hashed
from srup.models import checkpoints, registry
from srup.models.downloads import Limits, download, host
from srup.models.registry import Model
from srup.progress import Progress, ignore

if TYPE_CHECKING:  # importing torch takes seconds
    from srup.networks.base import Network

log = logging.getLogger(__name__)


def path_of(file: str) -> Path:
    """The path of a weights file in the cache, whether it is there or not."""
    return cache() / "weights" / file


def offline() -> bool:
    """Whether SRUP_OFFLINE forbids downloads."""
    return os.environ.get("SRUP_OFFLINE", "") not in ("", "0")


def sources(file: str, urls: tuple[str, ...]) -> list[str]:
    """The URLs to try, in order: the mirror's, then the authors'."""
    mirror = os.environ.get("SRUP_MIRROR")
    if not mirror:
        return list(urls)
    return [f"{mirror.rstrip('/')}/{file}", *urls]


def matches(path: Path, digest: str) -> bool:
    """Whether a file has a digest.

    A digest is "sha256:" and 64 hexadecimal digits, or the first of them where no more are
    published; or "git:" and the 40 digits of git's blob id, which is the SHA-1 of "blob LENGTH", a
    zero byte and the content.
    """
    kind, _, expected = digest.partition(":")
    if kind == "git":
        state = hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
    else:
        state = hashlib.new(kind)
    return hashed(path, state).startswith(expected)


def fetch(
    file: str,
    *,
    urls: tuple[str, ...],
    digest: str,
    progress: Progress | None = None,
    limits: Limits | None = None,
) -> Path:
    """The path of a verified file in the cache, downloaded if it is missing or damaged.

    A partial download is resumed, and two processes that need the same file download it once.
    `progress(done, total)` counts bytes; total 0 means unknown. Raises Offline, DownloadError,
    DigestMismatch, and WeightsError if what stands in the cache cannot be read.
    """
    target = path_of(file)
    if _ready(target, digest):
        return target
    if offline():
        raise Offline(
            f"{file} is not in the cache ({target.parent}) and SRUP_OFFLINE forbids downloads; "
            "unset SRUP_OFFLINE or put the file there",
            "{weights=FILE} takes it from elsewhere",
        )
    with locked_in_cache(target, DownloadError):
        if not _ready(target, digest):  # another process may have been quicker
            _download(file, target, digest, urls, progress or ignore, limits or Limits())
    return target


def _ready(target: Path, digest: str) -> bool:
    """Whether the file is there and right. Raises WeightsError for what cannot be read."""
    try:
        right = matches(target, digest)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise WeightsError(
            f"cannot read {target} ({error.strerror}); remove it, or set SRUP_CACHE to another "
            "folder",
            "{weights=FILE} takes the file from elsewhere",
        ) from error
    if not right:
        log.warning("%s is damaged and is downloaded again", target)
    return right


@contextmanager
def locked_in_cache(target: Path, failure: type[SrupError], *hints: str) -> Iterator[None]:
    """Makes the folder of a file in the cache and holds the file's lock while the block runs.

    Tells whom it waits for. Raises `failure` with `hints` for everything that the file system
    refuses meanwhile.
    """
    holder = target.with_name(f"{target.name}.holder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target, holder):
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}")
            try:
                yield
            finally:
                holder.unlink(missing_ok=True)
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or error
        raise failure(
            f"cannot write {target} ({reason}); free space there, allow writing, "
            "or set SRUP_CACHE to another folder",
            *hints,
        ) from error


@contextmanager
def _locked(target: Path, holder: Path) -> Iterator[None]:
    """Holds the lock of `target`; while another has it, a warning says who: `holder` names it."""
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = "another process"
        with suppress(OSError, UnicodeDecodeError):
            who = holder.read_text() or who
        log.warning("waiting for %s, which is at %s", who, target.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _download(
    file: str,
    target: Path,
    digest: str,
    urls: tuple[str, ...],
    progress: Progress,
    limits: Limits,
) -> None:
    """Gets the file from the first source whose delivery is complete and verified."""
    partial = target.with_name(f"{target.name}.part")
    failures: list[WeightsError] = []
    for url in sources(file, urls):
        try:
            _from_source(url, partial, digest, progress, limits)
        except WeightsError as error:
            log.info("%s", error)
            failures.append(error)
        else:
            partial.replace(target)
            return
    mismatched = any(isinstance(error, DigestMismatch) for error in failures)
    kind = DigestMismatch if mismatched else DownloadError
    reasons = "; ".join(str(error) for error in failures) or "no source is known"
    raise kind(
        f"could not get {file}: {reasons}; try again later or set SRUP_MIRROR",
        "{weights=FILE} takes the file from elsewhere",
    )


def _from_source(url: str, partial: Path, digest: str, progress: Progress, limits: Limits) -> None:
    """Downloads the file from one source to `partial` and verifies it.

    A resumed download that does not verify is repeated from the start. Raises DownloadError,
    DigestMismatch; OSError if the part cannot be written.
    """
    with suppress(FileNotFoundError):
        check_regular(partial)
    resumed = partial.exists() and partial.stat().st_size > 0
    download(url, partial, progress, limits)
    if resumed and not matches(partial, digest):
        partial.unlink()
        download(url, partial, progress, limits)
    if not matches(partial, digest):
        partial.unlink()
        kind = digest.partition(":")[0]
        raise DigestMismatch(
            f"what {host(url)} sent is not what was published (its {kind} digest differs)"
        )


def packaged(model: Model) -> bool:
    """Whether the weights are part of the installed package."""
    return model.released and not model.urls and not model.is_file


def at_hand(model: Model) -> bool:
    """Whether the weights are here already, without a download."""
    return model.is_file or packaged(model) or (model.released and cached(model))


def cached(model: Model) -> bool:
    """Whether there is a file in the cache under the name of the weights, right or not."""
    try:
        return path_of(model.file).is_file()
    except OSError:  # a folder that may not be looked into
        return False


def verified(model: Model, *, progress: Progress | None = None) -> Path:
    """The path of a row's weights: from the package, from the cache, or else downloaded.

    What is downloaded or cached is verified against the row's digest. Raises WeightsError.
    """
    if not model.released:
        raise WeightsError(
            f"{model.name} ×{model.scale} has no weights to download ({model.note})",
            "give a checkpoint with {weights=FILE}",
        )
    if model.is_file:
        return Path(model.file)
    if packaged(model):
        return Path(str(resources.files("srup.networks") / model.file))
    limits = Limits(largest=model.most_bytes)
    return fetch(model.file, urls=model.urls, digest=model.digest, progress=progress, limits=limits)


def loaded(model: Model, path: Path) -> Network:
    """The network of a row with the weights of a checkpoint file, in evaluation mode.

    With a strength below 1 they are mixed with those of the row's origin. Raises WeightsError.
    """
    if model.of_others:
        return registry.build(model)
    network = checkpoints.load_weights(registry.build(model), path)
    if model.strength < 1:
        origin = registry.find(model.origin)[model.scale]
        other = loaded(origin, verified(origin)).state_dict()
        own = network.state_dict()
        network.load_state_dict({name: other[name].lerp(own[name], model.strength) for name in own})
    return network
