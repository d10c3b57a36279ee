"""`srup serve` under load, and what one request takes beside the command.

`python -m tests.benchmarks.serve [--clients 8] [--seconds 120] [--runs 5] [--polite]` Clients that
want small and large pictures, each one after the other, beside others that vanish, stall and send
rubbish. Every result is checked. "batch" is the same pictures by `srup.batch` in one process.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path

import requests
from PIL import Image

from srup.batch.executors.threads import in_threads
from srup.inference.target import Target
from srup.pipeline import Recipe, Worker, job
from tests.data.draw import draw

SIZES = ((96, 72), (96, 72), (160, 120), (320, 240), (640, 480))  # small ones are asked for more
Misdeed = Callable[[socket.socket], None]  # what a client does on a connection
SCALE, MODEL = 2, "lite"
STALL = 3.0  # seconds that a client that stalls waits
PAUSE = 1.0  # seconds between two misdeeds of a client
LOOK = 0.5  # seconds between looks at memory and queue


@dataclass
class Load:
    """What happened while clients were at work."""

    latencies: list[float] = field(default_factory=list)
    megapixels: float = 0.0
    seconds: float = 0.0
    answers: Counter[str] = field(default_factory=Counter)
    waiting: list[int] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)  # MB, of the server and its worker
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, action="append")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--polite", action="store_true", help="without those that misbehave")
    options = parser.parse_args()
    rude = () if options.polite else (_vanish, _stall, _rubbish)
    pictures = [(size, _file(*size)) for size in SIZES]
    with serving() as (url, pid):
        print(f"latency of 512×512 ×4 {MODEL}, medians of {options.runs}, seconds")
        for name, seconds in latencies(url, options.runs).items():
            print(f"  {name:<24}{statistics.median(seconds):8.3f}")
        print(f"batch: {batch(pictures):.2f} images/s")
        print(
            f"{'clients':>7} {'images/s':>8} {'MP/s':>6} {'p50 s':>7} {'p90 s':>7} {'p99 s':>7}"
            f" {'waiting':>7} {'MB first':>8} {'last':>6} {'most':>6}  answers"
        )
        for count in options.clients or (1, 8, 64):
            load = under_load(url, pid, pictures, count, rude, options.seconds)
            tell(count, load)
        print(f"afterwards: {_settled(url)}")


def _file(width: int, height: int) -> bytes:
    data = BytesIO()
    draw(width, height).save(data, "PNG")
    return data.getvalue()


@contextmanager
def serving() -> Iterator[tuple[str, int]]:
    """A server of its own: its URL and process."""
    command = [sys.executable, "-m", "srup", "serve", "--port", "0", "--max-upload", "8"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    url = process.stdout.readline().split()[2].rstrip("/")
    try:
        while requests.get(f"{url}/v1/health", timeout=9).json()["workers"][0]["state"] != "idle":
            time.sleep(LOOK)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def latencies(url: str, runs: int) -> dict[str, list[float]]:
    """Seconds of a request, of the command with a server, and of the command without one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(512, 512).save(path)
        command = [sys.executable, "-m", "srup", "upscale", str(path), "-m", MODEL, "-y", "--quiet"]
        ways: dict[str, Callable[[], object]] = {
            "request": lambda: _post(url, path.read_bytes(), 4),
            "srup upscale --server": lambda: _ran([*command, "--server", url]),
            "srup upscale": lambda: _ran(command),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(runs):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _ran(command: list[str]) -> None:
    subprocess.run(command, check=True)


def _post(url: str, data: bytes, scale: int = SCALE) -> requests.Response:
    address = f"{url}/v1/upscale?scale={scale}&model={MODEL}"
    return requests.post(address, data=data, timeout=600)


def batch(pictures: list[tuple[tuple[int, int], bytes]]) -> float:
    """Images a second by `srup.batch`, in one process with three threads, networks loaded."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for number in range(40):
            path = Path(folder) / f"{number}.png"
            path.write_bytes(pictures[number % len(pictures)][1])
            jobs.append(job(path, path.with_name(f"{number}_large.png")))
        worker = Worker(Recipe(Target(SCALE), MODEL), many=True)
        list(in_threads(jobs[:1], worker))
        started = time.perf_counter()
        results = list(in_threads(jobs[1:], worker))
        assert all(result.status == "done" for result in results)
        return len(results) / (time.perf_counter() - started)


def under_load(
    url: str,
    pid: int,
    pictures: list[tuple[tuple[int, int], bytes]],
    count: int,
    rude: Sequence[Misdeed],
    seconds: float,
) -> Load:
    """What happens while so many clients ask for pictures and others misbehave."""
    load, stopped = Load(), threading.Event()
    work: list[Callable[[], None]] = []
    for number in range(count):
        work.append(partial(_ask, url, pictures, load, stopped, number))
    for how in rude:
        work.append(partial(_misbehave, url, how, stopped))
    work.append(partial(_watch, url, pid, load, stopped))
    threads = [threading.Thread(target=each) for each in work]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stopped.set()
    for thread in threads:
        thread.join()
    load.seconds = time.perf_counter() - begun
    return load


def _ask(
    url: str,
    pictures: list[tuple[tuple[int, int], bytes]],
    load: Load,
    stopped: threading.Event,
    number: int,
) -> None:
    """Wants one picture after another, and comes again when it is told to."""
    chance = random.Random(number)
    while not stopped.is_set():
        (width, height), data = chance.choice(pictures)
        begun, answered = time.perf_counter(), ""
        while answered in ("", "429") and not (answered and stopped.is_set()):
            try:
                answer = _post(url, data)
            except requests.RequestException as error:
                answered = type(error).__name__
                break
            answered = str(answer.status_code)
            if answered == "429":
                with load.lock:
                    load.answers["429"] += 1
                stopped.wait(int(answer.headers["Retry-After"]))
        if answered == "200":
            with Image.open(BytesIO(answer.content)) as made:
                right = made.size == (width * SCALE, height * SCALE)
            answered = "right" if right else "wrong"
        if answered != "429":
            with load.lock:
                load.answers[answered] += 1
                load.latencies.append(time.perf_counter() - begun)
                load.megapixels += width * height / 1e6


def _misbehave(url: str, how: Misdeed, stopped: threading.Event) -> None:
    host, _, port = url.partition("//")[2].partition(":")
    while not stopped.wait(PAUSE):
        try:
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                head = f"POST /v1/upscale HTTP/1.1\r\nHost: {host}:{port}\r\n"
                connection.sendall(f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode())
                how(connection)
        except OSError:
            continue


BODY = _file(320, 240)


def _vanish(connection: socket.socket) -> None:
    connection.sendall(BODY)


def _stall(connection: socket.socket) -> None:
    connection.sendall(BODY[:1000])
    time.sleep(STALL)


def _rubbish(connection: socket.socket) -> None:
    connection.sendall(random.randbytes(len(BODY)))
    connection.recv(1000)


def _watch(url: str, pid: int, load: Load, stopped: threading.Event) -> None:
    while not stopped.wait(LOOK):
        load.memory.append(_resident(pid) + sum(map(_resident, _children(pid))))
        load.waiting.append(requests.get(f"{url}/v1/health", timeout=60).json()["waiting"])


def _children(pid: int) -> list[int]:
    listed = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(each) for each in " ".join(listed).split()]


def _resident(pid: int) -> float:
    """Megabytes that a process holds."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def tell(count: int, load: Load) -> None:
    """A line of the table."""
    marks = statistics.quantiles(load.latencies, n=100) if len(load.latencies) > 1 else [0.0] * 99
    most = max(1, len(load.memory) // 10)
    first, last = (statistics.median(each) for each in (load.memory[:most], load.memory[-most:]))
    print(
        f"{count:>7} {len(load.latencies) / load.seconds:>8.2f}"
        f" {load.megapixels / load.seconds:>6.3f}"
        f" {marks[49]:>7.2f} {marks[89]:>7.2f} {marks[98]:>7.2f} {max(load.waiting):>7}"
        f" {first:>8.0f} {last:>6.0f} {max(load.memory):>6.0f}  {dict(load.answers)}",
        flush=True,
    )


def _settled(url: str) -> str:
    """What the server keeps when all clients have gone."""
    time.sleep(STALL)
    found = requests.get(f"{url}/v1/health", timeout=60).json()
    return f"{found['waiting']} waiting, {found['stored']} bytes stored, {found['workers']}"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
