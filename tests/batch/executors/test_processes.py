from __future__ import annotations

import multiprocessing
from pathlib import Path

from srup import batch
from srup.batch.executors.processes import in_processes
from srup.inference.target import Target
from srup.pipeline import Recipe, Worker
from tests.data.draw import draw


def test_a_worker_that_dies_loses_no_job(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(12):
        draw(24, 16).save(tmp_path / "in" / f"{number}.png")
    recipe, out = Recipe(Target(scale=2)), tmp_path / "out"
    jobs = batch.planned(batch.find([str(tmp_path / "in")]), str(out), recipe)
    results = in_processes(jobs, Worker(recipe), devices=["cpu"], threads=2)
    first = next(results)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    done = {result.name for result in [first, *results] if result.status == "done"}
    assert done == {f"{number}.png" for number in range(12)}
    assert len(list(out.glob("*.png"))) == 12
