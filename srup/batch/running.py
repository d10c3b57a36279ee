"""A batch from jobs to results: intent is recorded, jobs are run, results recorded, failures for
lack of memory retried.

The journal of the output folder knows what was done, so that only what is missing, changed or
failed is made.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TypeVar

from srup.batch.executors.threads import in_threads
from srup.batch.journal import Journal
from srup.batch.pending import Chosen, Policy, chosen, pending, without_conflicts
from srup.batch.records import line_of, record_intent
from srup.pipeline import SMALL_WINDOWS, Job, Recipe, Result, Worker
from srup.progress import Progress, ignore

T = TypeVar("T")

STOPPED_WITHIN = 0.1  # seconds
LOOK = 2.0  # seconds between looks of `watch`; a file that did not change between two is complete

Executor = Callable[[Iterable[Job], Worker], Iterator[Result]]  # jobs → results as they come
Announce = Callable[[Chosen], None]


def run(
    jobs: Iterable[Job],
    recipe: Recipe,
    journal: Journal,
    executor: Executor = in_threads,
    *,
    policy: Policy | None = None,
    look: Callable[[], Sequence[Job]] | None = None,
    stopped: threading.Event | None = None,
    announce: Announce | None = None,
    progress: Progress = ignore,
) -> Iterator[Result]:
    """Makes what is missing, failed or changed of `jobs`; yields what becomes of each, as they end.

    What exists and is not in the journal is refused, as a failure; so is what appears meanwhile.
    Of jobs in a sequence all is written down before the first is made; from others, such as a
    `Stream`, a thousand at a time are taken when they are needed. With `look`, which finds the jobs
    there are now (`planning.proposed`), it stays and makes what arrives, until `stopped` is set;
    what is being made then is finished. `announce(chosen)` is told what is about to be made, and
    `progress(done, total)` counts it, as far as it is known.
    Raises what concerns every image: WeightsError, EngineUnavailable, UsageError; and WriteError if
    the journal cannot be written.
    """
    policy, stopped = policy or Policy(), stopped or threading.Event()
    batch = _Batch(recipe, journal, executor, policy, stopped, progress, announce or _tell_nobody)
    yield from batch.made(chosen(jobs, journal, recipe, policy))
    if look is None:
        return
    for arrived in batch.arrivals(look):
        yield from batch.made([arrived])


def _tell_nobody(chosen: Chosen) -> None:
    """Announces to nobody."""


@dataclass(frozen=True)
class _Batch:
    """A run under way: it records what is about to be made, has it made, and records what became of
    it.
    """

    recipe: Recipe
    journal: Journal
    executor: Executor
    policy: Policy
    stopped: threading.Event
    progress: Progress
    announce: Announce

    def made(self, portions: Iterable[Chosen]) -> Iterator[Result]:
        """The results of jobs; of each portion those refused first."""
        flight = _Flight()
        begun = self._begun(portions, flight)
        flight.ahead = list(islice(begun, 1))  # so that what is refused of it is told at once
        for result in chain(self._refusals(flight), self._run(begun, flight)):
            if result.status == "stopped":
                continue
            flight.done += 1
            self.progress(flight.done, flight.total)
            if result.status == "failed" and self.policy.fail_fast:
                self.stopped.set()
            yield result

    def _begun(self, portions: Iterable[Chosen], flight: _Flight) -> Iterator[Job]:
        """The jobs to be made, when they are needed: written down and announced before."""
        for portion in portions:
            flight.refused += portion.refused
            flight.total += len(portion.todo) + len(portion.refused)
            if portion.todo:
                record_intent(portion.todo, self.journal, self.recipe)
            self.announce(portion)
            for job in portion.todo:
                if self.stopped.is_set():
                    return
                yield job

    def _refusals(self, flight: _Flight) -> Iterator[Result]:
        while flight.refused:
            yield self._refuse(flight.refused.popleft())

    def _run(self, begun: Iterator[Job], flight: _Flight) -> Iterator[Result]:
        """Results as they come; what did not fit into memory is tried once more, alone, in small
        windows.
        """
        worker = Worker(self.recipe, stopped=self.stopped, many=True)
        too_large = []
        for result in self.executor(flight.taken(begun), worker):
            job = flight.jobs.pop(result.name)
            yield from self._refusals(flight)
            if result.no_memory:
                too_large.append(replace(job, tile=SMALL_WINDOWS))
            else:
                yield self._write_down(result)
        yield from self._refusals(flight)
        worker.taken.clear()  # by those that are tried again
        # alone: nothing else computes any more when the executor has ended
        for job in too_large:
            yield from map(self._write_down, self.executor([job], worker))

    def _write_down(self, result: Result) -> Result:
        """Adds a result to the journal before it is told, so that whoever hears of it can rely on
        it.
        """
        if result.status != "stopped":
            self.journal.append([line_of(result, self.recipe)])
        return result

    def _refuse(self, result: Result) -> Result:
        """Adds a refusal to the journal, where nothing is known of a result of that name."""
        if self.journal.last.get(result.name, {}).get("status") in (None, "refused"):
            self.journal.append([{**line_of(result, self.recipe), "status": "refused"}])
        return result

    def arrivals(self, look: Callable[[], Sequence[Job]]) -> Iterator[Chosen]:
        """New and changed images once they are complete: two looks in a row find them the same.

        Beside them what is refused of them.
        """
        before: set[tuple[str, str]] = set()
        told: set[tuple[str, str]] = set()
        while not self.stopped.wait(LOOK):
            found = _unless_stopped(self.stopped, lambda: self._looked(look))
            if found is None:
                return
            looked, conflicting, now = found
            complete = before - told
            arrived = [job for job in now.todo if _input_of(job) in complete]
            arrived = [job for job in arrived if not self._told(job.name, job.source.stamp)]
            refused = [each for each in now.refused if not self._told(each.name, each.stamp)]
            refused = [
                each for each in (*conflicting, *refused) if (each.source, each.stamp) in complete
            ]
            told |= {(each.source, each.stamp) for each in refused}
            before = set(map(_input_of, looked))
            if arrived or refused:
                yield Chosen(arrived, refused)

    def _looked(
        self, look: Callable[[], Sequence[Job]]
    ) -> tuple[Sequence[Job], list[Result], Chosen]:
        """The jobs there are, those in the way of another, and what is to become of the others."""
        looked = look()
        jobs, conflicting = without_conflicts(looked, self.journal)
        # to make all anew is for the beginning, not for every look
        return looked, conflicting, pending(jobs, self.journal, self.recipe, self.policy)

    def _told(self, name: str, stamp: str) -> bool:
        """Whether the journal says that an input as it is was refused or failed."""
        line = self.journal.last.get(name, {})
        # the journal leaves out what is empty
        return line.get("status") in ("failed", "refused") and line.get("stamp", "") == stamp


class _Flight:
    """What is under way in a run, and the counts of what was."""

    def __init__(self) -> None:
        self.ahead: list[Job] = []  # taken before the executor asked for it
        self.jobs: dict[str, Job] = {}
        self.refused = deque[Result]()
        self.done = self.total = 0

    def taken(self, begun: Iterator[Job]) -> Iterator[Job]:
        """Jobs as an executor takes them, kept until their results come."""
        for job in chain(self.ahead, begun):
            self.jobs[job.name] = job
            yield job


def _unless_stopped(stopped: threading.Event, compute: Callable[[], T]) -> T | None:
    """What `compute` returns; None as soon as `stopped` is set, whatever that takes.

    To look through a large tree takes seconds, and a network file system may not answer at all.
    """
    found: Future[T] = Future()

    def run() -> None:
        try:
            found.set_result(compute())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()  # a daemon: nobody waits for it at the end
    while not wait([found], STOPPED_WITHIN).done:
        if stopped.is_set():
            return None
    return found.result()


def _input_of(job: Job) -> tuple[str, str]:
    return job.source.path, job.source.stamp
