"""Sources that are slow, broken or hostile: the next one is asked, within bounds."""

from __future__ import annotations

import gzip
import http.server
import itertools
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from srup.cli import run
from srup.errors import DownloadError, WeightsError
from srup.models import downloads, registry, weights
from srup.models.downloads import Limits, host
from tests.models.conftest import CONTENT, Respond, Server, fetched, good, ranged, send

Request = http.server.BaseHTTPRequestHandler


def head(request: Request, **headers: str) -> None:
    """The beginning of an answer that says nothing of its length."""
    request.send_response(200)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()


def counted(server: Server, piece: bytes, **headers: str) -> tuple[Respond, Callable[[], int]]:
    """An answer without end, and how many bytes of it were taken."""
    taken = itertools.count()

    def respond(request: Request, _: int) -> None:
        head(request, **headers)
        try:
            while not server.stop.is_set():
                request.wfile.write(piece)
                next(taken)
        except OSError:  # whoever read it has gone
            return

    return respond, lambda: next(taken) * len(piece)


def part(cache: Path) -> Path:
    return cache / "weights" / "model.pth.part"


def test_an_answer_without_end(server: Server, cache: Path) -> None:
    respond, taken = counted(server, bytes(1 << 16))
    server.script = [respond]
    with pytest.raises(DownloadError, match="more than the 2000000 bytes it may have"):
        fetched(server.url, largest=2_000_000)
    assert len(server.requests) == 1, "another attempt would be the same"
    assert part(cache).stat().st_size <= 2_000_000
    assert taken() < 50_000_000, "what lies in the buffers of both sides"


def test_a_length_beyond_the_file(server: Server, cache: Path) -> None:
    """Refused by its head."""
    server.script = [send(CONTENT, announced=len(CONTENT) + 1), good]
    assert fetched(server.url, server.url, largest=len(CONTENT)).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_part_that_is_too_long_is_begun_anew(server: Server, cache: Path) -> None:
    part(cache).parent.mkdir(parents=True)
    part(cache).write_bytes(bytes(len(CONTENT) + 1))
    server.script = [ranged]
    assert fetched(server.url, largest=len(CONTENT)).read_bytes() == CONTENT
    assert server.requests == ["whole"]


def test_bytes_that_drip(server: Server, cache: Path) -> None:
    """Each comes in time, and all of them never."""

    def drip(request: Request, _: int) -> None:
        head(request, Content_Length=str(len(CONTENT)))
        for byte in CONTENT:
            if server.stop.wait(0.01):
                return
            request.wfile.write(bytes((byte,)))

    server.script = [drip]
    with pytest.raises(DownloadError, match="is too slow"):
        fetched(server.url, grace=0.3, slowest=1 << 60)
    dripped = part(cache).read_bytes()
    assert 0 < len(dripped) < 1000
    assert CONTENT.startswith(dripped), "every byte that came is there to go on from"
    server.script = [ranged]
    assert fetched(server.url).read_bytes() == CONTENT
    assert server.requests[-1] == f"bytes={len(dripped)}-"


def test_a_head_that_drips(server: Server) -> None:
    def drip(request: Request, _: int) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while not server.stop.wait(0.01):
            request.wfile.write(b"X")

    server.script = [drip]
    with pytest.raises(DownloadError, match="is too slow"):
        fetched(server.url, grace=0.3, slowest=1 << 60)


@pytest.mark.parametrize("size", [1, 777, downloads.CHUNK + 1])
def test_every_byte_counts_when_a_download_goes_on(server: Server, size: int) -> None:
    server.script = [send(CONTENT[:size], announced=len(CONTENT)), ranged]
    assert fetched(server.url).read_bytes() == CONTENT
    assert server.requests == ["whole", f"bytes={size}-"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip", "unheard-of"])
def test_compressed_answers_are_refused(server: Server, encoding: str) -> None:
    bomb = gzip.compress(bytes(1 << 20))
    server.script = [send(bomb, Content_Encoding=encoding), good]
    assert fetched(server.url, server.url).read_bytes() == CONTENT
    server.script = [send(bomb, Content_Encoding=encoding)]
    weights.path_of("model.pth").unlink()
    with pytest.raises(DownloadError, match="sends it compressed"):
        fetched(server.url)


@pytest.mark.parametrize("length", ["abc", "-5", "", "²", "9" * 5000, "1e3", "1, 2"])
def test_lengths_that_are_none(server: Server, length: str) -> None:
    """The answer counts without them, or the next source does."""

    def respond(request: Request, number: int) -> None:
        request.send_response_only(200)
        request.wfile.write(f"HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())
        request.wfile.write(CONTENT)

    server.script = [respond, good]
    assert fetched(server.url, server.url).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "place",
    [
        *("http://[::1", "http://", "//", "http://a b/", "foo://x", "http://%zz/", "file:///etc"),
        *("http://h:999999/", "http://h:port/", "http://\xff\xfe/", "http://.../"),
        "http://" + "a" * 5000,
    ],
)
def test_redirects_to_nowhere(server: Server, place: str) -> None:
    def respond(request: Request, _: int) -> None:
        request.wfile.write(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ")
        request.wfile.write(place.encode("latin-1") + b"\r\n\r\n")

    server.script = [respond, good]
    assert fetched(server.url, server.url.replace("model", "other")).read_bytes() == CONTENT


def test_redirects_in_a_circle(server: Server) -> None:
    server.script = [send(b"", status=302, Location=server.url)]
    with pytest.raises(DownloadError, match="TooManyRedirects"):
        fetched(server.url)


def test_416_at_once(server: Server) -> None:
    server.script = [send(b"", status=416, Content_Range="bytes */0"), good]
    assert fetched(server.url, server.url).read_bytes() == CONTENT
    assert len(server.requests) == 2


@pytest.mark.parametrize("answer", [b"", b"\n", b"nonsense\r\n\r\n", b"HTTP/1.1 ab\r\n\r\n"])
def test_what_is_no_http(server: Server, answer: bytes) -> None:
    def respond(request: Request, _: int) -> None:
        request.wfile.write(answer)

    server.script = [respond, respond, respond, good]
    assert fetched(server.url, server.url).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "mirror",
    [
        "http://user:secret@127.0.0.1:9",
        "http://user:secret@[::1",
        "user:secret@127.0.0.1",
        "foo://user:secret@127.0.0.1",
        "http://user:secret@127.0.0.1:port",
        "http://127.0.0.1:9/?token=secret",
    ],
)
def test_credentials_are_not_printed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mirror: str
) -> None:
    monkeypatch.setenv("SRUP_MIRROR", mirror)
    caplog.set_level(logging.INFO, "srup")
    with pytest.raises(DownloadError) as caught:
        fetched("http://127.0.0.1:9/model.pth")
    assert "secret" not in str(caught.value)
    assert "secret" not in caplog.text


