"""Throughput of a Ray cluster of one and of two nodes on this machine, one core each.

`python -m tests.benchmarks.cluster ../shared/datasets/Kodak [--scale 4] [--model lite] [--images
24]` Images a second from where every worker has finished its first ones: starting Ray and loading
networks is left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from srup import batch
from srup.batch.executors.ray import connect, on_cluster
from srup.inference.target import Target
from srup.pipeline import Recipe, Worker

THREADS = 2  # of a worker


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scale", type=float, default=4)
    parser.add_argument("--model", default="lite")
    parser.add_argument("--images", type=int, default=24)
    options = parser.parse_args()
    rates = {nodes: _rate(nodes, options) for nodes in (1, 2)}
    for nodes, rate in rates.items():
        print(f"{nodes} of one core  {rate:.3f} images/s  {rate / rates[1]:.2f} times one")


def _rate(nodes: int, options: argparse.Namespace) -> float:
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=1)
    connect(cluster.address)
    with tempfile.TemporaryDirectory() as out:
        recipe = Recipe(Target(options.scale), options.model, format="jpeg")
        sources = batch.find([str(options.folder / "*.png")])
        jobs = batch.planned(sources, out, recipe)[: options.images]
        times = []
        for result in on_cluster(jobs, Worker(recipe), cores=1, threads=THREADS):
            if result.status == "done":
                times.append(time.perf_counter())
    ray.shutdown()
    cluster.shutdown()
    warm = nodes * THREADS
    return (len(times) - 1 - warm) / (times[-1] - times[warm])


if __name__ == "__main__":
    main()
