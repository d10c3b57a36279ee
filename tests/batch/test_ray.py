"""A real cluster of two nodes on this machine. Slow: two nodes take half a minute to come up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from srup.batch import planning, running
from srup.batch.ray import connect, on_cluster
from srup.batch.running import Settings, Worker
from srup.inference.target import Target
from tests.cli.test_batch import images
from tests.data.draw import draw

ray = pytest.importorskip("ray", reason="needs the extra srup[ray]")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs the extra srup[ray]")

COUNT = 100


@pytest.fixture
def cluster() -> Iterator[Any]:
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.slow
def test_a_node_that_dies_loses_no_job(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(COUNT):
        draw(24 + number % 5, 16).save(tmp_path / "in" / f"{number:03}.png")
    second = cluster.add_node(num_cpus=1)
    connect(cluster.address)
    settings, stopped = Settings(str(tmp_path / "out"), Target(scale=4)), threading.Event()
    planned = planning.plan(planning.find([str(tmp_path / "in")]), settings.out, extension=".png")
    results = on_cluster(planned, settings, cores=1, threads=2, stopped=stopped)
    names = []
    for result in results:
        assert result.status == "done", result.error
        names.append(result.name)
        if len(names) == COUNT // 2:
            cluster.remove_node(second, allow_graceful=False)
    assert sorted(names) == [f"{number:03}.png" for number in range(COUNT)]
    running.clear(settings.out)
    here = Settings(str(tmp_path / "here"), Target(scale=4))
    assert all(
        result.status == "done"
        for result in running.in_threads(planned, Worker(here, stopped), threads=2, stopped=stopped)
    )
    assert images(tmp_path / "out") == images(tmp_path / "here")
