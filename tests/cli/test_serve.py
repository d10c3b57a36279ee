"""The command `srup serve`: begins in words, and ends when it is told to."""

from __future__ import annotations

import builtins
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from srup.cli import run


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_it_serves_until_a_signal(number: signal.Signals, tmp_path: Path, cache: Path) -> None:
    """Also in the middle of starting; nothing is left, and no process."""
    command = [sys.executable, "-m", "srup", "serve", "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert serving.stdout
    said = serving.stdout.readline()
    url = said.split()[2]
    assert said == f"srup serves {url} (Ctrl-C ends it)\n"
    assert "Choose pictures" in requests.get(url, timeout=60).text
    assert len(list(tmp_path.glob("srup-*"))) == 1
    serving.send_signal(number)
    assert serving.wait(60) == 128 + number
    assert list(tmp_path.glob("srup-*")) == []


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1, port {port}: Address already in use" in told
    assert "--port takes another" in told


def test_others_want_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "give one with --token" in capsys.readouterr().err


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    importing = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] in ("starlette", "uvicorn", "python_multipart"):
            raise ImportError(name)
        return importing(name, *args, **options)

    for name in [each for each in sys.modules if each.startswith("srup.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    assert run(["serve", "--port", "0"]) == 2
    assert "pip install 'srup[serve]'" in capsys.readouterr().err
