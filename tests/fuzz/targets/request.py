"""Requests to `srup serve`: refused in words, or put into the queue, where nobody works.

A case is what is sent over a connection. h11 reads it, as it does below uvicorn; whoever sent it
goes away afterwards, so that nothing may be left of it.
"""

from __future__ import annotations

import asyncio
from functools import cache
from pathlib import Path
from random import Random
from urllib.parse import unquote

import h11

from srup.pipeline import Recipe
from srup.serve.app import app
from srup.serve.guards import Access
from srup.serve.limits import ServiceLimits
from srup.serve.parameters import PARAMETERS, SCORING
from srup.serve.queue import Queue
from srup.serve.service import Service
from srup.serve.store import Store
from srup.serve.workers import WorkerProcess
from tests.fuzz.mutation import mutated

HOST = b"127.0.0.1:7000"
PATHS = (
    *(b"/v1/upscale", b"/v1/upscale", b"/v1/score", b"/v1/models", b"/v1/health", b"/"),
    *(b"/v1/openapi.json", b"/page/pictures", b"/page/pictures/x", b"/page/results/%2e%2e/file"),
    *(b"/page/pictures/x/results", b"//", b"/v1/upscale/../..", b"/\xc3\xa9", b"*"),
)
VALUES = (
    *("4", "2.5x", "0", "-1", "nan", "inf", "1e999", "9" * 5000, "", "true", "1920x1080", "0x0"),
    *("lite", "lite-photo", "imdn_x2", "auto", "../../x.pth", "\0", "png", "jpg", "\u0664", "é"),
)
HEADERS = (
    *(b"Origin: null", b"Origin: http://127.0.0.1:7000", b"Origin: http://[::1", b"Accept: ;q=x"),
    *(b"Accept: image/webp;q=0.5, */*;q=nan", b"Accept: ,,,", b"Sec-Fetch-Site: cross-site"),
    *(b"Authorization: Bearer \xff", b"Authorization:", b"Content-Type: image/png", b"Range: x"),
    *(
        b"Content-Type: multipart/form-data",
        b"Host: a",
        b"Accept: \xff/\xff",
        b"Expect: 100-continue",
    ),
)
LIMITS = ServiceLimits(upload=100_000, upload_seconds=1, drain_seconds=0.1, stop_seconds=0.1)


def make(chance: Random) -> bytes:
    names = [*PARAMETERS, *SCORING, "name", "weights"]
    fields = {chance.choice(names): chance.choice(VALUES) for _ in range(chance.randrange(4))}
    boundary = chance.choice(("x", "x", "-" * 70, ""))
    body = _form(fields, boundary, chance) if chance.random() < 0.6 else b"a picture"
    query = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
    lines = [chance.choice((b"POST", b"POST", b"GET", b"DELETE")) + b" "]
    lines[0] += chance.choice(PATHS) + (b"?" + query if chance.random() < 0.5 else b"")
    lines[0] += b" HTTP/1.1"
    lines += [b"Host: " + HOST, b"Content-Length: %d" % len(body)]
    if chance.random() < 0.6:
        lines.append(f"Content-Type: multipart/form-data; boundary={boundary}".encode())
    lines += chance.choices(HEADERS, k=chance.choice((0, 0, 1, 2)))
    whole = b"\r\n".join([*lines, b"", b""]) + body
    return mutated(whole, chance) if chance.random() < 0.5 else whole


def _form(fields: dict[str, str], boundary: str, chance: Random) -> bytes:
    made = b""
    parts = [*fields.items(), *((name, "a picture") for name in ("image", "sr", "hr"))]
    for name, value in parts:
        file = f'; filename="{chance.choice(VALUES)}"' if value == "a picture" else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        made += head.encode() + value.encode() + b"\r\n"
    made += f"--{boundary}--\r\n".encode()
    return mutated(made, chance) if chance.random() < 0.5 else made


def run(case: bytes, folder: Path) -> None:
    read = _read(case)
    if read is None:
        return
    status = asyncio.run(asyncio.wait_for(_answered(*read, folder), 9))
    assert status != 500, f"status {status}"
    assert list(folder.iterdir()) == [], "something is left"


def _read(case: bytes) -> tuple[h11.Request, bytes] | None:
    """The request that a case holds, and its body as far as it is there; None for what is none."""
    connection = h11.Connection(h11.SERVER)
    body = b""
    try:
        connection.receive_data(case)
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            return None
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
    except h11.RemoteProtocolError:
        return None
    return request, body


@cache
def _worker() -> WorkerProcess:
    return WorkerProcess("cpu", 1)  # which is never begun


async def _answered(request: h11.Request, body: bytes, folder: Path) -> int:
    """The status of what the service answers."""
    queue = Queue([_worker()], LIMITS)
    service = Service(Recipe(), LIMITS, queue, Store(folder, 1_000_000))
    raw_path, _, query = request.target.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method.decode("ascii"),
        "scheme": "http",
        "path": unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers],
        "server": ("127.0.0.1", 7000),
        "client": ("127.0.0.1", 1),
    }
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])  # type: ignore[arg-type]

    await app(service, Access("127.0.0.1", 7000))(scope, receive, send)  # type: ignore[arg-type]
    assert not queue.waiting, "it still waits"
    assert service.store.used == 0, "it still counts"
    return statuses[0]
