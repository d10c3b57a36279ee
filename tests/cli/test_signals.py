"""The first signal ends a command in good order; a second one at once, whatever threads do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from srup import temporaries

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals of POSIX")

BOTH = pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
# a thread that never ends, as one does that decodes a hostile file, beside unfinished work
HANGS = """
import sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from srup import temporaries
from srup.cli import signals
from srup.files import replacing, scratch

def hang(ready):
    with replacing(Path(sys.argv[1])) as temporary, temporaries.folder() as folder:
        scratch(temporary).write_text("half")
        (folder / "half").write_text("half")
        ready.set()
        threading.Event().wait()

signals.watch()
ready = threading.Event()
with ThreadPoolExecutor(1) as pool:
    future = pool.submit(hang, ready)
    ready.wait()
    try:
        print("ready", flush=True)
        future.result()
    finally:
        print("leaving", flush=True)
"""


def started(*words: str, **environment: str) -> subprocess.Popen[bytes]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    env = {**os.environ, **environment}
    return subprocess.Popen([sys.executable, *words], env=env, **pipes)  # type: ignore[call-overload, no-any-return]


def twice(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Sends a signal, and once it is clear that it does not end the process, another."""
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(number)


@BOTH
def test_a_thread_that_hangs(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "tmp").mkdir()
    process = started("-c", HANGS, str(tmp_path / "a.txt"), TMPDIR=str(tmp_path / "tmp"))
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    assert len(list(tmp_path.iterdir())) == 3
    process.send_signal(number)
    assert process.stdout.readline() == b"leaving\n", "the main thread is on its way out"
    assert list((tmp_path / "tmp").glob(f"{temporaries.PREFIX}*"))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert [path.name for path in tmp_path.iterdir()] == ["tmp"]
    assert list((tmp_path / "tmp").iterdir()) == []


@BOTH
def test_an_upscale_whose_input_never_ends(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = started("-m", "srup", "upscale", "-", "-o", str(tmp_path / "out.png"))
    assert process.stdin
    process.stdin.write(bytes(1 << 20))  # more than a pipe holds: somebody reads
    twice(process, number)
    process.communicate(timeout=30)
    assert process.returncode == code
    assert list(tmp_path.iterdir()) == []


@BOTH
def test_a_batch_whose_input_never_ends(photo: Path, number: signal.Signals, code: int) -> None:
    """Its list comes from a pipe that is not closed."""
    out = photo.with_name("out")
    process = started("-m", "srup", "batch", "--from", "-", str(out))
    assert process.stdin
    process.stdin.write(f"{photo}\n".encode() * 100_000)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == code


def test_two_signals_at_a_time_are_one(tmp_path: Path) -> None:
    """`timeout` sends its signal to the process and to its group."""
    process = started("-c", HANGS, str(tmp_path / "a.txt"))
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 143


def test_children_end_too(tmp_path: Path) -> None:
    """Worker processes of a batch: nobody would ever hear of what they make."""
    script = """
import multiprocessing, threading, time
from concurrent.futures import ThreadPoolExecutor
from srup.cli import signals
if __name__ == "__main__":
    signals.watch()
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    print(child.pid, flush=True)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(threading.Event().wait).result()
"""
    process = started("-c", script)
    assert process.stdout
    assert int(process.stdout.readline())
    twice(process, signal.SIGTERM)
    process.communicate(timeout=30)  # the child holds the pipes open as long as it lives
    assert process.returncode == 143
