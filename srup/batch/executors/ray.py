"""Jobs over a Ray cluster: actors that each hold the network, one for each GPU or for so many
processor cores.

Bytes go between the workers and the storage; through the driver go jobs and results alone.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from srup import memory, processor
from srup.batch.executors.scheduling import Crew, Hand, shared_out
from srup.batch.shards import carried_out
from srup.errors import EngineUnavailable
from srup.files import cache, replacing
from srup.pipeline import Job, Recipe, Result, Worker

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between looks at what the cluster has
PATIENCE = 5  # workers in a row that may fail to start


def connect(address: str) -> None:
    """Joins the cluster at `address`, or starts one of this machine alone for "local".

    Raises EngineUnavailable.
    """
    try:
        import ray
    except ImportError as error:
        raise EngineUnavailable("a cluster needs Ray: pip install 'srup[ray]'") from error
    try:
        ray.init(
            None if address == "local" else address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False,
        )
    except Exception as error:  # Ray raises errors of many kinds
        reason = str(error).splitlines()[0]
        raise EngineUnavailable(
            f"no Ray cluster answers at {address} ({reason}); see that it runs (ray status)",
            "or take {cluster=local}",
        ) from error


def on_cluster(
    jobs: Iterable[Job], worker: Worker, *, cores: int = 4, threads: int = 3
) -> Iterator[Result]:
    """The results of jobs by a cluster's workers, each of a GPU or `cores` cores and so many
    threads.

    Call `connect` before. Raises EngineUnavailable if the cluster starts no worker.
    """
    crew = _Actors(worker.recipe, cores, threads, worker.stopped)
    return shared_out(jobs, crew, worker.stopped)


class _Actor(Hand):
    """A worker on a node.

    `starting` is what tells that it runs, until it does; `running` the jobs by Ray's references.
    """

    def __init__(self, handle: Any) -> None:
        super().__init__()
        self.handle = handle
        self.starting: Any = handle.ready.remote()
        self.running: dict[Any, str] = {}

    def send(self, job: Job) -> None:
        self.running[self.handle.process.remote(job)] = job.name


class _Actors(Crew):
    """As many workers as the cluster has room for, also when it grows or shrinks."""

    def __init__(self, recipe: Recipe, cores: int, threads: int, stopped: threading.Event) -> None:
        import ray

        self.recipe, self.cores, self.threads, self.stopped = recipe, cores, threads, stopped
        self.hands: list[_Actor] = []
        self.stopping = False
        self.failures, self.next_look = 0, 0.0
        self.checkpoint = None
        # a checkpoint of one's own is on this machine alone
        if recipe.weights:
            self.checkpoint = ray.put(Path(recipe.weights).read_bytes())
        self.remote: Any = ray.remote(ClusterWorker)

    def ready(self) -> Sequence[_Actor]:
        self._recruit()
        self._look_at_starting()
        return [hand for hand in self.hands if hand.starting is None]

    def _recruit(self) -> None:
        """Starts workers where there is room, after each failure to do so more slowly."""
        import ray

        # asking the cluster costs a round trip
        if time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + LOOK * 2**self.failures
        cluster: Any = ray  # this function has no types
        have: dict[str, float] = cluster.cluster_resources()
        gpus, cores = int(have.get("GPU", 0)), int(have.get("CPU", 1))
        each = min(self.cores, cores)
        wanted = gpus or max(1, cores // each)
        options: dict[str, object] = {"num_cpus": each}
        if gpus:
            options = {"num_gpus": 1, "num_cpus": 0}
        while len(self.hands) < wanted:
            made = self.remote.options(max_concurrency=self.threads + 2, **options)
            self.hands.append(_Actor(made.remote(self.recipe, each, self.checkpoint)))

    def _look_at_starting(self) -> None:
        """Notes which workers run by now, and lets go of those that could not be started."""
        import ray

        starting = [hand for hand in self.hands if hand.starting is not None]
        if not starting:
            return
        references = [hand.starting for hand in starting]
        begun, _ = ray.wait(references, num_returns=len(references), timeout=0)
        for hand in starting:
            if hand.starting not in begun:
                continue
            try:
                ray.get(hand.starting)
                hand.starting, self.failures = None, 0
            except ray.exceptions.RayActorError as error:
                self.hands.remove(hand)
                self._count_failure(error)

    def _count_failure(self, error: Exception) -> None:
        reason = str(error).splitlines()[-1]
        log.warning("a worker could not be started: %s", reason)
        self.failures += 1
        if self.failures > PATIENCE:
            about = f"the cluster starts no worker ({reason}); see why with ray status"
            raise EngineUnavailable(about) from error

    def answers(self) -> Iterator[tuple[_Actor, Result | None]]:
        import ray

        by_reference = {reference: hand for hand in self.hands for reference in hand.running}
        starting = [hand.starting for hand in self.hands if hand.starting is not None]
        awaited = [*by_reference, *starting]
        if not awaited:  # until more workers may be asked for
            self.stopped.wait(LOOK)
            return
        ray.wait(awaited, timeout=LOOK)
        # all that there are: with many workers each look costs much
        done, _ = ray.wait(awaited, num_returns=len(awaited), timeout=0)
        for reference in done:
            hand = by_reference.get(reference)
            if hand and reference in hand.running:  # not of a worker whose death was just met
                yield hand, self._answer(hand, reference)

    def _answer(self, hand: _Actor, reference: Any) -> Result | None:
        """The Result behind a reference; None if its worker or node has died."""
        import ray

        try:
            result: Result = ray.get(reference)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError:
            log.warning("a worker has died; its jobs go to others")
            self.hands.remove(hand)
            hand.running.clear()
            return None
        del hand.running[reference]
        return result

    def stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            for hand in self.ready():
                hand.handle.stop.remote()

    def end(self) -> None:
        import ray

        for hand in self.hands:
            ray.kill(hand.handle)


class ClusterWorker:
    """What an actor is: a Worker with `cores` processor cores."""

    def __init__(self, recipe: Recipe, cores: int, checkpoint: bytes | None) -> None:
        memory.keep_freed()
        processor.limit(cores)
        if recipe.weights and checkpoint is not None:
            local = _local_file(checkpoint, Path(recipe.weights).suffix)
            recipe = replace(recipe, weights=str(local))
        self.worker = Worker(recipe, many=True)

    def ready(self) -> bool:
        """Answers as soon as the actor runs."""
        return True

    def process(self, job: Job) -> Result:
        """The result of a job."""
        return carried_out(self.worker, job)

    def stop(self) -> None:
        """Begins nothing more, and gives up what is being computed."""
        self.worker.stopped.set()


def _local_file(checkpoint: bytes, suffix: str) -> Path:
    """A checkpoint of one's own as a file on this node."""
    digest = hashlib.sha256(checkpoint).hexdigest()
    path = cache() / "own" / f"{digest[:16]}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(checkpoint)
    return path
