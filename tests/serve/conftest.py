"""A real server in a thread of this process, with a worker process, shared by a module's tests."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from srup.pipeline import Recipe
from srup.serve.limits import ServiceLimits
from srup.serve.running import Running
from srup.serve.workers import WorkerProcess
from tests.data.draw import draw

PATIENCE = 60.0  # seconds until something that will never happen fails a test
TOKEN = "correct-horse-battery"


@contextmanager
def served(cache: Path, **options: Any) -> Iterator[Running]:
    """A server for the length of the block, whose cache is empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SRUP_ENGINE", "pytorch")
        patch.setenv("SRUP_CACHE", str(cache))
        running = Running(Recipe(), **options)
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            eventually(lambda: running.workers[0].process is not None)  # it has the environment
            yield running
        finally:
            running.stop()
            thread.join()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with small limits, whose clients have little time."""
    limits = ServiceLimits(
        waiting=8,
        pixels=1_000_000,
        upload=2_000_000,
        head_seconds=0.5,
        drain_seconds=0.5,
        send_seconds=1,
        upload_seconds=1,
        upload_rate=100_000,
        stop_seconds=2,
    )
    with served(tmp_path_factory.mktemp("cache"), limits=limits) as found:
        eventually(lambda: state(found.url.rstrip("/")) == "idle")  # its worker has started
        yield found


@pytest.fixture(scope="session")
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that others could reach, so that it asks for a token."""
    with served(tmp_path_factory.mktemp("cache"), host="0.0.0.0", token=TOKEN) as found:
        yield found


@pytest.fixture
def url(running: Running) -> str:
    return running.url.rstrip("/")


def picture(width: int = 24, height: int = 18, format_: str = "PNG", **options: object) -> bytes:
    """A small picture as a file."""
    data = BytesIO()
    draw(width, height).save(data, format_, **options)
    return data.getvalue()


def size(data: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(data)) as image:
        return image.size


def eventually(condition: Callable[[], bool]) -> None:
    """Waits until something is so; fails where it never is."""
    due = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < due, "this never happens"
        time.sleep(0.02)


def health(url: str) -> dict[str, object]:
    found: dict[str, object] = requests.get(f"{url}/v1/health", timeout=PATIENCE).json()
    return found


def state(url: str) -> str:
    """What the one worker does."""
    (worker,) = health(url)["workers"]  # type: ignore[misc]
    return str(worker["state"])


def is_idle(url: str) -> bool:
    """Whether nothing waits, nothing is computed, and nothing is kept."""
    found = health(url)
    idle = all(worker["state"] == "idle" for worker in found["workers"])  # type: ignore[attr-defined]
    return idle and not found["waiting"] and not found["stored"]


def connected(running: Running) -> socket.socket:
    """A connection of its own, for what no client library would send."""
    return socket.create_connection((running.access.host, running.access.port), timeout=PATIENCE)


def everything(connection: socket.socket) -> bytes:
    """What a server sends until it closes the connection."""
    found = b""
    try:
        while piece := connection.recv(1 << 16):
            found += piece
    except ConnectionResetError:
        pass
    return found


def noise(path: Path, width: int, height: int) -> bytes:
    """A picture that takes a while, as a file."""
    Image.effect_noise((width, height), 60).convert("RGB").save(path)
    return path.read_bytes()


@contextmanager
def halted(worker: WorkerProcess) -> Iterator[int]:
    """Lets a worker do nothing for the length of the block; yields its process."""
    assert worker.process and worker.process.pid
    pid = worker.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
