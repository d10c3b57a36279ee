"""Planning of very many images: time to the first result, planning, memory, journal and rerun.

`python -m tests.benchmarks.million [--images 1000000] [--folder /tmp]` The images are hard links of
a few of 8 pixels a side or so, in folders of 1000. For the rerun, results are hard links too, and
the journal is written by the library.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from srup import batch
from srup.batch.journal import NAME
from srup.batch.pending import Chosen, chosen
from srup.batch.records import line_of, record_intent
from srup.batch.streaming import Sources, Stream
from srup.inference.target import Target
from srup.pipeline import Job, Recipe, Result
from tests.data.draw import draw

RECIPE = Recipe(Target(scale=2), "bicubic")
EACH = 1000  # images of a folder, and lines written at a time
LINKS = 30_000  # of one file, which file systems allow; results are as many more
COMMAND = ("-m", "srup", "batch", "-m", "bicubic", "-s", "2", "-r")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source, out = Path(folder) / "in", Path(folder) / "out"
        _linked(source, options.images)
        few = source / "000000"
        for _ in range(3):
            first, of_few = (_first_result(each, Path(folder) / "x") for each in (source, few))
            print(f"first result after {first:.2f} s, of {EACH} images {of_few:.2f} s")
        for what in ("planned", "done"):
            _child(what, source, out, options.images)
        size = (out / NAME).stat().st_size
        print(f"journal {size / 1e6:.0f} MB, {size / options.images:.0f} bytes an image")
        for _ in range(2):  # the first leaves lines out of the journal
            _rerun(source, out)


def _linked(source: Path, images: int) -> None:
    source.mkdir()
    for number in range(images):
        folder, original = source / f"{number // EACH:06}", source / f".{number // LINKS}.png"
        if number % LINKS == 0:
            draw(8, 6 + number // LINKS % 4).save(original)
        if number % EACH == 0:
            folder.mkdir()
        os.link(original, folder / f"{number:08}.png")


def _first_result(source: Path, out: Path) -> float:
    """Seconds from the start of the command to its first line."""
    started = time.perf_counter()
    command = [sys.executable, *COMMAND, str(source), str(out), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        took = time.perf_counter() - started
        process.kill()
    shutil.rmtree(out)
    return took


def _child(what: str, source: Path, out: Path, images: int) -> None:
    """Runs a part in a process of its own, for its memory."""
    code = f"from tests.benchmarks import million as m; m.{what}({str(source)!r}, {str(out)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, cpu, kilobytes, before = map(float, done.stdout.split())
    each = f"{cpu / images * 1e6:.1f} µs and {(kilobytes - before) * 1e3 / images:.0f} bytes"
    took = f"{seconds:.1f} s, {cpu:.1f} s of a core"
    print(f"{what} in {took}: {each} an image; {kilobytes / 1e3:.0f} MB in all")


def planned(source: str, out: str) -> None:
    """Finds and plans all, and asks the journal and the output folder for each."""
    stream = _stream(source, out)
    with batch.journal(out) as journal:
        before, started, cpu = _memory(), time.perf_counter(), time.process_time()
        todo = sum(len(portion.todo) for portion in _chosen(stream, journal))
    print(time.perf_counter() - started, time.process_time() - cpu, _memory(), before)
    assert todo


def done(source: str, out: str) -> None:
    """Writes the journal and the results of a run that made all."""
    stream = _stream(source, out)
    with batch.journal(out) as journal:
        before, started, cpu = _memory(), time.perf_counter(), time.process_time()
        jobs = iter(stream)
        while portion := list(islice(jobs, EACH)):
            record_intent(portion, journal, RECIPE)
            journal.append([line_of(_made(job), RECIPE) for job in portion])
    print(time.perf_counter() - started, time.process_time() - cpu, _memory(), before)


def _made(job: Job) -> Result:
    place = Path(job.destination.place)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.link(job.source.path, place)
    source, sizes = job.source, {"before": (8, 6), "after": (16, 12)}
    facts = {"seconds": 0.01, "networks": "bicubic ×2", "sha256": "0" * 64, "consistency": 40.0}
    return Result(
        job.name, source.path, "done", bytes=source.size, stamp=source.stamp, **sizes, **facts
    )


def _stream(source: str, out: str) -> Stream:
    sources = Sources((source,), recursive=True)
    return Stream(sources, out, RECIPE, apart=sources.apart(out))


def _chosen(stream: Stream, journal: batch.Journal) -> Iterator[Chosen]:
    return chosen(stream, journal, RECIPE, batch.Policy())


def _memory() -> float:
    """Kilobytes that this process had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _rerun(source: Path, out: Path) -> None:
    started, before = time.perf_counter(), _cpu_of_children()
    command = [sys.executable, *COMMAND, str(source), str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    cpu, size = _cpu_of_children() - before, (out / NAME).stat().st_size
    print(f"run again: {time.perf_counter() - started:.1f} s, {cpu:.1f} s of a core: ", end="")
    print(f"{done.stderr.splitlines()[-1].split(':')[0]}; journal {size / 1e6:.0f} MB")


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
