"""How many images an hour so many workers make: a model, a simulation, and both beside a cluster.

`python -m tests.benchmarks.scale [--images 1000000 10000000 100000000] [--workers 1 10 100 1000]`
prints hours for a network of `--seconds` a core an image; `--measure` runs shards on one and two
nodes of one core, and simulates the same with the times that each shard took.

The simulation is the library's own scheduling, over workers that only count time.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from srup.batch.executors.scheduling import Crew, Hand, shared_out
from srup.pipeline import Destination, Job, Result
from srup.storage import Entry
from tests.data.shards import tar_shards

LARGEST = 5000  # shards of a simulation: from there on nothing changes but the length


@dataclass(frozen=True)
class Service:
    """What one shard takes, in seconds and bytes; `shards` are seconds as measured, or else a
    shard is computed for `images` × `image` seconds, one after the other on a worker.
    """

    images: int = 1000
    image: float = 0.5  # of a core, decoding and encoding among them
    shard: float = 0.2  # latency of the store and what else waits, to fetch and to bring
    traffic: float = 1000 * 2e6  # bytes fetched and brought
    bandwidth: float = 1e9  # of the store, in bytes a second
    connection: float = 1e8  # of a worker
    driver: float = 0.01  # of the driver: planning, sending, the journal
    deaths: float = 0.0  # of a worker, an hour
    restart: float = 30.0
    shards: Sequence[float] = ()


def model(workers: int, service: Service) -> dict[str, float]:
    """Images a second that each part allows; the least is what there will be."""
    bytes_each = service.traffic / service.images
    # of two shards that a worker is at, one is begun and one computed to the half
    lost = service.deaths / 3600 * (service.restart + service.images * service.image / 2)
    return {
        "workers": workers / service.image / (1 + lost),
        "store": service.bandwidth / bytes_each,
        "connections": workers * service.connection / bytes_each,
        "driver": service.images / service.driver,
    }


def simulated(
    workers: int, shards: int, service: Service, *, threads: int = 2
) -> tuple[list[float], int]:
    """Seconds until each shard is done, and how many were given up, as two workers died at them."""
    crew = _Clock(workers, threads, service)
    jobs = (Job(str(number), Entry("", ""), Destination("")) for number in range(shards))
    ends, given_up = list[float](), 0
    for result in shared_out(jobs, crew, threading.Event()):
        ends.append(max(crew.now, crew.driver_free))
        given_up += result.status == "failed"
    assert len(ends) == shards
    return ends, given_up


class _Hand(Hand):
    """A worker whose core computes one shard after the other."""

    def __init__(self, crew: _Clock) -> None:
        super().__init__()
        self.crew, self.core_free, self.waiting, self.at_work = crew, 0.0, list[Job](), 0
        self.life = 0  # which of its lives this is
        self.from_ = 0.0
        crew.plan_death(self)

    def send(self, job: Job) -> None:
        self.waiting.append(job)
        self.begin()

    def begin(self) -> None:
        """Begins what it has room for: an actor is at one more than it has threads."""
        while self.waiting and self.at_work <= self.crew.threads:
            self.at_work += 1
            self.crew.begin(self, self.waiting.pop(0))


class _Clock(Crew):
    """Workers in a time of their own: events in their order, none of which takes any."""

    def __init__(self, workers: int, threads: int, service: Service) -> None:
        self.threads, self.service = threads, service
        self.now = self.driver_free = self.store_free = 0.0
        self.random, self.numbers = random.Random(0), itertools.count()
        self.events: list[tuple[float, int, str, _Hand, int, Job | None]] = []
        self.hands = [_Hand(self) for _ in range(workers)]

    def ready(self) -> Sequence[_Hand]:
        return [hand for hand in self.hands if hand.from_ <= self.now]

    def begin(self, hand: _Hand, job: Job) -> None:
        if self.service.shards:
            self.at(self.now + self.random.choice(self.service.shards), "brought", hand, job)
            return
        self.at(self._transferred(), "fetched", hand, job)

    def at(self, moment: float, what: str, hand: _Hand, job: Job | None) -> None:
        heapq.heappush(self.events, (moment, next(self.numbers), what, hand, hand.life, job))

    def plan_death(self, hand: _Hand) -> None:
        if self.service.deaths:
            lives = self.random.expovariate(self.service.deaths / 3600)
            self.at(self.now + lives, "dies", hand, None)

    def answers(self) -> Iterator[tuple[_Hand, Result | None]]:
        self.now, _, what, hand, life, job = heapq.heappop(self.events)
        if what == "begins" or life != hand.life:
            return
        if what == "dies":
            hand.life, hand.from_ = hand.life + 1, self.now + self.service.restart
            hand.waiting, hand.at_work, hand.core_free = [], 0, 0.0
            self.at(hand.from_, "begins", hand, None)
            self.plan_death(hand)
            yield hand, None
        elif what == "fetched":
            took = self.service.images * self.service.image
            hand.core_free = max(self.now, hand.core_free) + took
            self.at(hand.core_free, "computed", hand, job)
        elif what == "computed":
            self.at(self._transferred(), "brought", hand, job)
        elif job:
            hand.at_work -= 1
            hand.begin()
            # the driver writes down one result after the other
            self.driver_free = max(self.driver_free, self.now) + self.service.driver
            yield hand, Result(job.name, "", "done")

    def _transferred(self) -> float:
        """When half of a shard's bytes have gone between the store and a worker."""
        half = self.service.traffic / 2
        self.store_free = max(self.now, self.store_free) + half / self.service.bandwidth
        alone = self.now + self.service.shard / 2 + half / self.service.connection
        return max(self.store_free, alone)

    def stop(self) -> None:
        """Nothing runs."""

    def end(self) -> None:
        """Nothing runs."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, nargs="+", default=[10**6, 10**7, 10**8])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--shard", type=int, default=1000, help="images of a shard")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a core, an image")
    parser.add_argument("--bytes", type=float, default=2e6, help="read and written, an image")
    parser.add_argument("--bandwidth", type=float, default=1e9, help="of the store, bytes a second")
    parser.add_argument("--driver", type=float, default=0.01, help="seconds of the driver, a job")
    parser.add_argument("--deaths", type=float, default=0.1, help="of a worker, an hour")
    parser.add_argument("--measure", action="store_true")
    options = parser.parse_args()
    if options.measure:
        _beside_a_cluster()
        return
    service = Service(
        options.shard,
        options.seconds,
        traffic=options.shard * options.bytes,
        bandwidth=options.bandwidth,
        driver=options.driver,
        deaths=options.deaths,
    )
    print(
        "| images | workers | images/s, model | simulated | hours | core-hours | full | given up |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for images, workers in itertools.product(options.images, options.workers):
        print(_row(images, workers, service))


def _row(images: int, workers: int, service: Service) -> str:
    allowed = model(workers, service)
    limit = min(allowed, key=lambda name: allowed[name])
    shards = -(-images // service.images)
    some = min(shards, max(LARGEST, 20 * workers))
    ends, given_up = simulated(workers, some, service)
    rate = (some - given_up) * service.images / ends[-1]
    hours = images / rate / 3600
    cells = [f"{images:,}", f"{workers:,}", f"{allowed[limit]:,.1f}", f"{rate:,.1f}"]
    cells += [f"{hours:,.1f}", f"{hours * workers:,.0f}", limit]
    cells.append(f"{given_up / some:.2%}")
    return f"| {' | '.join(cells)} |"


SHARDS, EACH, THREADS, RUNS = 30, 16, 2, 2


def _beside_a_cluster() -> None:
    """Prints rates of one and two nodes, as measured, and as simulated."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        tar_shards(source, SHARDS, EACH)
        for run in range(RUNS):
            for nodes in (1, 2):
                out = Path(folder) / f"{run}-{nodes}"
                ends, seconds, driver = _measured(nodes, source, out)
                service = Service(EACH, driver=driver, shards=seconds)
                again, _ = simulated(nodes, SHARDS, service, threads=THREADS)
                rates = [_rate(each, nodes) for each in (ends, again)]
                print(
                    f"{nodes} nodes: {rates[0]:.2f} images/s, simulated {rates[1]:.2f}"
                    f" ({rates[1] / rates[0] - 1:+.1%}); a shard {statistics.mean(seconds):.2f} s,"
                    f" of the driver {driver * 1e3:.1f} ms",
                    flush=True,
                )


