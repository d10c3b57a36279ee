"""Throughput of a batch beside that of the network alone, and of two worker processes beside one.

`python -m tests.benchmarks.batch ../shared/datasets/Kodak [--scale 4] [--model lite] [--format png] [--runs 3]`
Interleaved; medians. "Compute" is the network over the decoded images, one after the other, with all cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from srup import memory
from srup.inference.run_options import RunOptions

memory.keep_freed()  # as `srup` does, before torch is imported

import srup  # noqa: E402
from srup import jobs  # noqa: E402
from srup.batch.planning import Job  # noqa: E402
from srup.batch.processes import in_processes  # noqa: E402
from srup.batch.running import Settings, Worker, running  # noqa: E402
from srup.images import EXTENSIONS, read_image  # noqa: E402
from srup.inference.target import Target  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=4)
    parser.add_argument("--model", default="lite")
    parser.add_argument("--format", default="png", choices=list(EXTENSIONS))
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    upscaler = srup.load(options.model, scale=options.scale, device="cpu")
    images = [read_image(path) for path in sorted(options.folder.glob("*.png"))]
    with tempfile.TemporaryDirectory() as out:
        extension = EXTENSIONS[options.format]
        settings = Settings(
            out,
            Target(options.scale),
            model=options.model,
            run_options=RunOptions(device="cpu"),
            extension=extension,
        )
        planned = jobs.plan(jobs.find([str(options.folder / "*.png")]), out, extension=extension)
        make = Worker(settings, threading.Event())
        ways: dict[str, Callable[[], object]] = {
            "compute": lambda: [upscaler(image) for image in images],
            "batch": lambda: list(
                running.in_threads(planned, make, threads=options.threads, stopped=make.stopped)
            ),
            "1 process": lambda: _processes(planned, settings, 1, options.threads),
            "2 processes": lambda: _processes(planned, settings, 2, options.threads),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.runs):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(
            f"{name:<12} {len(images) / median:.3f} images/s  {medians['compute'] / median:.1%} of compute"
        )


def _processes(planned: list[Job], settings: Settings, count: int, threads: int) -> object:
    return list(
        in_processes(planned, settings, ["cpu"] * count, threads=threads, stopped=threading.Event())
    )


if __name__ == "__main__":
    main()
