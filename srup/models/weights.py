"""Published weights on this machine: a URL and a digest become a verified file in the cache.

The environment has a say: SRUP_CACHE is where the cache lies, SRUP_MIRROR a URL asked first for each file, SRUP_OFFLINE=1
forbids the network.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from srup.errors import DigestMismatch, DownloadError, Offline, WeightsError
from srup.files import cache, hashed
from srup.models.registry import Model
from srup.progress import Progress, ignore

log = logging.getLogger(__name__)

ATTEMPTS = 3  # per source, for what may pass: time-outs, broken connections, a server's own faults
TIMEOUT = (10.0, 30.0)  # seconds to connect, and without a byte
PAUSE = 1.0  # seconds before the second attempt, doubled for the third
CHUNK = 1 << 18  # bytes


def path_of(file: str) -> Path:
    """Where a weights file lies in the cache, or would."""
    return cache() / "weights" / file


def offline() -> bool:
    return os.environ.get("SRUP_OFFLINE", "") not in ("", "0")


def sources(file: str, urls: tuple[str, ...]) -> list[str]:
    """The URLs to try, in order: the mirror's, then the authors'."""
    mirror = os.environ.get("SRUP_MIRROR")
    return [f"{mirror.rstrip('/')}/{file}", *urls] if mirror else list(urls)


def matches(path: Path, digest: str) -> bool:
    """Whether the file's bytes are those of `digest`: "sha256:" and 64 hexadecimal digits, or the first of them where only those
    are published, or "git:" and the 40 digits that git calls a file's content by (SHA-1 of "blob LENGTH", a zero and the bytes).
    """
    kind, _, expected = digest.partition(":")
    state = (
        hashlib.sha1(f"blob {path.stat().st_size}\0".encode())
        if kind == "git"
        else hashlib.new(kind)
    )
    return hashed(path, state).startswith(expected)


def fetch(
    file: str,
    *,
    urls: tuple[str, ...],
    digest: str,
    progress: Progress | None = None,
    timeout: tuple[float, float] = TIMEOUT,
    pause: float = PAUSE,
) -> Path:
    """The verified file in the cache, downloaded if it is not there.

    A partial download is resumed; two processes that want the same file download it once. `progress(done, total)` counts bytes
    (total 0: unknown). Raises Offline, DownloadError, DigestMismatch.
    """
    target = path_of(file)
    if _ready(target, digest):
        return target
    if offline():
        raise Offline(
            f"{file} is not in the cache ({target.parent}) and SRUP_OFFLINE forbids to download it; "
            "unset SRUP_OFFLINE, put the file there, or give one with --weights"
        )
    with _writable(target), _lock(target):
        if not _ready(target, digest):  # another process may have been quicker
            _download(file, target, sources(file, urls), digest, progress or ignore, timeout, pause)
    return target


def _ready(target: Path, digest: str) -> bool:
    if not target.exists():
        return False
    if matches(target, digest):
        return True
    log.warning("%s is damaged; it is downloaded anew", target)
    return False


@contextmanager
def _writable(target: Path) -> Iterator[None]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise DownloadError(
            f"cannot write {target} ({error.strerror or error}); make room and permission there, or set SRUP_CACHE elsewhere"
        ) from error


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    with FileLock(target.with_name(f"{target.name}.lock")):
        yield


def _download(
    file: str,
    target: Path,
    urls: list[str],
    digest: str,
    progress: Progress,
    timeout: tuple[float, float],
    pause: float,
) -> None:
    """The file from the first source that delivers it whole and right."""
    partial = target.with_name(f"{target.name}.part")
    failures: list[WeightsError] = []
    for url in urls:
        try:
            _from_source(url, partial, digest, progress, timeout, pause)
        except WeightsError as error:
            log.info("%s", error)
            failures.append(error)
        else:
            partial.replace(target)
            return
    wrong = [error for error in failures if isinstance(error, DigestMismatch)]
    kind = DigestMismatch if wrong else DownloadError
    reasons = "; ".join(str(error) for error in failures) or "no source is known"
    raise kind(
        f"could not get {file}: {reasons}; try again later, set SRUP_MIRROR, or give the file with --weights"
    )


def _from_source(
    url: str,
    partial: Path,
    digest: str,
    progress: Progress,
    timeout: tuple[float, float],
    pause: float,
) -> None:
    """The file of one source in `partial`, verified. What was resumed and does not verify is had once more, whole."""
    host = urlsplit(url).netloc or url
    resumed = partial.exists() and partial.stat().st_size > 0
    _persist(url, partial, progress, timeout, pause)
    if resumed and not matches(partial, digest):
        partial.unlink()
        _persist(url, partial, progress, timeout, pause)
    if not matches(partial, digest):
        partial.unlink()
        raise DigestMismatch(
            f"what {host} sent is not what was published (its {digest.partition(':')[0]} is another)"
        )


def _persist(
    url: str, partial: Path, progress: Progress, timeout: tuple[float, float], pause: float
) -> None:
    """Streams until the file is complete, from where it broke off. Raises DownloadError for what does not pass."""
    import requests

    host = urlsplit(url).netloc or url
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _stream(url, partial, progress, timeout)
        except requests.HTTPError as error:
            status = error.response.status_code
            if status < 500 and status not in (408, 429):
                raise DownloadError(f"{host} answers {status} for {urlsplit(url).path}") from error
            reason: Exception | str = f"{host} answers {status}"
        except requests.Timeout:
            reason = f"{host} does not answer within {timeout[1]:g} s"
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            reason = f"the connection to {host} fails or breaks off"
        except requests.RequestException as error:  # a URL that is none, too many redirects
            raise DownloadError(f"{url}: {error}") from error
        log.info("%s (attempt %d of %d)", reason, attempt, ATTEMPTS)
        if attempt < ATTEMPTS:
            time.sleep(pause * 2 ** (attempt - 1))
    raise DownloadError(f"{reason}, {ATTEMPTS} times")


def _stream(url: str, partial: Path, progress: Progress, timeout: tuple[float, float]) -> None:
    import requests

    start = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # the bytes as they are, so that a Range counts them
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, stream=True, timeout=timeout, headers=headers) as response:
        if (
            response.status_code == 416
        ):  # the part is as long as the file or longer: whole, or to be had anew
            if response.headers.get("Content-Range", "").endswith(f"/{start}"):
                return
            partial.unlink()
            raise requests.ConnectionError("the partial file does not fit")
        response.raise_for_status()
        start = start if response.status_code == 206 else 0
        done, total = start, start + int(response.headers.get("Content-Length", 0))
        with partial.open("ab" if start else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total if total > start else 0)


def packaged(model: Model) -> bool:
    """Whether the weights travel in the package."""
    return model.released and not model.urls


def at_hand(model: Model) -> bool:
    """Whether the weights need no download."""
    return packaged(model) or (model.released and path_of(model.file).exists())


def verified(model: Model, *, progress: Progress | None = None) -> Path:
    """The verified weights of a row: from the package, the cache, or else downloaded. Raises WeightsError."""
    if not model.released:
        raise WeightsError(
            f"{model.name} ×{model.scale} has no weights to fetch ({model.note}); give a checkpoint with --weights FILE"
        )
    if packaged(model):
        return Path(str(resources.files("srup.networks") / model.file))
    return fetch(model.file, urls=model.urls, digest=model.digest, progress=progress)
