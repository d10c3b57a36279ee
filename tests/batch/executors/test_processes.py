from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path

import pytest

from srup import batch
from srup.batch.executors.processes import in_processes
from srup.errors import InternalError
from srup.inference.target import Target
from srup.pipeline import Job, Recipe, Worker
from srup.storage import Entry
from tests.data.draw import draw


def test_a_worker_that_dies_loses_no_job(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(12):
        draw(24, 16).save(tmp_path / "in" / f"{number}.png")
    recipe, out = Recipe(Target(scale=2)), tmp_path / "out"
    jobs = batch.planned(batch.find([str(tmp_path / "in")]), str(out), recipe)
    others = multiprocessing.active_children()  # of a server that other tests have
    results = in_processes(jobs, Worker(recipe), devices=["cpu"], threads=2)
    first = next(results)
    (worker,) = set(multiprocessing.active_children()).difference(others)
    worker.kill()
    done = {result.name for result in [first, *results] if result.status == "done"}
    assert done == {f"{number}.png" for number in range(12)}
    assert len(list(out.glob("*.png"))) == 12


def test_what_a_worker_logs_is_logged_here(photo: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The traceback of a mistake of srup's own, too: a job without a destination is one."""
    caplog.set_level(logging.INFO, "srup")
    job = Job("a.png", Entry(str(photo), photo.name), None)  # type: ignore[arg-type]
    (result,) = in_processes([job], Worker(Recipe()), devices=["cpu"])
    assert isinstance(result.error, InternalError)
    (told,) = [record for record in caplog.records if record.exc_text]
    assert "an unexpected error in srup" in told.getMessage()
    assert "AttributeError" in str(told.exc_text) and "pipeline.py" in str(told.exc_text)