def _rate(ends: Sequence[float], nodes: int) -> float:
    """Images a second once every worker has made what it began with."""
    warm = nodes * (THREADS + 1)
    return (len(ends) - warm) * EACH / (ends[-1] - ends[warm - 1])


def _measured(nodes: int, source: Path, out: Path) -> tuple[list[float], list[float], float]:
    """When each shard was done, what it took, and seconds of the driver's core for one."""
    import ray
    from ray.cluster_utils import Cluster

    from srup import batch
    from srup.batch.executors.ray import connect, on_cluster
    from srup.inference.target import Target
    from srup.pipeline import Recipe

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for _ in range(nodes - 1):
        cluster.add_node(num_cpus=1)
    connect(cluster.address)
    recipe = Recipe(Target(4), "lite")
    jobs = batch.planned(batch.find([str(source)]), str(out), recipe)
    executor = partial(on_cluster, cores=1, threads=THREADS)
    ends, seconds, cpu = list[float](), list[float](), time.process_time()
    with batch.journal(str(out)) as journal:
        for result in batch.run(jobs, recipe, journal, executor):
            assert result.status == "done", result.error
            ends.append(time.perf_counter())
            seconds.append(result.seconds)
    cpu = time.process_time() - cpu
    ray.shutdown()
    cluster.shutdown()
    warm = nodes * (THREADS + 1)  # they load the network
    return ends, seconds[warm:], cpu / len(jobs)


if __name__ == "__main__":
    main()
