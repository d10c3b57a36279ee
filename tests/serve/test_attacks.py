"""What strangers may try: each is refused, in words, and costs nobody else anything."""

from __future__ import annotations

import socket
import struct
import zlib

import pytest
import requests

from srup.errors import UsageError
from srup.pipeline import Recipe
from srup.serve.running import Running
from tests.serve.conftest import (
    PATIENCE,
    TOKEN,
    connected,
    eventually,
    everything,
    is_idle,
    picture,
)


def head(running: Running, *lines: str, query: str = "") -> bytes:
    """The head of a request to enlarge, with further lines."""
    host = f"Host: {running.access.host}:{running.access.port}"
    return "\r\n".join([f"POST /v1/upscale{query} HTTP/1.1", host, *lines, "", ""]).encode()


FOREIGN = ["evil.example", "127.0.0.1.evil.example:{port}", "127.0.0.1:1", ""]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/page/results/x/file"])
def test_rebinding(running: Running, url: str, host: str, path: str) -> None:
    """A name that somebody else lets point here is not this server's."""
    headers = {"Host": host.format(port=running.access.port)}
    answer = requests.get(url + path, headers=headers, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:srup:Forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_own_names(running: Running, url: str, host: str) -> None:
    headers = {"Host": f"{host}:{running.access.port}"}
    assert requests.get(f"{url}/v1/health", headers=headers, timeout=PATIENCE).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/upscale", "/v1/score", "/page/pictures"])
def test_posts_of_other_pages(url: str, path: str, headers: dict[str, str]) -> None:
    answer = requests.post(url + path, data=picture(), headers=headers, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:srup:Forbidden")


def test_posts_of_its_own_page(url: str) -> None:
    headers = {"Origin": url, "Sec-Fetch-Site": "same-origin"}
    answer = requests.post(
        f"{url}/v1/upscale?scale=2", data=picture(), headers=headers, timeout=PATIENCE
    )
    assert answer.status_code == 200


def test_no_answer_lets_other_pages_read_it(url: str) -> None:
    headers = {"Origin": "http://evil.example"}
    answer = requests.get(f"{url}/v1/health", headers=headers, timeout=PATIENCE)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


NAMES = [
    *("../../etc/passwd", "/etc/passwd", "..\\..\\evil.png", "a\0b", "a\r\nX-Evil: 1"),
    *("\u202egnp.exe", "." * 9, "x" * 999),
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_labels(url: str, name: str, running: Running) -> None:
    """They come back as a plain file name, and no file is called so."""
    files = {"image": (name.replace("\0", ""), picture())}
    answer = requests.post(
        f"{url}/v1/upscale", params={"name": name, "scale": 2}, files=files, timeout=PATIENCE
    )
    assert answer.status_code == 200
    assert "X-Evil" not in answer.headers
    disposition = answer.headers["Content-Disposition"]
    assert "/" not in disposition
    assert "\\" not in disposition
    assert ".." not in disposition
    assert len(disposition) < 1000


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it has so many pixels, and has them: all of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("path", ["/v1/upscale", "/page/pictures"])
def test_bombs(url: str, path: str) -> None:
    """A small file of many pixels is refused before anything is decoded."""
    found = requests.post(url + path, data=bomb(20_000, 20_000), timeout=PATIENCE).json()
    problem = found.get("problem", found)
    assert problem["status"] == 422
    assert "more than 1 megapixels" in problem["detail"]


def test_results_that_would_be_bombs(url: str) -> None:
    answer = requests.post(f"{url}/v1/upscale?scale=32", data=picture(96, 72), timeout=PATIENCE)
    assert answer.status_code == 422
    assert "take a smaller scale" in answer.json()["detail"]


def test_bombs_cannot_be_scored(url: str) -> None:
    files = {"sr": bomb(20_000, 20_000), "hr": bomb(20_000, 20_000)}
    answer = requests.post(f"{url}/v1/score", files=files, timeout=PATIENCE)
    assert (answer.status_code, "megapixels" in answer.text) == (422, True)


def test_a_body_that_says_it_is_too_large(running: Running) -> None:
    with connected(running) as connection:
        connection.sendall(head(running, "Content-Length: 999999999999"))
        assert b"413" in everything(connection).partition(b"\r\n")[0]


def test_a_body_without_end(running: Running, url: str) -> None:
    """It is counted while it streams, and cut off."""
    with connected(running) as connection:
        connection.sendall(head(running, "Transfer-Encoding: chunked"))
        piece = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        sent = 0
        try:
            while sent < 50 * running.limits.upload:
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        assert sent < 50 * running.limits.upload
    eventually(lambda: is_idle(url))


@pytest.mark.parametrize(
    "begin",
    [b"", b"POST /v1/up", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "],
    ids=["nothing", "half a line", "half a head"],
)
def test_heads_that_never_come(running: Running, begin: bytes) -> None:
    with connected(running) as connection:
        connection.sendall(begin)
        assert everything(connection) == b""  # the server has closed it


def test_a_body_that_trickles(running: Running, url: str) -> None:
    """A slow loris is cut off, and meanwhile others are served."""
    with connected(running) as connection:
        connection.sendall(head(running, "Content-Length: 100000") + picture()[:50])
        answer = requests.post(f"{url}/v1/upscale?scale=2", data=picture(), timeout=PATIENCE)
        assert answer.status_code == 200
        status, _, rest = everything(connection).partition(b"\r\n")
        assert b"408" in status
        assert b"too slowly" in rest
    eventually(lambda: is_idle(url))


def test_a_client_that_does_not_take_its_result(running: Running, url: str) -> None:
    """It is cut off, and its result goes: others need the room."""
    body = picture(500, 400)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        connection.settimeout(PATIENCE)
        connection.connect((running.access.host, running.access.port))
        lines = (f"Content-Length: {len(body)}", "Accept: image/bmp")
        connection.sendall(head(running, *lines, query="?width=1100&model=bicubic") + body)
        assert connection.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: is_idle(url))
        assert len(everything(connection)) < 1100 * 880 * 3


def test_rubbish(running: Running, url: str) -> None:
    for rubbish in (b"\x16\x03\x01\x02\0\x01\0", b"GET\r\n\r\n", b"\0" * 99_999, b"a" * 99_999):
        with connected(running) as connection:
            connection.sendall(rubbish)
            assert b"400" in everything(connection)[:20]
    for form in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = requests.post(
            f"{url}/v1/upscale", data=b"rubbish", headers={"Content-Type": form}, timeout=PATIENCE
        )
        assert answer.status_code == 400
    assert is_idle(url)


def test_forms_with_too_much(url: str) -> None:
    many = [(f"field{number}", (None, "x")) for number in range(1000)]
    long = [("scale", (None, "2" * 100_000)), ("image", ("a.png", picture()))]
    two = [("image", ("a.png", picture())), ("image", ("b.png", picture()))]
    for parts in (many, long, two):
        answer = requests.post(f"{url}/v1/upscale", files=parts, timeout=PATIENCE)  # type: ignore[arg-type]
        assert answer.status_code == 400


@pytest.mark.parametrize("token", [None, "short", "with spaces in between", "umläute-sind-nichts"])
def test_others_must_know_a_token(token: str | None) -> None:
    with pytest.raises(UsageError, match="token"):
        Running(Recipe(), host="0.0.0.0", token=token)


WRONG = ["", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer", "Bearer ÿ"]
PATHS = ["/v1/models", "/v1/health", "/v1/openapi.json", "/page/results/x/file", "/nothing"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("given", WRONG)
def test_without_the_token(everywhere: Running, path: str, given: str) -> None:
    headers = {"Authorization": given.encode("latin-1")} if given else {}
    answer = requests.get(everywhere.url.rstrip("/") + path, headers=headers, timeout=PATIENCE)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:srup:TokenMissing")
    assert TOKEN not in answer.text
    post = requests.post(
        everywhere.url + "v1/upscale", picture(), headers=headers, timeout=PATIENCE
    )
    assert post.status_code == 401


def test_with_the_token(everywhere: Running) -> None:
    """Also by a name that the server cannot know."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Host": "my-machine.local"}
    answer = requests.get(f"{everywhere.url}v1/health", headers=headers, timeout=PATIENCE)
    assert answer.status_code == 200
    assert requests.get(everywhere.url, timeout=PATIENCE).status_code == 200  # the page asks for it
