"""The API over a real connection: what it answers, and what it says where it cannot."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import requests
from PIL import Image

from srup.cli import run
from srup.images import FORMATS
from srup.serve.parameters import PARAMETERS
from srup.serve.running import Running
from tests.conftest import json_lines
from tests.serve.conftest import (
    PATIENCE,
    connected,
    eventually,
    halted,
    health,
    is_idle,
    noise,
    picture,
    size,
    state,
)


def post(url: str, data: bytes, accept: str = "*/*", **options: object) -> requests.Response:
    """What POST /v1/upscale answers for a raw body."""
    params = {name.replace("_", "-"): str(value) for name, value in options.items()}
    return requests.post(
        f"{url}/v1/upscale", data=data, params=params, headers={"Accept": accept}, timeout=PATIENCE
    )


def problem(answer: requests.Response) -> dict[str, object]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    found: dict[str, object] = answer.json()
    assert found["status"] == answer.status_code
    return found


def test_the_result_is_that_of_the_command(url: str, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(picture())
    assert run(["upscale", str(tmp_path / "photo.png"), "-s", "2"]) == 0
    answer = post(url, picture(), scale="2", name="photo.png")
    assert answer.status_code == 200
    made = Image.open(BytesIO(answer.content))
    expected = Image.open(tmp_path / "photo_x2.png")
    assert np.array_equal(np.asarray(made), np.asarray(expected))
    assert 'filename="photo_x2.png"' in answer.headers["Content-Disposition"]


def test_headers_say_how_it_was_made(url: str) -> None:
    headers = post(url, picture(), scale="2", precision="fp32").headers
    assert headers["X-Srup-Network"] == "lite x2"
    assert headers["X-Srup-Precision"] == "fp32"
    assert float(headers["X-Srup-Seconds"]) > 0
    assert (headers["X-Srup-Before"], headers["X-Srup-After"]) == ("24x18", "48x36")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


def test_a_form_says_the_same(url: str) -> None:
    fields = {"scale": "3", "format": "webp", "self-ensemble": "true", "model": "lite"}
    files = {"image": ("a/b/photo.png", picture())}
    answer = requests.post(f"{url}/v1/upscale", data=fields, files=files, timeout=PATIENCE)
    assert (answer.status_code, size(answer.content)) == (200, (72, 54))
    assert answer.headers["Content-Type"] == "image/webp"
    assert 'filename="photo_x3.webp"' in answer.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/webp", "image/webp"),
        ("image/png;q=0.2, image/jpeg;q=0.9", "image/jpeg"),
        ("text/html, image/tiff", "image/tiff"),
    ],
)
def test_accept_decides_the_format(url: str, accept: str, expected: str) -> None:
    answer = post(url, picture(), accept, scale=2)
    assert answer.headers["Content-Type"] == expected
    assert size(answer.content) == (48, 36)


def test_what_cannot_be_accepted(url: str) -> None:
    answer = post(url, picture(), "text/html")
    assert (answer.status_code, problem(answer)["exit_code"]) == (406, 2)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"skale": 2}, "UsageError"),
        ({"scale": "two"}, "UsageError"),
        ({"scale": 0}, "ScaleError"),
        ({"scale": 99}, "ScaleError"),
        ({"width": "many"}, "UsageError"),
        ({"width": 0}, "UsageError"),
        ({"strength": "nan"}, "UsageError"),
        ({"quality": 101}, "UsageError"),
        ({"scale": 2, "width": 10}, "UsageError"),
        ({"model": "nothing"}, "UnknownModel"),
        ({"model": "/etc/weights.pth"}, "UnknownModel"),
        ({"weights": "own.pth"}, "UsageError"),
        ({"device": "cuda"}, "UsageError"),
        ({"output": "/etc/passwd"}, "UsageError"),
    ],
)
def test_wrong_options(url: str, options: dict[str, object], kind: str) -> None:
    answer = post(url, picture(), **options)
    assert (answer.status_code, problem(answer)["type"]) == (400, f"urn:srup:{kind}")


@pytest.mark.parametrize("cut", [0.5, 0.05])
def test_errors_are_those_of_the_command(
    url: str,
    cut: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = picture(format_="JPEG")
    data = data[: int(len(data) * cut)]
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(data)
    assert run(["upscale", "photo.jpg"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    found = problem(post(url, data, name="photo.jpg"))
    assert (told, found["exit_code"]) == (f"error: {found['detail']}", 1)


def test_hints_are_spelled_as_options_of_a_request(url: str) -> None:
    data = BytesIO()
    Image.new("RGBA", (20, 20), (9, 9, 9, 9)).save(data, "PNG")
    detail = str(problem(post(url, data.getvalue(), format="jpeg", name="photo.png"))["detail"])
    assert "cannot write photo" in detail
    assert detail.endswith("use format=png or format=webp")


def test_paths_of_the_server_are_not_told(url: str) -> None:
    for data, options in ((b"nothing", {}), (picture(), {"scale": 32}), (picture()[:300], {})):
        text = post(url, data, **options).text
        assert "srup-" not in text
        assert "/tmp" not in text


def test_warnings_are_handed_on(url: str) -> None:
    profile = b"\0" * 200_000
    data = picture(format_="PNG", exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0" + profile)
    headers = post(url, data, scale=2, format="jpeg", name="photo.png").headers
    warnings = json.loads(unquote(headers.get("X-Srup-Warnings", "[]")))
    assert all("/" not in warning for warning in warnings)


def test_scores_are_those_of_the_command(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = picture(40, 30), picture(40, 30, "JPEG")
    (tmp_path / "a_x2.png").write_bytes(one)
    (tmp_path / "a.jpg").write_bytes(other)
    assert run(["score", str(tmp_path / "a_x2.png"), str(tmp_path / "a.jpg"), "--json"]) == 0
    (expected,) = json_lines(capsys.readouterr().out)
    files = {"sr": ("a_x2.png", one), "hr": ("a.jpg", other)}
    answer = requests.post(f"{url}/v1/score", files=files, timeout=PATIENCE)
    assert answer.json() == expected


def test_scoring_takes_two_pictures(url: str) -> None:
    answer = requests.post(f"{url}/v1/score", files={"sr": picture()}, timeout=PATIENCE)
    assert problem(answer)["detail"] == "the request has no hr; send the bytes of a picture"


def test_models(url: str) -> None:
    found = requests.get(f"{url}/v1/models", timeout=PATIENCE).json()
    names = [model["name"] for model in found["models"]]
    assert found["default"] == "auto"
    assert {"auto", "lite", "lite-photo", "imdn"} <= set(names)


def test_the_openapi_document_names_what_there_is(url: str) -> None:
    found = requests.get(f"{url}/v1/openapi.json", timeout=PATIENCE).json()
    upscale = found["paths"]["/v1/upscale"]["post"]
    assert [each["name"] for each in upscale["parameters"]] == ["name", *PARAMETERS]
    answered = upscale["responses"]["200"]["content"]
    assert set(answered) == {f"image/{name}" for name in FORMATS}
    for path, operations in found["paths"].items():
        for method in operations:
            answer = requests.request(method, url + path, timeout=PATIENCE)
            assert answer.status_code != 404


def test_what_there_is_not(url: str) -> None:
    for path in ("/nothing", "/v1/upscale/", "/page/results/../../etc", "/page/results/x/file"):
        answer = requests.get(url + path, timeout=PATIENCE)
        assert (answer.status_code, problem(answer)["type"]) == (404, "urn:srup:Unknown")


def head(running: Running, body: bytes) -> bytes:
    """The head of a request that takes a while."""
    host = f"{running.access.host}:{running.access.port}"
    query = "scale=1.5&model=lite&self-ensemble=true"
    lines = f"POST /v1/upscale?{query} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}"
    return f"{lines}\r\n\r\n".encode()


def test_a_client_that_goes_away_is_forgotten(running: Running, url: str, tmp_path: Path) -> None:
    """Whether its request waits or is computed: both end, and nothing is kept."""
    body = noise(tmp_path / "noise.png", 300, 200)
    connections = [connected(running) for _ in range(3)]
    with halted(running.workers[0]):
        for connection in connections:
            connection.sendall(head(running, body) + body)
        eventually(lambda: health(url)["waiting"] == 2)
    for connection in connections:
        connection.close()
    eventually(lambda: is_idle(url))


def test_a_full_queue_says_when_to_come_again(running: Running, url: str) -> None:
    body, limit = picture(), running.limits.waiting
    connections = [connected(running) for _ in range(1 + limit)]
    with halted(running.workers[0]):
        connections[0].sendall(head(running, body) + body)
        eventually(lambda: state(url) == "working")
        for connection in connections[1:]:
            connection.sendall(head(running, body) + body)
        eventually(lambda: health(url)["waiting"] == limit)
        answer = post(url, picture())
        assert (answer.status_code, problem(answer)["type"]) == (429, "urn:srup:Busy")
        assert int(answer.headers["Retry-After"]) >= 1
        for connection in connections:
            connection.close()
    eventually(lambda: is_idle(url))


def test_a_worker_that_dies_costs_its_request_alone(running: Running, url: str) -> None:
    """The one that it is at; those that wait are done by its successor."""
    with ThreadPoolExecutor(2) as pool, halted(running.workers[0]) as pid:
        first = pool.submit(post, url, picture(), scale=1.5)
        eventually(lambda: state(url) == "working")
        second = pool.submit(post, url, picture(), scale=2)
        eventually(lambda: health(url)["waiting"] == 1)
        os.kill(pid, signal.SIGKILL)
        lost = problem(first.result())
        assert (lost["status"], lost["type"]) == (500, "urn:srup:OutOfMemory")
        assert "take a smaller scale" in str(lost["detail"])
        assert second.result().status_code == 200
