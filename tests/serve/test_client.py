"""`srup upscale --server`: the same command, whose work is done elsewhere."""

from __future__ import annotations

import http.server
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image

from srup.cli import run
from srup.errors import UsageError
from srup.images import FORMATS, Encoding
from srup.inference.run_options import PRECISIONS, TILINGS, RunOptions
from srup.inference.target import Target
from srup.pipeline import ReadOptions, Recipe
from srup.serve.client import Server, check_sendable
from srup.serve.parameters import fields_of, recipe_of
from srup.serve.running import Running
from tests.conftest import json_lines
from tests.data.draw import draw
from tests.serve.conftest import TOKEN


@pytest.fixture
def photo(everywhere: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A picture in the folder at hand, and a server that is known by variables."""
    monkeypatch.setenv("SRUP_SERVER", everywhere.url)
    monkeypatch.setenv("SRUP_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    draw(24, 18).save("photo.png")
    return "photo.png"


def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets further commands compute here."""
    monkeypatch.delenv("SRUP_SERVER")


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


targets = some.one_of(
    some.builds(Target, scale=some.sampled_from([1.5, 2.0, 4.0, 0.1 + 0.2])),
    some.builds(Target, width=some.integers(1, 9999)),
    some.builds(Target, height=some.integers(1, 9999)),
    some.builds(Target, long_edge=some.integers(1, 9999)),
    some.builds(Target, megapixels=some.floats(0.01, 100)),
    some.builds(
        Target,
        width=some.integers(1, 9999),
        height=some.integers(1, 9999),
        fit=some.sampled_from(["inside", "fill", "stretch"]),
    ),
)
recipes = some.builds(
    Recipe,
    target=targets,
    model=some.sampled_from(["auto", "lite", "imdn-as"]),
    run_options=some.builds(
        RunOptions,
        tiling=some.sampled_from(TILINGS),
        self_ensemble=some.booleans(),
        precision=some.sampled_from(PRECISIONS),
    ),
    read_options=some.builds(
        ReadOptions, strip=some.booleans(), dpi=some.none() | some.floats(1, 1000)
    ),
    encoding=some.builds(
        Encoding, quality=some.integers(1, 100), lossless=some.booleans(), palette=some.booleans()
    ),
    format=some.none() | some.sampled_from(list(FORMATS)),
    strength=some.none() | some.floats(0, 1),
)


@given(recipes)
def test_what_is_asked_for_is_what_is_made(recipe: Recipe) -> None:
    """A recipe becomes a request, and the request the same recipe."""
    check_sendable(recipe)
    assert recipe_of(fields_of(recipe), Recipe()) == recipe


def test_the_result_is_that_of_this_machine(photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(["upscale", photo, "-s", "2"]) == 0
    here(monkeypatch)
    assert run(["upscale", photo, "-s", "2", "-o", "here.png"]) == 0
    assert np.array_equal(pixels("photo_x2.png"), pixels("here.png"))


def test_records_are_those_of_this_machine(
    photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["upscale", photo, "--width", "50", "--json", "-y"]
    assert run(command) == 0
    here(monkeypatch)
    assert run(command) == 0
    there, local = json_lines(capsys.readouterr().out)
    for record in (there, local):
        assert float(str(record.pop("seconds"))) > 0
        record["consistency"] = round(float(str(record["consistency"])), 3)
    assert there == local


def test_names_formats_and_folders(photo: str, tmp_path: Path) -> None:
    draw(20, 20).save("other.png")
    assert run(["upscale", photo, "other.png", "-s", "2", "-f", "webp", "-o", "out/"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["other_x2.webp", "photo_x2.webp"]
    assert run(["upscale", photo, "-s", "2", "--suffix", "-big"]) == 0
    assert Path("photo-big.png").exists()
    assert run(["upscale", photo, "-s", "2", "-o", "named.jpg"]) == 0
    assert Image.open("named.jpg").format == "JPEG"


def test_documents_become_documents(photo: str) -> None:
    pages = [draw(24, 18), draw(18, 24)]
    pages[0].save("scan.tif", save_all=True, append_images=pages[1:])
    assert run(["upscale", "scan.tif", "-s", "2"]) == 0
    assert Image.open("scan_x2.tif").n_frames == 2  # type: ignore[attr-defined]


def test_an_existing_file_is_replaced_when_agreed_to(
    photo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It keeps its mode; it is refused before anything is sent."""
    Path("photo_x2.png").write_text("mine")
    Path("photo_x2.png").chmod(0o640)
    assert run(["upscale", photo, "-s", "2"]) == 1
    assert Path("photo_x2.png").read_text() == "mine"
    assert "photo_x2.png exists; -y replaces it" in capsys.readouterr().err
    assert run(["upscale", photo, "-s", "2", "-y"]) == 0
    assert pixels("photo_x2.png").shape == (36, 48, 3)
    assert Path("photo_x2.png").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == [
        "photo.png",
        "photo_x2.png",
    ]


def failing(photo: str) -> Iterator[list[str]]:
    """Command lines that fail, by what they are given."""
    Path("damaged.jpg").write_bytes(b"\xff\xd8\xff")
    Path("empty.png").touch()
    Image.new("RGBA", (20, 20), (9, 9, 9, 9)).save("clear.png")
    yield ["damaged.jpg"]
    yield ["empty.png"]
    yield ["missing.png"]
    yield ["."]
    yield ["clear.png", "-f", "jpeg"]
    yield ["clear.png", "-o", "clear.jpg"]
    yield [photo, "-o", "deep/down/photo.jpg"]
    yield [photo, "-s", "99"]
    yield [photo, "-o", "a.jpg", "-f", "png"]
    yield [photo, "--strength", "0.5", "-m", "imdn"]


def test_errors_are_those_of_this_machine(
    photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same words, and the same exit code."""
    commands = [["upscale", *words] for words in failing(photo)]
    there = [(run(command), capsys.readouterr().err) for command in commands]
    here(monkeypatch)
    local = [(run(command), capsys.readouterr().err) for command in commands]
    assert there == local
    assert {code for code, _ in there} == {1, 2}


@pytest.mark.parametrize(
    "words",
    [["-d", "cpu"], ["-t", "64"], ["--engine", "pytorch"], ["--max-pixels", "9"], ["--dry-run"]],
)
def test_what_the_server_decides(
    photo: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["upscale", photo, *words]) == 2
    assert f"leave out {words[0]}" in capsys.readouterr().err


def test_files_of_weights_stay_here(photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.pth").write_bytes(b"weights")
    assert run(["upscale", photo, "-m", "lite", "--weights", "own.pth"]) in (2, 3)
    with pytest.raises(UsageError, match="no file"):
        check_sendable(Recipe(model="own.pth"))


def test_a_wrong_token(
    photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told of a picture too large to be sent before the answer comes, too."""
    monkeypatch.setenv("SRUP_TOKEN", "another-secret-of-mine")
    with Path(photo).open("ab") as file:
        file.write(bytes(20_000_000))
    assert run(["upscale", photo, "-v"]) == 2
    told = capsys.readouterr()
    assert "a wrong token" in told.err
    assert "another-secret" not in told.err + told.out
    assert run(["config"]) == 0
    assert "another-secret" not in capsys.readouterr().out


def test_no_torch_is_loaded(photo: str) -> None:
    """Nor anything else that computes: that is what a server is for."""
    program = (
        "import sys; from srup.cli import run; code = run(sys.argv[1:]); "
        "print(code, sorted({'torch', 'openvino', 'starlette'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, "upscale", photo, "-s", "2", "--quiet"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    assert done.stdout == "0 []\n"


def test_through_pipes(photo: str) -> None:
    command = [sys.executable, "-m", "srup", "upscale", "-", "-s", "2", "-o", "-"]
    done = subprocess.run(
        command, input=Path(photo).read_bytes(), check=True, capture_output=True, env=os.environ
    )
    assert Image.open(io.BytesIO(done.stdout)).size == (48, 36)


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://a", "http://", "http://me:secret@host", "http://[::1", "http://a:b"]
)
def test_what_is_no_server(url: str) -> None:
    with pytest.raises(
        UsageError, match=r"no address of a server; .*http://localhost:7000"
    ) as raised:
        Server(url)
    assert "secret" not in str(raised.value)


def test_nobody_there(
    photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("SRUP_SERVER", f"http://127.0.0.1:{unused.getsockname()[1]}")
        assert run(["upscale", photo]) == 1
    assert "nothing listens there" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["photo.png"]


HEADERS = {
    "X-Srup-Pages": "1",
    "X-Srup-Before": "1x1",
    "X-Srup-After": "4x4",
    "X-Srup-Network": "l",
}
BUSY = {"type": "urn:srup:Busy", "message": "busy", "hints": []}
ANSWERS = {  # what a server may send → what is told of it; None: in the end it is a result
    "another service": ([(200, {"Content-Type": "text/html"}, b"hello")], "is it srup serve?"),
    "a redirection": ([(302, {"Location": "http://localhost/"}, b"")], "answered 302"),
    "no problem": ([(500, {}, b"oh")], "answered 500"),
    "a broken problem": (
        [(500, {"Content-Type": "application/problem+json"}, b"{")],
        "cannot reach",
    ),
    "half a result": (
        [(200, {**HEADERS, "Content-Type": "image/png", "Content-Length": "99"}, b"half")],
        "broke the connection off",
    ),
    "busy at first": (
        [
            (429, {"Content-Type": "application/problem+json", "Retry-After": "0"}, BUSY),
            (200, {**HEADERS, "Content-Type": "image/png"}, b"result"),
        ],
        None,
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_other_servers(
    name: str, photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is half written, and a server that is busy is asked again."""
    answers, expected = ANSWERS[name]
    left = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, body = left.pop(0)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for key, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        monkeypatch.setenv("SRUP_SERVER", f"http://127.0.0.1:{other.server_address[1]}")
        code = run(["upscale", photo, "-s", "4"])
        other.shutdown()
    assert not left
    if expected is None:
        assert (code, Path("photo_x4.png").read_bytes()) == (0, b"result")
    else:
        assert (code, expected in capsys.readouterr().err) == (1, True)
        assert not Path("photo_x4.png").exists()