def test_credentials_are_sent_and_those_of_a_redirect_not_printed(server: Server) -> None:
    """Storage servers redirect to addresses that are signed."""
    signed = server.url.replace("http://", "http://user:secret@") + "?signature=secret"
    server.script = [send(b"", status=302, Location=signed), send(b"no", status=403)]
    with pytest.raises(DownloadError) as caught:
        fetched(server.url)
    assert "answers 403" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_whom_a_url_asks() -> None:
    assert host("https://me:pass@example.org:8080/a?b") == "example.org:8080"
    assert host("https://[::1]/a") == "[::1]"
    assert host("me:pass@example.org/a") == "an address without a host"
    assert host("http://me:pass@[::1/a") == "a malformed address"


HOLD = """
import sys
from srup.errors import DownloadError
from srup.models import weights
with weights.locked_in_cache(weights.path_of("model.pth"), DownloadError):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_who_holds_a_lock_is_told(server: Server, cache: Path) -> None:
    """And waited for: the holder lets go once it has been told."""
    server.script = [good]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin and holder.stdout
    assert holder.stdout.readline() == "held\n"
    heard: list[str] = []

    class LetGo(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())
            holder.communicate("\n")

    handler = LetGo(logging.WARNING)
    logging.getLogger("srup").addHandler(handler)
    try:
        assert fetched(server.url).read_bytes() == CONTENT
    finally:
        logging.getLogger("srup").removeHandler(handler)
    assert len(heard) == 1
    assert f"waiting for process {holder.pid} on " in heard[0]
    assert "model.pth" in heard[0]
    assert {path.name for path in (cache / "weights").iterdir()} <= {"model.pth", "model.pth.lock"}


def a_folder(place: Path) -> None:
    place.mkdir()


def a_pipe(place: Path) -> None:
    os.mkfifo(place)


def a_circle(place: Path) -> None:
    place.symlink_to(place.name)


@pytest.mark.usefixtures("ends")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with FIFOs")
@pytest.mark.parametrize("make", [a_folder, a_pipe, a_circle])
def test_an_entry_of_the_cache_that_cannot_be_read(
    server: Server, cache: Path, make: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / "weights").mkdir(parents=True)
    server.script = [good]
    make(cache / "weights" / "model.pth")
    with pytest.raises(WeightsError, match=r"cannot read .*model\.pth \(.*remove it, or set"):
        fetched(server.url)
    make(cache / "weights" / "imdn_rtc.pth")
    assert run(["models", "download", "imdn-rtc"]) == 3
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["models", "verify", "imdn-rtc"]) == 3
    assert "imdn_rtc.pth  cannot be read" in capsys.readouterr().out
    assert run(["models"]) == 0
    assert server.requests == []


@pytest.mark.usefixtures("ends")
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with FIFOs")
@pytest.mark.parametrize("make", [a_folder, a_pipe, a_circle])
def test_a_part_that_cannot_be_written(
    server: Server, cache: Path, make: Callable[[Path], None]
) -> None:
    part(cache).parent.mkdir(parents=True)
    make(part(cache))
    server.script = [good]
    with pytest.raises(DownloadError, match=r"cannot write .*model\.pth"):
        fetched(server.url)


def test_what_is_no_file_is_removed_or_told(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / "weights" / "imdn_rtc.pth").mkdir(parents=True)
    assert run(["models", "remove", "imdn-rtc"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_no_published_file_is_larger_than_its_row_allows(shared: Path) -> None:
    found = 0
    for model in registry.MODELS:
        file = shared / "weights" / model.file
        if file.exists():
            found += 1
            assert file.stat().st_size <= model.most_bytes
    assert found


def test_time_grows_with_the_file() -> None:
    assert Limits(largest=8 << 20, grace=60, slowest=8 << 10).seconds == 60 + 1024
