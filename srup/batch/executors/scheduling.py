"""How jobs are shared out to workers that may die: what processes and a cluster have in common."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from srup.errors import ImageError
from srup.pipeline import Job, Result

TRIES = 2  # a job at which so many workers died is given up


class JobQueue:
    """Jobs still to hand out.

    Those of dead workers come first, each to an idle worker: one of them may be why it died.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs, self.returned = iter(jobs), deque[Job]()
        self.deaths: dict[str, int] = {}
        self.exhausted = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to hand out."""
        return self.exhausted and not self.returned

    def take(self, *, idle: bool) -> Job | None:
        """The next job for a worker; None if there is none, or none for a worker that has others to
        do.
        """
        if self.returned and idle:
            return self.returned.popleft()
        job = next(self.jobs, None)
        self.exhausted = job is None
        return job

    def put_back(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """Puts the jobs of a dead worker back; yields as failed those that were put back before."""
        for job in jobs:
            self.deaths[job.name] = self.deaths.get(job.name, 0) + 1
            if self.deaths[job.name] < TRIES:
                # the dead worker may have written it
                destination = replace(job.destination, overwrite=True)
                self.returned.append(replace(job, destination=destination))
            else:
                about = f"{job.source.path}: two workers died at it"
                error = ImageError(about, "try it alone, in smaller windows ({tile=128})")
                yield Result(job.name, job.source.path, "failed", error)


class Hand(ABC):
    """A worker elsewhere, and the jobs that it was given and has not answered, by name."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.alone = False  # what it has may be why another died, so it gets nothing beside

    def has_room(self, threads: int) -> bool:
        """Whether it can take another job: one waits beside those that its threads are at."""
        return not self.jobs or (not self.alone and len(self.jobs) <= threads)

    def give(self, job: Job, *, alone: bool) -> None:
        """Hands it a job."""
        self.jobs[job.name], self.alone = job, alone
        self.send(job)

    @abstractmethod
    def send(self, job: Job) -> None:
        """Sends a job to where it runs."""


class Crew(ABC):
    """The workers that jobs are shared out to. `threads` is how many jobs each is at."""

    threads: int

    @abstractmethod
    def ready(self) -> Sequence[Hand]:
        """The workers that take jobs now; starts those that are missing.

        Raises EngineUnavailable if none can be.
        """

    @abstractmethod
    def answers(self) -> Iterator[tuple[Hand, Result | None]]:
        """Waits a moment for what workers answer: a Result, or None of a worker that has died.

        Raises what a worker raised.
        """

    @abstractmethod
    def stop(self) -> None:
        """Tells the workers to begin nothing more."""

    @abstractmethod
    def end(self) -> None:
        """Ends the workers."""


def shared_out(jobs: Iterable[Job], crew: Crew, stopped: threading.Event) -> Iterator[Result]:
    """The results of jobs as they end, by the workers of a crew.

    A worker that dies loses no job.
    """
    queue = JobQueue(jobs)
    try:
        while True:
            hands = crew.ready()
            # each is given what its threads do, and one job more that waits beside them
            for hand in hands:
                while not stopped.is_set() and hand.has_room(crew.threads):
                    job = queue.take(idle=not hand.jobs)
                    if job is None:
                        break
                    hand.give(job, alone=job.name in queue.deaths)
            if (stopped.is_set() or queue.is_empty) and not any(hand.jobs for hand in hands):
                return
            for hand, result in crew.answers():
                if result is None:
                    yield from queue.put_back(hand.jobs.values())
                    hand.jobs.clear()
                else:
                    del hand.jobs[result.name]
                    yield result
            # results of what was begun are still heard
            if stopped.is_set():
                crew.stop()
    finally:
        crew.end()
