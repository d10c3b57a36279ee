"""Answers of a server that weights are downloaded from: verified weights, or an error in time.

A case is a list of answers as JSON, each a list of pieces that are sent one after the other, as
Latin-1. The n-th request gets the n-th answer, all later ones the last.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from srup.models import weights
from srup.models.downloads import Limits
from tests.fuzz.mutation import mutated

CONTENT = bytes(range(256)) * 40
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
LARGEST = 2 * len(CONTENT)
LIMITS = Limits(LARGEST, connecting=1, silence=0.3, pause=0, grace=2, slowest=1 << 30)
DRIP = 0.02  # seconds between pieces
HEADERS = (
    *("Content-Length: 0", "Content-Length: -1", "Content-Length: 99999999999999999999"),
    *("Content-Length: 5, 6", "Content-Length: abc", "Content-Length: \xb2", "Content-Length:"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Connection: keep-alive"),
    *("Content-Encoding: gzip", "Content-Encoding: identity", "Content-Range: bytes 5-9/10240"),
    *("Content-Range: bytes */10240", "Content-Range: bytes */5", "Content-Range: nonsense"),
    *("Location: /other", "Location: http://[::1", "Location: //", "Location: file:///etc/passwd"),
    *("Location: http://user:secret@127.0.0.1:1/", "Location: \xff", "Location: " + "x" * 9000),
    *("Set-Cookie: a=b; Domain=.", "X: " + "y" * 70_000, ": no name", " folded", "\0: \0", "\r"),
    *("Retry-After: 100000", "Content-Type: text/html; charset=nonsense", "Refresh: 0"),
)
STATUSES = (200, 200, 200, 206, 206, 100, 101, 103, 204, 205, 301, 302, 304, 307, 401, 403, 404)
STATUSES = (*STATUSES, 408, 416, 416, 429, 500, 503, 999, 0, -1)


def make(chance: Random) -> bytes:
    answers = [_answer(chance) for _ in range(chance.choice((1, 1, 2, 3)))]
    if chance.random() < 0.6:
        good = _whole(200, [f"Content-Length: {len(CONTENT)}"], CONTENT)
        answers.append([good.decode("latin-1")])
    return json.dumps(answers).encode()


def _answer(chance: Random) -> list[str]:
    body = chance.choice((CONTENT, CONTENT[:5000], b"", CONTENT * 3, gzip.compress(CONTENT)))
    headers = [f"Content-Length: {len(body)}"] if chance.random() < 0.7 else []
    headers += chance.choices(HEADERS, k=chance.choice((0, 0, 1, 2)))
    if "chunked" in "".join(headers) and chance.random() < 0.7:
        body = _chunked(body, chance)
    data = _whole(chance.choice(STATUSES), headers, body)
    if chance.random() < 0.6:
        end = data.find(b"\r\n\r\n") + 4
        data = mutated(data[:end], chance) + data[end:]
    return [piece.decode("latin-1") for piece in _pieces(data, chance)]


def _whole(status: int, headers: list[str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _chunked(body: bytes, chance: Random) -> bytes:
    made = b""
    for start in range(0, len(body), 1000):
        chunk = body[start : start + 1000]
        made += b"%x\r\n" % len(chunk) + chunk + b"\r\n"
    return mutated(made + b"0\r\n\r\n", chance) if chance.random() < 0.5 else made + b"0\r\n\r\n"


def _pieces(data: bytes, chance: Random) -> Iterator[bytes]:
    """All at once, or a little at a time."""
    if chance.random() < 0.8:
        yield data
        return
    for place in sorted(chance.sample(range(len(data)), min(4, len(data)))):
        yield data[:place]
        data = data[place:]
    yield data


def run(case: bytes, folder: Path) -> None:
    answers = [[piece.encode("latin-1") for piece in each] for each in json.loads(case)]
    _stay_here()
    cached = weights.path_of("model.pth")
    try:
        with _serving(answers) as port:
            urls = tuple(f"http://127.0.0.1:{port}/{name}/model.pth" for name in ("a", "b"))
            path = weights.fetch("model.pth", urls=urls, digest=DIGEST, limits=LIMITS)
            assert path.read_bytes() == CONTENT, "not what was published"
    finally:
        left = {each.name for each in cached.parent.iterdir()}
        assert left <= {"model.pth", "model.pth.part", "model.pth.lock"}, left
        for each in cached.parent.iterdir():
            assert each.stat().st_size <= LIMITS.largest, f"{each.name} is larger than allowed"
            each.unlink()


@functools.cache
def _stay_here() -> None:
    """Keeps this process from asking any other machine."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connect_here(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] != "127.0.0.1":
            raise ConnectionRefusedError("another machine")
        connect(self, address)  # type: ignore[arg-type]

    def look_up_here(host: object, *args: object, **options: object) -> object:
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(-2, "another machine")
        return look_up(host, *args, **options)  # type: ignore[arg-type]

    socket.socket.connect = connect_here  # type: ignore[method-assign]
    socket.getaddrinfo = look_up_here  # type: ignore[assignment]


@contextmanager
def _serving(answers: list[list[bytes]]) -> Iterator[int]:
    """Serves the answers on a port of this machine while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        stop = threading.Event()
        arguments = (listening, answers, stop.is_set)
        thread = threading.Thread(target=_serve, args=arguments, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            stop.set()
            thread.join()


def _serve(
    listening: socket.socket, answers: list[list[bytes]], stopped: Callable[[], bool]
) -> None:
    number = 0
    while not stopped():
        try:
            connection, _ = listening.accept()
        except TimeoutError:
            continue
        with connection, suppress(OSError):
            connection.settimeout(0.5)
            asked = b""
            while b"\r\n\r\n" not in asked and (more := connection.recv(65_536)):
                asked += more
            answer = answers[min(number, len(answers) - 1)] if answers else []
            number += 1
            for index, piece in enumerate(answer):
                if index:
                    time.sleep(DRIP)
                connection.sendall(piece)
