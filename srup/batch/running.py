"""A batch from jobs to results: intent is recorded, jobs are run, results recorded, failures for
lack of memory retried.

The journal of the output folder knows what was done, so that only what is missing, changed or
failed is made.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from srup import storage
from srup.batch.executors.threads import in_threads
from srup.batch.journal import CLAIMED, REFUSED, Journal, mark_of_done
from srup.batch.last_lines import Record
from srup.batch.planning import conflicts
from srup.batch.shards import is_shard, shard_of_status
from srup.errors import AlreadyExists, ImageError, ReadError, SrupError
from srup.files import KEPT, TEMPORARY, hashed, remove_if_abandoned, shortened
from srup.images import EXTENSIONS, QUALITY
from srup.models import checkpoints, choosing, community, registry, routing
from srup.pipeline import SMALL_WINDOWS, Job, Recipe, Result, Worker
from srup.progress import Progress, ignore
from srup.version import __version__

T = TypeVar("T")

PORTION = 1000  # jobs of a stream that are written down at a time
STOPPED_WITHIN = 0.1  # seconds
LOOK = 2.0  # seconds between looks of `watch`; a file that did not change between two is complete

Executor = Callable[[Iterable[Job], Worker], Iterator[Result]]  # jobs → results as they come


@dataclass(frozen=True)
class Policy:
    """What is made anew, and when a run stops.

    `overwrite` makes all anew and replaces what a batch did not make. `rehash` tells changed inputs
    by their content, not by size and time. `fail_fast` stops at the first failure.
    """

    overwrite: bool = False
    rehash: bool = False
    fail_fast: bool = False


@dataclass(frozen=True)
class Chosen:
    """What is to become of some jobs: those to be made, those refused, and how many were done
    before; `partly` are the shards of these in which images failed then.
    """

    todo: list[Job] = field(default_factory=list)
    refused: list[Result] = field(default_factory=list)
    before: int = 0
    partly: list[Result] = field(default_factory=list)


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
        jobs, conflicting = _without_conflicts(looked, self.journal)
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


def portions(jobs: Iterable[Job]) -> Iterator[Sequence[Job]]:
    """A sequence as it is; others by the thousand."""
    if isinstance(jobs, Sequence):
        yield jobs
        return
    remaining = iter(jobs)
    while portion := list(islice(remaining, PORTION)):
        yield portion


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


def _without_conflicts(jobs: Iterable[Job], journal: Journal) -> tuple[list[Job], list[Result]]:
    """The jobs without those that stand in the way of another, and these as Results.

    Of two inputs that would become one file, the one stays that became it before.
    """

    def made_of_another(job: Job) -> bool:
        return journal.last.get(job.name, {}).get("source") != job.source.path

    by_right = sorted(jobs, key=made_of_another)
    refused = [_refused(job, error) for job, error in conflicts(by_right)]
    sources = {result.source for result in refused}
    return [job for job in by_right if job.source.path not in sources], refused


def chosen(
    jobs: Iterable[Job], journal: Journal, recipe: Recipe, policy: Policy
) -> Iterator[Chosen]:
    """What is to become of jobs, a portion of them at a time."""
    exists, anew = existing(journal.out), policy.overwrite
    for portion in portions(jobs):
        yield pending(portion, journal, recipe, policy, anew=anew, exists=exists)


def pending(
    jobs: Sequence[Job],
    journal: Journal,
    recipe: Recipe,
    policy: Policy,
    *,
    anew: bool = False,
    exists: Callable[[Job], bool] | None = None,
) -> Chosen:
    """What is to become of jobs: to be made are those whose result is missing, failed, or was made
    otherwise or of another input, or all with `anew`.

    A file that stands where a result goes and is not in the journal was not made by a batch: its
    job is refused, unless the policy is to overwrite. Where there is none, the job may not replace
    one either. `exists` tells whether a job's result is there.
    """
    exists, key = exists or existing(journal.out), settings_key(recipe)
    todo: list[Job] = []
    refused: list[Result] = []
    partly: list[Result] = []
    for job in jobs:
        mark = journal.last.mark(job.name)
        ours = mark not in (None, REFUSED)
        if job.refused:
            refused.append(_refused(job, job.refused))
        elif not exists(job):
            destination = replace(job.destination, overwrite=policy.overwrite)
            todo.append(replace(job, destination=destination))
        elif not (ours or policy.overwrite):
            about = f"{job.destination.place} exists, and was not made by a batch"
            refused.append(_refused(job, AlreadyExists(about, "{overwrite} replaces it")))
        elif anew or not ours or not _unchanged(job, journal, key, policy.rehash):
            todo.append(job)
        elif is_shard(job.source.name):
            partly += _partly(job, journal)
    return Chosen(todo, refused, len(jobs) - len(todo) - len(refused), partly)


def _partly(job: Job, journal: Journal) -> Iterator[Result]:
    """The result that a shard had before, if images failed in it."""
    line, source = journal.last.get(job.name, {}), job.source
    if line.get("failed"):
        error = ImageError(str(line.get("error", "")))
        yield Result(job.name, source.path, "done", error, job.destination.place)


def existing(out: str) -> Callable[[Job], bool]:
    """Tells whether there is a file where a job's result goes, or a link to none."""
    if storage.is_url(out):
        there = storage.sizes(out)  # one listing instead of a request for each of many thousand
        return lambda job: job.name in there

    def exists(job: Job) -> bool:
        try:
            mode = os.lstat(job.destination.place).st_mode
        except (OSError, ValueError):
            return False
        if stat.S_ISLNK(mode):
            return not os.path.isdir(job.destination.place)  # noqa: PTH112
        return not stat.S_ISDIR(mode)

    return exists


