"""A real HTTP server on this machine that answers as a test wants, and what is fetched from it."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from srup.models import downloads, weights
from srup.models.downloads import Limits
from srup.progress import Progress

CONTENT = bytes(range(256)) * 4000  # about 1 MB
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"

Respond = Callable[[http.server.BaseHTTPRequestHandler, int], None]


@dataclass
class Server:
    """Answers the n-th request with the n-th of `script`, all later ones with its last."""

    url: str = ""
    script: list[Respond] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append(self.headers.get("Range", "whole"))
            respond = state.script[min(len(state.requests), len(state.script)) - 1]
            respond(self, len(state.requests))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        state.url = f"http://127.0.0.1:{running.server_port}/model.pth"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield state
        state.stop.set()
        running.shutdown()


def send(
    content: bytes, *, status: int = 200, announced: int | None = None, **headers: str
) -> Respond:
    def respond(request: http.server.BaseHTTPRequestHandler, _: int) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(content) if announced is None else announced))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(content)

    return respond


def ranged(request: http.server.BaseHTTPRequestHandler, number: int) -> None:
    """Answers like a server that supports ranges."""
    start = int(request.headers.get("Range", "bytes=0-")[6:-1])
    if start >= len(CONTENT):
        respond = send(b"", status=416, Content_Range=f"bytes */{len(CONTENT)}")
    elif start:
        sent = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        respond = send(CONTENT[start:], status=206, Content_Range=sent)
    else:
        respond = send(CONTENT)
    respond(request, number)


good = send(CONTENT)
cut = send(CONTENT[: downloads.CHUNK], announced=len(CONTENT))


def fetched(*urls: str, progress: Progress | None = None, **limits: float) -> Path:
    """What is fetched from these sources, within limits of which some differ."""
    own = Limits(**{"pause": 0, **limits})  # type: ignore[arg-type]
    return weights.fetch("model.pth", urls=urls, digest=DIGEST, progress=progress, limits=own)
