"""One file over HTTP, from a source that may be slow, broken or hostile.

A download is bounded: by the bytes that the file has at most, and by time, also where bytes keep
dripping. It is resumed where it broke off.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from srup.errors import DownloadError
from srup.progress import Progress

if TYPE_CHECKING:  # importing requests takes a while: only a download waits for it
    from requests import Response

log = logging.getLogger(__name__)

ATTEMPTS = 3  # per source, after time-outs, broken connections and faults of the server
CHUNK = 1 << 18  # bytes at most between two looks at the clock
RETRY_STATUS = (408, 429)  # client errors that pass: time-out, too many requests
DIGITS = 15  # of a length; longer ones are nonsense


@dataclass(frozen=True)
class Limits:
    """What a source of a download is granted."""

    largest: int = 1 << 30  # bytes of the file
    connecting: float = 10.0  # seconds
    silence: float = 30.0  # seconds between two bytes
    pause: float = 1.0  # seconds before the second attempt, doubled before the third
    grace: float = 60.0  # seconds, whatever the size
    slowest: int = 8 << 10  # bytes a second

    @property
    def seconds(self) -> float:
        """How long all attempts together may take."""
        return self.grace + self.largest / self.slowest


def host(url: str) -> str:
    """Whom a URL asks, for messages: credentials are left out."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "an address without a host"
    except ValueError:
        return "a malformed address"


def download(url: str, partial: Path, progress: Progress, limits: Limits) -> None:
    """Streams until the file is complete, resuming after errors that may pass.

    What `partial` holds already is not asked for again. Raises DownloadError for other errors, and
    after the last attempt; OSError if the file cannot be written.
    """
    deadline = time.monotonic() + limits.seconds
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with _translated(url, limits):
                return _stream(url, partial, progress, limits, deadline)
        except _Passing as error:
            reason = str(error)
        log.info("%s (attempt %d of %d)", reason, attempt, ATTEMPTS)
        if attempt < ATTEMPTS:
            time.sleep(limits.pause * 2 ** (attempt - 1))
    raise DownloadError(f"{reason}, {ATTEMPTS} times")


class _Passing(Exception):
    """Raised for what may be over at the next attempt."""


class _Incomplete(Exception):
    """Raised where the connection ends before the file."""


@contextmanager
def _translated(url: str, limits: Limits) -> Iterator[None]:
    """Turns what requests and urllib3 raise into _Passing or DownloadError.

    Their own words are not repeated: they hold the whole URL, of redirects too, and so credentials.
    """
    import requests
    from urllib3 import exceptions

    whom = host(url)
    try:
        yield
    except requests.HTTPError as error:
        status = error.response.status_code
        if status < 500 and status not in RETRY_STATUS:
            about = f"{whom} answers {status} for {urlsplit(url).path}"
            raise DownloadError(about) from error
        raise _Passing(f"{whom} answers {status}") from error
    except (requests.Timeout, exceptions.TimeoutError) as error:
        raise _Passing(f"{whom} does not answer within {limits.silence:g} s") from error
    except (requests.ConnectionError, exceptions.ProtocolError, _Incomplete) as error:
        raise _Passing(f"the connection to {whom} fails or breaks off") from error
    # of an address or a header, here or after a redirect; too many redirects
    except (requests.RequestException, exceptions.HTTPError, ValueError) as error:
        raise DownloadError(f"{whom} answers nonsense ({type(error).__name__})") from error


def _stream(url: str, partial: Path, progress: Progress, limits: Limits, deadline: float) -> None:
    """Appends to `partial` what is missing of it."""
    start = _kept(partial, limits)
    headers = {"Accept-Encoding": "identity"}  # ranges must count the file's own bytes
    if start:
        headers["Range"] = f"bytes={start}-"
    with _answer(url, headers, limits, deadline) as response:
        if response.status_code == 416 and start:  # the part is at least as long as the file
            if response.headers.get("Content-Range", "").endswith(f"/{start}"):
                return  # exactly as long: complete
            partial.unlink()
            raise _Incomplete
        response.raise_for_status()
        if response.status_code != 206:  # the server ignores ranges and sends the whole file
            start = 0
        total = _total(response, start, url, limits)
        done = start
        with partial.open("ab" if start else "wb") as file:
            for data in _body(response, url, limits, deadline):
                done += len(data)
                _check_size(done, url, limits)
                file.write(data)
                progress(done, total or 0)
    if total and done < total:
        raise _Incomplete


def _kept(partial: Path, limits: Limits) -> int:
    """Bytes of an earlier attempt that can be gone on from."""
    if not partial.exists():
        return 0
    size = partial.stat().st_size
    if size <= limits.largest:
        return size
    partial.unlink()
    return 0


@contextmanager
def _answer(
    url: str, headers: dict[str, str], limits: Limits, deadline: float
) -> Iterator[Response]:
    """The head of an answer, before the deadline even if its lines drip."""
    answered: Future[Response] = Future()
    # a thread of its own: nothing in requests bounds the time that all bytes of a head take
    threading.Thread(target=_ask, args=(url, headers, limits, answered), daemon=True).start()
    if not wait([answered], max(deadline - time.monotonic(), 0)).done:
        answered.add_done_callback(_close)
        raise _too_slow(url, limits)
    with answered.result() as response:
        yield response


def _ask(url: str, headers: dict[str, str], limits: Limits, answered: Future[Response]) -> None:
    import requests

    times = (limits.connecting, limits.silence)
    try:
        answered.set_result(requests.get(url, stream=True, timeout=times, headers=headers))
    except Exception as error:
        answered.set_exception(error)


def _close(answered: Future[Response]) -> None:
    if not answered.exception():
        answered.result().close()


def _total(response: Response, start: int, url: str, limits: Limits) -> int | None:
    """Bytes that the whole file has by the answer's head; None if it does not say.

    Raises DownloadError for more than the file can have, and for compressed answers: what a few
    bytes of these become is not known before.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise DownloadError(f"{host(url)} sends it compressed, which was not asked for")
    length = response.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit() and len(length) <= DIGITS):
        return None
    _check_size(start + int(length), url, limits)
    return start + int(length)


def _body(response: Response, url: str, limits: Limits, deadline: float) -> Iterator[bytes]:
    """The bytes of an answer as they come, until the deadline."""
    # read1 hands over what has come, where other ways would wait for all of a chunk
    while data := response.raw.read1(CHUNK, decode_content=False):
        yield data
        if time.monotonic() > deadline:
            raise _too_slow(url, limits)


def _check_size(size: int, url: str, limits: Limits) -> None:
    if size > limits.largest:
        raise DownloadError(f"{host(url)} sends more than the {limits.largest} bytes it may have")


def _too_slow(url: str, limits: Limits) -> DownloadError:
    return DownloadError(f"{host(url)} is too slow: not done after {limits.seconds:.0f} s")
