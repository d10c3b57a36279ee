"""A batch of shards that is killed at any moment, and somebody who looks at it meanwhile."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from srup.batch.shards.status import status_name
from srup.cli import run
from tests.batch.shards.test_tar import sample_shard
from tests.cli.test_batch import images, journal, start


class Watcher(threading.Thread):
    """Reads every shard as soon as it is visible, and again whenever it is another file."""

    def __init__(self, out: Path, expected: dict[str, bytes]) -> None:
        super().__init__(daemon=True)
        self.out, self.expected, self.ended = out, expected, threading.Event()
        self.seen: dict[str, tuple[int, int]] = {}
        self.wrong: list[str] = []

    def run(self) -> None:
        last = False
        while not last:
            last = self.ended.is_set()  # and once more after that
            for path in self.out.glob("*.tar"):
                status = path.stat()
                if self.seen.get(path.name) != (status.st_ino, status.st_mtime_ns):
                    self.seen[path.name] = (status.st_ino, status.st_mtime_ns)
                    if path.read_bytes() != self.expected[path.name]:
                        self.wrong.append(path.name)


@pytest.mark.parametrize(
    ("shards", "each", "kills"),
    [(4, 3, 1), pytest.param(120, 20, 20, marks=pytest.mark.slow)],
)
def test_no_half_shard_is_ever_seen(tmp_path: Path, shards: int, each: int, kills: int) -> None:
    """Nor is one lost or made twice; the results are those of a batch that nobody killed."""
    source, out = tmp_path / "in", tmp_path / "out"
    for number in range(shards):
        sample_shard(source / f"{number:03}.tar", each + number % 3)
    options = ["-m", "bicubic", "-s", "2"]
    assert run(["batch", str(source), str(tmp_path / "undisturbed"), *options]) == 0
    expected = images(tmp_path / "undisturbed")
    out.mkdir()
    watcher, moments = Watcher(out, expected), random.Random(0)
    watcher.start()
    for _ in range(kills):
        process = start(str(source), str(out), "--json", *options)
        assert process.stdout
        for _ in range(moments.randint(1, max(1, shards // kills - 2))):
            process.stdout.readline()
        # in the middle of the next ones, whose temporary files are there
        left = [path for path in out.iterdir() if path.suffix == ".part"]
        while not left and process.poll() is None and moments.random() < 0.9:
            left = [path for path in out.iterdir() if path.suffix == ".part"]
        process.kill()
        process.communicate()
    assert start(str(source), str(out), *options).wait() == 0
    watcher.ended.set()
    watcher.join()
    assert (watcher.wrong, watcher.seen.keys()) == ([], {f"{n:03}.tar" for n in range(shards)})
    found = images(out)
    tables = [status_name(f"{number:03}.tar") for number in range(shards)]
    assert found.keys() == {*tables, *watcher.seen}
    assert all(found[name] == expected[name] for name in watcher.seen)
    done = [line["name"] for line in journal(out) if line.get("status") == "done"]
    assert sorted(done) == sorted(set(done))
