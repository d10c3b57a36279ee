"""Published weights: a URL and a digest become a verified file in the cache.

Environment variables: SRUP_CACHE is the folder of the cache, SRUP_MIRROR a URL that is asked first
for each file, SRUP_OFFLINE=1 forbids downloads.
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
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock

from srup.errors import DigestMismatch, DownloadError, Offline, SrupError, WeightsError
from srup.files import cache, hashed
from srup.models import checkpoints, registry
from srup.models.registry import Model
from srup.progress import Progress, ignore

if TYPE_CHECKING:  # importing torch takes seconds
    from srup.networks.base import Network

log = logging.getLogger(__name__)

ATTEMPTS = 3  # per source, after time-outs, broken connections and faults of the server
TIMEOUT = (10.0, 30.0)  # seconds: to connect, and between two bytes
PAUSE = 1.0  # seconds before the second attempt, doubled before the third
CHUNK = 1 << 18  # bytes
RETRY_STATUS = (408, 429)  # client errors that pass: time-out, too many requests


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
    timeout: tuple[float, float] = TIMEOUT,
    pause: float = PAUSE,
) -> Path:
    """The path of a verified file in the cache, downloaded if it is missing or damaged.

    A partial download is resumed, and two processes that need the same file download it once.
    `progress(done, total)` counts bytes; total 0 means unknown. `timeout` and `pause` are in
    seconds, as TIMEOUT and PAUSE. Raises Offline, DownloadError, DigestMismatch.
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
            _download(file, target, sources(file, urls), digest, progress or ignore, timeout, pause)
    return target


def _ready(target: Path, digest: str) -> bool:
    if not target.exists():
        return False
    if matches(target, digest):
        return True
    log.warning("%s is damaged and is downloaded again", target)
    return False


@contextmanager
def locked_in_cache(target: Path, failure: type[SrupError], *hints: str) -> Iterator[None]:
    """Makes the folder of a file in the cache and holds the file's lock while the block runs.

    Raises `failure` with `hints` for everything that the file system refuses meanwhile.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f"{target.name}.lock")):
            yield
    except OSError as error:
        raise failure(
            f"cannot write {target} ({error.strerror or error}); free space there, allow writing, "
            "or set SRUP_CACHE to another folder",
            *hints,
        ) from error


def _download(
    file: str,
    target: Path,
    urls: list[str],
    digest: str,
    progress: Progress,
    timeout: tuple[float, float],
    pause: float,
) -> None:
    """Gets the file from the first source whose delivery is complete and verified."""
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
    mismatched = any(isinstance(error, DigestMismatch) for error in failures)
    kind = DigestMismatch if mismatched else DownloadError
    reasons = "; ".join(str(error) for error in failures) or "no source is known"
    raise kind(
        f"could not get {file}: {reasons}; try again later or set SRUP_MIRROR",
        "{weights=FILE} takes the file from elsewhere",
    )


def _from_source(
    url: str,
    partial: Path,
    digest: str,
    progress: Progress,
    timeout: tuple[float, float],
    pause: float,
) -> None:
    """Downloads the file from one source to `partial` and verifies it.

    A resumed download that does not verify is repeated from the start. Raises DownloadError,
    DigestMismatch.
    """
    host = urlsplit(url).netloc or url
    resumed = partial.exists() and partial.stat().st_size > 0
    _persist(url, partial, progress, timeout, pause)
    if resumed and not matches(partial, digest):
        partial.unlink()
        _persist(url, partial, progress, timeout, pause)
    if not matches(partial, digest):
        partial.unlink()
        kind = digest.partition(":")[0]
        raise DigestMismatch(
            f"what {host} sent is not what was published (its {kind} digest differs)"
        )


def _persist(
    url: str, partial: Path, progress: Progress, timeout: tuple[float, float], pause: float
) -> None:
    """Streams until the file is complete, resuming after errors that may pass.

    Raises DownloadError for other errors, and after the last attempt.
    """
    import requests

    host = urlsplit(url).netloc or url
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _stream(url, partial, progress, timeout)
        except requests.HTTPError as error:
            status = error.response.status_code
            if status < 500 and status not in RETRY_STATUS:
                raise DownloadError(f"{host} answers {status} for {urlsplit(url).path}") from error
            reason = f"{host} answers {status}"
        except requests.Timeout:
            reason = f"{host} does not answer within {timeout[1]:g} s"
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            reason = f"the connection to {host} fails or breaks off"
        except requests.RequestException as error:  # an invalid URL, too many redirects
            raise DownloadError(f"{url}: {error}") from error
        log.info("%s (attempt %d of %d)", reason, attempt, ATTEMPTS)
        if attempt < ATTEMPTS:
            time.sleep(pause * 2 ** (attempt - 1))
    raise DownloadError(f"{reason}, {ATTEMPTS} times")


def _stream(url: str, partial: Path, progress: Progress, timeout: tuple[float, float]) -> None:
    """Appends to `partial` what is missing of it. Raises requests.RequestException."""
    import requests

    start = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # ranges must count the file's own bytes
    if start:
        headers["Range"] = f"bytes={start}-"
    with requests.get(url, stream=True, timeout=timeout, headers=headers) as response:
        if response.status_code == 416:  # the part is at least as long as the file
            if response.headers.get("Content-Range", "").endswith(f"/{start}"):
                return  # exactly as long: complete
            partial.unlink()
            raise requests.ConnectionError("the partial file does not fit")
        response.raise_for_status()
        if response.status_code != 206:  # the server ignores ranges and sends the whole file
            start = 0
        done, total = start, start + int(response.headers.get("Content-Length", 0))
        with partial.open("ab" if start else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total if total > start else 0)


def packaged(model: Model) -> bool:
    """Whether the weights are part of the installed package."""
    return model.released and not model.urls


def at_hand(model: Model) -> bool:
    """Whether the weights are here already, without a download."""
    return packaged(model) or (model.released and path_of(model.file).exists())


def verified(model: Model, *, progress: Progress | None = None) -> Path:
    """The path of a row's weights: from the package, from the cache, or else downloaded.

    What is downloaded or cached is verified against the row's digest. Raises WeightsError.
    """
    if not model.released:
        raise WeightsError(
            f"{model.name} ×{model.scale} has no weights to download ({model.note})",
            "give a checkpoint with {weights=FILE}",
        )
    if packaged(model):
        return Path(str(resources.files("srup.networks") / model.file))
    return fetch(model.file, urls=model.urls, digest=model.digest, progress=progress)


def loaded(model: Model, path: Path) -> Network:
    """The network of a row with the weights of a checkpoint file, in evaluation mode.

    With a strength below 1 they are mixed with those of the row's origin. Raises WeightsError.
    """
    network = checkpoints.load_weights(registry.build(model), path)
    if model.strength < 1:
        origin = registry.find(model.origin)[model.scale]
        other = loaded(origin, verified(origin)).state_dict()
        own = network.state_dict()
        network.load_state_dict({name: other[name].lerp(own[name], model.strength) for name in own})
    return network
