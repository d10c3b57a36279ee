"""A real cluster of two nodes on this machine. Slow: two nodes take half a minute to come up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from srup import batch
from srup.batch.executors.ray import connect, on_cluster
from srup.batch.executors.threads import in_threads
from srup.batch.running import record_intent, remove_partial_files
from srup.inference.target import Target
from srup.pipeline import Recipe, Worker
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
    recipe, out = Recipe(Target(scale=4)), str(tmp_path / "out")
    sources = batch.find([str(tmp_path / "in")])
    jobs = batch.planned(sources, out, recipe)
    names = []
    for result in on_cluster(jobs, Worker(recipe), cores=1, threads=2):
        assert result.status == "done", result.error
        names.append(result.name)
        if len(names) == COUNT // 2:
            cluster.remove_node(second, allow_graceful=False)
    assert sorted(names) == [f"{number:03}.png" for number in range(COUNT)]
    with batch.journal(out) as journal:
        record_intent(jobs, journal, recipe)
        remove_partial_files(journal)
    here = batch.planned(sources, str(tmp_path / "here"), recipe)
    assert all(result.status == "done" for result in in_threads(here, Worker(recipe)))
    assert images(tmp_path / "out") == images(tmp_path / "here")
