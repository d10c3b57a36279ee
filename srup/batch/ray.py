"""The jobs of a batch over a Ray cluster: actors that each hold the network, one for each GPU or for so many processor cores.

Bytes go between the workers and the storage; through the driver go jobs and results alone.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from srup import memory, processor
from srup.batch.planning import Job
from srup.batch.running import Queue, Result, Settings, Worker
from srup.errors import EngineUnavailable
from srup.files import cache, replacing

log = logging.getLogger(__name__)

LOOK = 1.0  # seconds between looks at what the cluster has
PATIENCE = 5  # workers in a row that may fail to start
ADVICE = "see that it runs (ray status), or take --cluster local"


def connect(address: str) -> None:
    """Joins the cluster at `address`, or starts one of this machine alone for "local". Raises EngineUnavailable."""
    try:
        import ray
    except ImportError as error:
        raise EngineUnavailable("--cluster needs Ray: pip install 'srup[ray]'") from error
    try:
        ray.init(
            None if address == "local" else address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False,
        )
    except Exception as error:
        raise EngineUnavailable(
            f"no Ray cluster answers at {address} ({str(error).splitlines()[0]}); {ADVICE}"
        ) from error


def on_cluster(
    jobs: Iterable[Job], settings: Settings, *, cores: int, threads: int, stopped: threading.Event
) -> Iterator[Result]:
    """What the cluster's workers make of jobs, each of `cores` cores or a GPU and with so many threads. Call `connect` before."""
    import ray

    queue, crew = Queue(jobs), _Crew(settings, cores, threads)
    try:
        while True:
            crew.recruit()
            for actor in crew.ready():
                while (
                    not stopped.is_set()
                    and actor.has_room(threads)
                    and (job := queue.take(idle=not actor.jobs))
                ):
                    actor.send(job, alone=job.name in queue.deaths)
            running = {reference: actor for actor in crew.actors for reference in actor.jobs}
            if not running and (stopped.is_set() or queue.is_empty):
                return
            awaited = [*running, *crew.starting()]
            if not awaited:  # until more workers may be asked for
                stopped.wait(LOOK)
                continue
            done, _ = ray.wait(awaited, timeout=LOOK)
            for reference in done:
                if reference in running:
                    yield from _heard(reference, running[reference], queue, crew)
            if stopped.is_set():
                crew.stop()
    finally:
        crew.end()


def _heard(reference: Any, actor: _Actor, queue: Queue, crew: _Crew) -> Iterator[Result]:
    """A result; or, if its worker or node has died, those of its jobs that are given up, the others put back."""
    import ray

    if reference not in actor.jobs:  # of a worker whose death was met a moment ago
        return
    try:
        result: Result = ray.get(reference)
    except ray.exceptions.RayError as error:
        if isinstance(error, ray.exceptions.RayTaskError):
            raise
        log.warning("a worker has died; its jobs go to others")
        crew.actors.remove(actor)
        yield from queue.put_back(actor.jobs.values())
        actor.jobs.clear()
        return
    del actor.jobs[reference]
    yield result


@dataclass(eq=False)
class _Actor:
    """A worker: its handle, what says that it is ready, and the jobs it was given, by the reference to their result."""

    handle: Any
    begun: Any
    jobs: dict[Any, Job] = field(default_factory=dict)
    alone: bool = False

    def has_room(self, threads: int) -> bool:
        return not self.jobs or (not self.alone and len(self.jobs) <= threads)

    def send(self, job: Job, *, alone: bool) -> None:
        self.alone = alone
        self.jobs[self.handle.make.remote(job)] = job


class _Crew:
    """As many workers as the cluster has room for, also when it grows or shrinks."""

    def __init__(self, settings: Settings, cores: int, threads: int) -> None:
        import ray

        self.settings, self.cores, self.threads, self.actors, self.stopping = (
            settings,
            cores,
            threads,
            list[_Actor](),
            False,
        )
        self.failures, self.next_look = 0, 0.0
        self.checkpoint = ray.put(Path(settings.weights).read_bytes()) if settings.weights else None
        self.remote: Any = ray.remote(Worker)

    def recruit(self) -> None:
        """Starts workers where there is room, after each failure to do so more slowly. Raises EngineUnavailable in the end."""
        import ray

        if time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + LOOK * 2**self.failures
        cluster: Any = ray  # this function has no types
        have: dict[str, float] = cluster.cluster_resources()
        gpus, cores = int(have.get("GPU", 0)), int(have.get("CPU", 1))
        each = min(self.cores, cores)
        while len(self.actors) < (gpus or max(1, cores // each)):
            options = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": each}
            handle = self.remote.options(max_concurrency=self.threads + 2, **options).remote(
                self.settings, each, self.checkpoint
            )
            self.actors.append(_Actor(handle, handle.ready.remote()))

    def starting(self) -> list[Any]:
        return [actor.begun for actor in self.actors if actor.begun is not None]

    def ready(self) -> list[_Actor]:
        """The workers that answer; those that could not be started are let go."""
        import ray

        begun, _ = (
            ray.wait(self.starting(), num_returns=len(self.starting()), timeout=0)
            if self.starting()
            else ([], [])
        )
        for actor in [actor for actor in self.actors if actor.begun in begun]:
            try:
                ray.get(actor.begun)
                actor.begun, self.failures = None, 0
            except ray.exceptions.RayActorError as error:
                reason = str(error).splitlines()[-1]
                log.warning("a worker could not be started: %s", reason)
                self.actors.remove(actor)
                self.failures += 1
                if self.failures > PATIENCE:
                    raise EngineUnavailable(
                        f"the cluster starts no worker ({reason}); see what ails it with ray status"
                    ) from error
        return [actor for actor in self.actors if actor.begun is None]

    def stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            for actor in self.ready():
                actor.handle.stop.remote()

    def end(self) -> None:
        import ray

        for actor in self.actors:
            ray.kill(actor.handle)


class Actor:
    """What an actor is: a Maker with `cores` processor cores."""

    def __init__(self, settings: Settings, cores: int, checkpoint: bytes | None) -> None:
        memory.keep_freed()
        processor.limit(cores)
        own = (
            replace(settings, weights=str(_local(checkpoint, Path(settings.weights).suffix)))
            if settings.weights
            else settings
        )
        self.stopped = threading.Event()
        self.maker = Worker(own, self.stopped)

    def ready(self) -> bool:
        return True

    def make(self, job: Job) -> Result:
        return self.maker(job)

    def stop(self) -> None:
        self.stopped.set()


def _local(checkpoint: bytes | None, suffix: str) -> Path:
    """A checkpoint of one's own as a file on this node."""
    assert checkpoint is not None
    path = cache() / "own" / f"{hashlib.sha256(checkpoint).hexdigest()[:16]}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(checkpoint)
    return path
