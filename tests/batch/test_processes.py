from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

from srup.batch import planning
from srup.batch.processes import in_processes
from srup.batch.running import Settings
from srup.inference.target import Target
from tests.data.draw import draw


def test_a_worker_that_dies_loses_no_job(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(12):
        draw(24, 16).save(tmp_path / "in" / f"{number}.png")
    settings = Settings(str(tmp_path / "out"), Target(scale=2))
    planned = planning.plan(planning.find([str(tmp_path / "in")]), settings.out, extension=".png")
    results = in_processes(planned, settings, ["cpu"], threads=2, stopped=threading.Event())
    first = next(results)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    assert {result.name for result in [first, *results] if result.status == "done"} == {
        f"{n}.png" for n in range(12)
    }
    assert len(list((tmp_path / "out").glob("*.png"))) == 12