def _refused(job: Job, error: SrupError) -> Result:
    source = job.source
    return Result(job.name, source.path, "failed", error, bytes=source.size, stamp=source.stamp)


def _unchanged(job: Job, journal: Journal, key: str, rehash: bool) -> bool:
    if not rehash:
        return journal.last.mark(job.name) == mark_of_done(key, job.source.size, job.source.stamp)
    # times change when files are copied; contents do not
    line = journal.last[job.name]
    done = line["status"] == "done" and line.get("key") == key
    return done and line.get("sha256") == _digest(job.source.path)


def _digest(place: str) -> str | None:
    """The digest of an input; None if it cannot be read, which making it will tell."""
    try:
        with storage.fetched(place) as local:
            return storage.digest(local)
    except ReadError:
        return None


def record_intent(jobs: Iterable[Job], journal: Journal, recipe: Recipe) -> None:
    """Writes down what is about to be made, so that what a killed run leaves is known as ours."""
    settings, records = decisive(recipe), list[Record]()
    if settings != journal.settings:
        records.append({"settings": settings, "key": settings_key(recipe)})
    for job in jobs:
        if journal.last.mark(job.name) != CLAIMED:
            records.append({"name": job.name, "status": "claimed"})
    if records:
        journal.append(records)


def line_of(result: Result, recipe: Recipe) -> Record:
    """The line of a result in the journal.

    What was refused because a file is there is not called failed: that would say that the file is
    a batch's, and may be replaced.
    """
    line: dict[str, Any] = {**record(result, recipe), "at": round(time.time()), "by": __version__}
    if isinstance(result.error, AlreadyExists):
        line["status"] = "refused"
    return line


def record(result: Result, recipe: Recipe) -> Record:
    """The line of a result in the journal."""
    facts: dict[str, Any] = {
        "name": result.name,
        "source": result.source,
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "before": result.before,
        "after": result.after,
        "networks": result.networks,
        "why": result.why,
        "bytes": result.bytes,
        "stamp": result.stamp,
        "sha256": result.sha256,
        "key": settings_key(recipe),
        "images": result.images,
        "failed": result.failed,
    }
    if result.error:
        facts["error"] = str(result.error)
        facts["no_memory"] = result.no_memory
    if result.consistency is not None and math.isfinite(result.consistency):
        facts["consistency"] = round(result.consistency, 2)
    return {name: value for name, value in facts.items() if value not in (None, "", False)}


