"""A real cluster of two nodes on this machine. Slow: two nodes take half a minute to come up."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from srup import batch, storage
from srup.batch.executors.ray import connect, on_cluster
from srup.batch.executors.threads import in_threads
from srup.batch.leftovers import remove_partial_files
from srup.batch.records import record_intent
from srup.batch.shards import carried_out
from srup.batch.shards.status import status_name
from srup.inference.target import Target
from srup.pipeline import Recipe, Worker
from tests.batch.shards.test_parquet import cells, sample_table
from tests.batch.shards.test_tar import contents, sample_shard
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


SHARDS, EACH = 200, 50


def members(path: Path) -> list[object]:
    """Names and bytes of a tar file."""
    return [(name, data) for name, (_, data) in contents(path).items()]


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder or a bucket; raylets that are started afterwards know how to reach it."""
    return (
        str(tmp_path / "place") if request.param == "folder" else request.getfixturevalue("bucket")
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_node_that_dies_loses_no_shard(
    kind: str, place: str, cluster: Any, tmp_path: Path
) -> None:
    """Every image once, the same as without a cluster, and what is none untouched."""
    make, read = (sample_table, cells) if kind == "parquet" else (sample_shard, members)
    source, out, here = (storage.join(place, name) for name in ("in", "out", "here"))
    names = [f"data-{number:06}.{kind}" for number in range(SHARDS)]
    make(tmp_path / names[0], EACH)
    for name in names:
        with storage.stored(storage.join(source, name)) as local:
            shutil.copyfile(tmp_path / names[0], local)
    recipe = Recipe(Target(scale=2), "bicubic")
    second = cluster.add_node(num_cpus=1)
    connect(cluster.address)
    executor, done = partial(on_cluster, cores=1, threads=2), []
    with batch.journal(out) as journal:
        jobs = batch.planned(batch.find([source]), out, recipe)
        for result in batch.run(jobs, recipe, journal, executor):
            assert (result.status, result.images, result.failed) == ("done", EACH, 0)
            done.append(result.name)
            if len(done) == SHARDS // 4:
                cluster.remove_node(second, allow_graceful=False)
        assert sorted(done) == names
        assert list(batch.run(jobs, recipe, journal)) == []
        remove_partial_files(journal)
    (job, *_) = batch.planned(batch.find([source]), here, recipe)
    assert carried_out(Worker(recipe), job).status == "done"
    with storage.fetched(storage.join(here, names[0])) as expected:
        content = read(expected)
    assert len(content) == EACH * 3
    for name in names:
        with storage.fetched(storage.join(out, name)) as made:
            assert read(made) == content
    left = {name for name in storage.sizes(out) if not name.startswith(".srup")}
    assert left == {*names, *map(status_name, names)}
