"""Downloads from a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from srup.errors import DigestMismatch, DownloadError, Offline, WeightsError
from srup.models import downloads, registry, weights
from tests.models.conftest import (
    CONTENT,
    DIGEST,
    Respond,
    Server,
    cut,
    fetched,
    good,
    ranged,
    send,
)

missing, broken = send(b"no", status=404), send(b"oops", status=500)


def fetch(server: Server, **options: Any) -> Path:
    return fetched(server.url, **options)


def left(cache: Path) -> set[str]:
    """The files in the cache besides the lock."""
    return {path.name for path in (cache / "weights").iterdir()} - {"model.pth.lock"}


def test_a_file_is_downloaded_once(server: Server, cache: Path) -> None:
    server.script = [good]
    heard: list[tuple[int, int]] = []
    path = fetch(server, progress=lambda done, total: heard.append((done, total)))
    assert path == cache / "weights" / "model.pth"
    assert path.read_bytes() == CONTENT
    assert heard[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(server) == path
    assert len(server.requests) == 1
    assert left(cache) == {"model.pth"}


def test_a_broken_download_is_resumed(server: Server) -> None:
    server.script = [cut, ranged]
    assert fetch(server).read_bytes() == CONTENT
    assert server.requests == ["whole", f"bytes={downloads.CHUNK}-"]


def test_a_part_left_by_a_killed_process_is_resumed(server: Server, cache: Path) -> None:
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "model.pth.part").write_bytes(CONTENT[:700_000])
    server.script = [ranged]
    assert fetch(server).read_bytes() == CONTENT
    assert server.requests == ["bytes=700000-"]


def test_a_complete_part_is_not_downloaded_again(server: Server, cache: Path) -> None:
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "model.pth.part").write_bytes(CONTENT)
    server.script = [ranged]
    assert fetch(server).read_bytes() == CONTENT


@pytest.mark.parametrize("wrong", [b"x" * 500_000, b"x" * 5_000_000])
def test_a_part_of_another_file_is_discarded(server: Server, cache: Path, wrong: bytes) -> None:
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "model.pth.part").write_bytes(wrong)
    server.script = [ranged]
    assert fetch(server).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_the_whole_file(server: Server, cache: Path) -> None:
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "model.pth.part").write_bytes(CONTENT[:700_000])
    server.script = [good]
    assert fetch(server).read_bytes() == CONTENT


def test_server_errors_are_retried(server: Server) -> None:
    server.script = [broken, broken, good]
    assert fetch(server).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("respond", "tries", "says"),
    [(missing, 1, "answers 404"), (broken, 3, "answers 500"), (cut, 3, "breaks off")],
)
def test_a_source_that_fails(
    server: Server, cache: Path, respond: Respond, tries: int, says: str
) -> None:
    server.script = [respond]
    with pytest.raises(DownloadError, match=says) as caught:
        fetch(server)
    assert len(server.requests) == tries
    assert "weights=FILE" in str(caught.value)
    assert "model.pth" not in left(cache)


def test_a_server_that_hangs(server: Server) -> None:
    def hang(request: http.server.BaseHTTPRequestHandler, _: int) -> None:
        server.stop.wait(20)

    server.script = [hang]
    with pytest.raises(DownloadError, match="does not answer"):
        fetch(server, connecting=1.0, silence=0.1)


def test_other_bytes_than_published(server: Server, cache: Path) -> None:
    server.script = [send(b"something else")]
    with pytest.raises(DigestMismatch, match="not what was published"):
        fetch(server)
    assert left(cache) == set()


def test_the_next_source_is_tried(server: Server) -> None:
    server.script = [missing, send(b"something else"), good]
    path = fetched(server.url, server.url, server.url)
    assert path.read_bytes() == CONTENT


def test_the_mirror_is_asked_first(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script = [good]
    monkeypatch.setenv("SRUP_MIRROR", server.url.removesuffix("/model.pth") + "/")
    path = weights.fetch("model.pth", urls=("http://127.0.0.1:9/never",), digest=DIGEST)
    assert path.read_bytes() == CONTENT


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(DownloadError, match=r"connection to 127\.0\.0\.1:9"):
        fetched("http://127.0.0.1:9/model.pth")


def test_offline_sends_no_request(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.script = [good]
    monkeypatch.setenv("SRUP_OFFLINE", "1")
    with pytest.raises(Offline, match="SRUP_OFFLINE"):
        fetch(server)
    assert server.requests == []


def test_a_damaged_file_in_the_cache_is_replaced(server: Server, cache: Path) -> None:
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "model.pth").write_bytes(b"rotten")
    server.script = [good]
    assert fetch(server).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "digest",
    [
        DIGEST,
        DIGEST[: len("sha256:") + 8],
        "git:" + hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest(),
    ],
)
def test_digests_of_each_kind(tmp_path: Path, digest: str) -> None:
    (tmp_path / "right").write_bytes(CONTENT)
    (tmp_path / "wrong").write_bytes(CONTENT[1:])
    assert weights.matches(tmp_path / "right", digest)
    assert not weights.matches(tmp_path / "wrong", digest)


def test_a_cache_that_cannot_be_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SRUP_CACHE", str(tmp_path / "file"))
    with pytest.raises(DownloadError, match="SRUP_CACHE"):
        fetch(server)


FETCH = f"""
import sys
from srup.models import weights
weights.fetch('model.pth', urls=(sys.argv[1],), digest={DIGEST!r})
"""


def test_two_processes_download_a_file_once(server: Server, cache: Path) -> None:
    both_wait = threading.Barrier(2)

    def slowly(request: http.server.BaseHTTPRequestHandler, number: int) -> None:
        both_wait.wait(60)
        good(request, number)

    server.script = [slowly]
    processes = [subprocess.Popen([sys.executable, "-c", FETCH, server.url]) for _ in range(2)]
    both_wait.wait(60)
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(server.requests) == 1


def test_the_download_of_a_killed_process_is_resumed(server: Server, cache: Path) -> None:
    def half(request: http.server.BaseHTTPRequestHandler, _: int) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT[:600_000])
        request.wfile.flush()
        server.stop.wait(30)

    server.script = [half, ranged]
    part = cache / "weights" / "model.pth.part"
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, server.url], env={**os.environ, "SRUP_CACHE": str(cache)}
    )
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
    process.kill()
    process.wait()
    size = part.stat().st_size
    assert fetch(server).read_bytes() == CONTENT
    assert server.requests == ["whole", f"bytes={size}-"]


def test_unreleased_weights_ask_for_a_file() -> None:
    with pytest.raises(WeightsError, match="weights=FILE"):
        weights.verified(registry.find("lesrcnn-m")[2])


def test_packaged_weights_are_small_and_verify() -> None:
    for model in registry.find("lite").values():
        path = weights.verified(model)
        assert weights.matches(path, model.digest)
        assert path.stat().st_size < 2_000_000