def decisive(recipe: Recipe) -> dict[str, object]:
    """What the bytes of a result depend on, besides its input; what is as by default is left out
    where it can be.
    """
    run_options, encoding, read = recipe.run_options, recipe.encoding, recipe.read_options
    settings: dict[str, object] = {
        "model": _name(recipe.model),
        # 95 is written as nothing, as the first version did, so that its journals still fit
        "quality": None if encoding.quality == QUALITY else encoding.quality,
        "extension": EXTENSIONS[recipe.format or "png"],
        "tiling": run_options.tiling,
        "self_ensemble": run_options.self_ensemble,
        "engine": run_options.engine,
        "precision": run_options.precision,
    }
    optional: dict[str, object] = {"lossless": encoding.lossless, "palette": encoding.palette}
    optional |= {"strip": read.strip, "dpi": read.dpi}
    optional["column"] = recipe.column if recipe.column != Recipe.column else None
    if recipe.strength is not None:
        settings["strength"] = recipe.strength
    settings |= {name: value for name, value in optional.items() if value}
    settings |= {name: value for name, value in asdict(recipe.target).items() if value is not None}
    if recipe.target.scale:
        settings["scale"] = float(recipe.target.scale)  # 2 and 2.0 are one in JSON too
    settings["weights"] = _digests(recipe)
    return settings


def _digests(recipe: Recipe) -> list[str]:
    if recipe.weights:
        checkpoints.check_file(recipe.weights)
        return [f"sha256:{hashed(Path(recipe.weights))}"]
    names = [*choosing.networks_of(recipe.model)]
    if routing.CHAIN in recipe.model:
        names = recipe.model.split(routing.CHAIN)
    return list(dict.fromkeys(row.digest for name in names for row in registry.find(name).values()))


def _name(model: str) -> str:
    """A network's name; of a file that alone, wherever it lies: its digest tells it from others."""
    parts = model.split(routing.CHAIN)
    return routing.CHAIN.join(
        Path(each).name if community.is_file(each) else each for each in parts
    )


def settings_key(recipe: Recipe) -> str:
    """What is decisive of a recipe, in eight letters."""
    return hashlib.sha256(json.dumps(decisive(recipe), sort_keys=True).encode()).hexdigest()[:8]


def made_otherwise(jobs: Iterable[Job], journal: Journal, recipe: Recipe) -> int:
    """How many jobs have a result that was made with other settings, and will be made anew."""
    key, count = settings_key(recipe), 0
    if journal.keys <= {key}:  # then there is no need to look through many jobs
        return 0
    for job in jobs:
        line = journal.last.get(job.name, {})
        count += line.get("status") == "done" and line.get("key") != key
    return count


def settings_difference(journal: Journal, recipe: Recipe) -> str:
    """What a recipe changes of the settings of the journal's last run: "scale 4.0 → 2.0"; "" for
    nothing.
    """
    before, now = journal.settings, decisive(recipe)
    changes = []
    for name in {**before, **now}:
        if before.get(name) == now.get(name):
            continue
        if name == "weights":  # digests say nothing to people
            changes.append("other weights")
            continue
        said = name.replace("_", " ")
        changes.append(f"{said} {_said(before.get(name))} → {_said(now.get(name))}")
    if "model" in {**before, **now} and before.get("model") != now.get("model"):
        changes.remove("other weights")  # another network has others
    return ", ".join(changes)


def _said(value: object) -> str:
    """A setting as people write it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


def remove_partial_files(journal: Journal) -> None:
    """Removes what a killed run or worker left half-written of the results in its journal.

    Left are folders, what srup does not call so, and what a process is writing.
    """
    if storage.is_url(journal.out) or not len(journal.last):
        return
    for folder, _, files in os.walk(journal.out):
        below = PurePosixPath(Path(folder).relative_to(journal.out).as_posix())
        for file in files:
            temporary = TEMPORARY.fullmatch(file) if file.startswith(".") else None
            if temporary and _is_of_a_result(below, temporary[1], journal):
                remove_if_abandoned(Path(folder) / file)


def _is_of_a_result(folder: PurePosixPath, name: str, journal: Journal) -> bool:
    """Whether a temporary file of the (shortened) name `name` is one of a result in the journal."""
    if str(folder / shard_of_status(name)) in journal.last:
        return True
    if len(os.fsencode(name)) <= KEPT - 4:  # a character has up to four bytes
        return False
    long = (path for path in map(PurePosixPath, journal.last) if path.parent == folder)
    return any(shortened(path.name) == name for path in long)
