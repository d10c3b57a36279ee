"""Throughput of a batch beside that of the network alone, and of two worker processes beside one.

`python -m tests.benchmarks.batch ../shared/datasets/Kodak [--scale 4] [--model lite] [--format png]
[--runs 3]` Interleaved; medians. "Compute" is the network over the decoded images, one after the
other, with all cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from srup import memory
from srup.inference.run_options import RunOptions

memory.keep_freed()  # as `srup` does, before torch is imported

import srup  # noqa: E402
from srup import batch  # noqa: E402
from srup.batch.executors.processes import in_processes  # noqa: E402
from srup.batch.executors.threads import in_threads  # noqa: E402
from srup.images import FORMATS, read_image  # noqa: E402
from srup.inference.target import Target  # noqa: E402
from srup.pipeline import Job, Recipe, Worker  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=4)
    parser.add_argument("--model", default="lite")
    parser.add_argument("--format", default="png", choices=list(FORMATS))
    parser.add_argument("--threads", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    upscaler = srup.load(options.model, scale=options.scale, device="cpu")
    images = [read_image(path) for path in sorted(options.folder.glob("*.png"))]
    with tempfile.TemporaryDirectory() as out:
        recipe = Recipe(
            Target(options.scale),
            options.model,
            run_options=RunOptions(device="cpu"),
            format=options.format,
        )
        jobs = batch.planned(batch.find([str(options.folder / "*.png")]), out, recipe)
        worker = Worker(recipe)
        ways: dict[str, Callable[[], object]] = {
            "compute": lambda: [upscaler(image) for image in images],
            "batch": lambda: list(in_threads(jobs, worker, threads=options.threads)),
            "1 process": lambda: _processes(jobs, recipe, 1, options.threads),
            "2 processes": lambda: _processes(jobs, recipe, 2, options.threads),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.runs):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        rate, share = len(images) / median, medians["compute"] / median
        print(f"{name:<12} {rate:.3f} images/s  {share:.1%} of compute")


def _processes(jobs: list[Job], recipe: Recipe, count: int, threads: int) -> object:
    devices = ["cpu"] * count
    return list(in_processes(jobs, Worker(recipe), devices=devices, threads=threads))


if __name__ == "__main__":
    main()
