"""Shards over workers of one core: srup's own jobs beside Ray Data's blocks, for the same work.

`python -m tests.benchmarks.shards [--shards 24] [--each 40] [--workers 2] [--runs 3]` needs
`pip install 'ray[data]' webdataset`. The images are of 96×64 pixels, enlarged 4 times by lite.
Interleaved. What starting takes is subtracted: each run is one over a shard for each worker, and
one over all of them.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray

from srup import batch, memory
from srup.batch.executors.ray import on_cluster
from srup.inference.target import Target
from srup.pipeline import Recipe
from tests.data.shards import tar_shards

RECIPE = Recipe(Target(4), "lite")
EXTENSION = "png"
Way = Callable[[list[str], Path, int], float]  # (shards, output folder, workers) → seconds


class Enlarge:
    """What an actor of Ray Data's pool does with a block of rows."""

    def __init__(self) -> None:
        import srup

        memory.keep_freed()
        self.upscaler = srup.load("lite", scale=4)

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        """The rows with their images enlarged, each a file again."""
        import PIL.Image

        enlarged = []
        for data in rows[EXTENSION]:
            image = PIL.Image.open(io.BytesIO(data)) if isinstance(data, bytes) else data
            file = io.BytesIO()
            self.upscaler(PIL.Image.fromarray(_array(image))).save(file, "PNG")
            enlarged.append(file.getvalue())
        return {**rows, EXTENSION: enlarged}


def _array(image: Any) -> Any:
    import numpy as np

    return np.asarray(image)[..., :3]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shards", type=int, default=24)
    parser.add_argument("--each", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    ways = {"srup": _by_jobs, "Ray Data": _by_blocks}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        tar_shards(source, options.shards, options.each)
        for run in range(options.runs):
            for name, way in ways.items():
                rates[name].append(_rate(way, source, Path(folder) / f"{name} {run}", options))
    for name, values in rates.items():
        each = ", ".join(f"{value:.2f}" for value in values)
        print(f"{name:<9} {statistics.median(values):.2f} images/s ({each})")


def _rate(way: Way, source: Path, out: Path, options: argparse.Namespace) -> float:
    """Images a second beyond the first shard of each worker."""
    paths, workers = sorted(map(str, source.glob("*.tar"))), options.workers
    few = way(paths[:workers], out.with_name(f"{out.name} few"), workers)
    seconds = way(paths, out, workers) - few
    return (len(paths) - workers) * options.each / seconds


def _by_jobs(paths: list[str], out: Path, workers: int) -> float:
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    began = time.perf_counter()
    jobs = batch.planned(batch.find(paths), str(out), RECIPE)
    executor = partial(on_cluster, cores=1, threads=2)
    with batch.journal(str(out)) as journal:
        results = list(batch.run(jobs, RECIPE, journal, executor))
    assert {result.status for result in results} == {"done"}
    took = time.perf_counter() - began
    ray.shutdown()
    return took


def _by_blocks(paths: list[str], out: Path, workers: int) -> float:
    import ray.data

    # one core more, as reading and writing are tasks of their own
    ray.init(num_cpus=workers + 1, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    began = time.perf_counter()
    rows = ray.data.read_webdataset(paths, decoder=False)
    pool = ray.data.ActorPoolStrategy(size=workers)
    enlarged = rows.map_batches(Enlarge, batch_size=8, compute=pool, num_cpus=1)
    enlarged.write_webdataset(str(out), encoder=None)
    took = time.perf_counter() - began
    ray.shutdown()
    return took


if __name__ == "__main__":
    main()
