"""A batch from jobs to results: intent is recorded, jobs are run, results recorded, failures for
lack of memory retried.

The journal of the output folder knows what was done, so that only what is missing, changed or
failed is made.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from srup import storage
from srup.batch.executors.threads import in_threads
from srup.batch.journal import Journal, Record
from srup.errors import WriteError
from srup.files import hashed
from srup.images import EXTENSIONS, QUALITY
from srup.models import choosing, registry
from srup.pipeline import Job, Recipe, Result, Worker
from srup.progress import Progress, ignore

SMALL_WINDOWS = 128  # pixels a side, for an image that did not fit
LOOK = 2.0  # seconds between looks of `watch`; a file that did not change between two is complete

Executor = Callable[[Iterable[Job], Worker], Iterator[Result]]  # jobs → results as they come
Announce = Callable[
    [Sequence[Job], int], None
]  # (jobs about to be made, how many were done before)


@dataclass(frozen=True)
class Policy:
    """What is made anew, and when a run stops.

    `overwrite` makes all anew and replaces what a batch did not make. `rehash` tells changed inputs
    by their content, not by size and time. `fail_fast` stops at the first failure.
    """

    overwrite: bool = False
    rehash: bool = False
    fail_fast: bool = False


def run(
    jobs: Sequence[Job],
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

    What exists and is not in the journal is refused, as a failure. With `look`, which finds the
    jobs there are now, it stays and makes what arrives, until `stopped` is set; what is being made
    then is finished. `announce(jobs, done before)` is told what is about to be made,
    `progress(done, total)` counts it. Raises what concerns every image: WeightsError,
    EngineUnavailable, UsageError; and WriteError if the journal cannot be written.
    """
    policy, stopped = policy or Policy(), stopped or threading.Event()
    batch = _Batch(recipe, journal, executor, policy, stopped, progress)
    # asked once: looking at a large output folder takes long
    todo, refused = pending(jobs, journal, recipe, policy)
    if announce:
        announce([*todo], len(jobs) - len(todo) - len(refused))
    yield from batch.made(todo, refused)
    if look is None:
        return
    for arrived in _arrivals(look, journal, recipe, policy, stopped):
        if announce:
            announce(arrived, 0)
        yield from batch.made(arrived, [])


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

    def made(self, todo: Sequence[Job], refused: Sequence[Result]) -> Iterator[Result]:
        """The results of jobs, those refused first."""
        if todo:
            record_intent(todo, self.journal, self.recipe)
        done, total = 0, len(todo) + len(refused)
        for result in chain(refused, self._run(todo)):
            if result.status == "stopped":
                continue
            # written down before it is told, so that whoever hears of it can rely on it
            self.journal.append([record(result, self.recipe)])
            done += 1
            self.progress(done, total)
            if result.status == "failed" and self.policy.fail_fast:
                self.stopped.set()
            yield result

    def _run(self, todo: Sequence[Job]) -> Iterator[Result]:
        """Results as they come; what did not fit into memory is tried once more, alone, in small
        windows.
        """
        worker = Worker(self.recipe, stopped=self.stopped, many=True)
        jobs = {job.name: job for job in todo}
        too_large = []
        for result in self.executor(self._until_stopped(todo), worker):
            if result.no_memory:
                too_large.append(replace(jobs[result.name], tile=SMALL_WINDOWS))
            else:
                yield result
        # alone: nothing else computes any more when the executor has ended
        for job in too_large:
            yield from self.executor([job], worker)

    def _until_stopped(self, jobs: Sequence[Job]) -> Iterator[Job]:
        for job in jobs:
            if self.stopped.is_set():
                return
            yield job


def _arrivals(
    look: Callable[[], Sequence[Job]],
    journal: Journal,
    recipe: Recipe,
    policy: Policy,
    stopped: threading.Event,
) -> Iterator[list[Job]]:
    """New and changed images once they are complete: two looks in a row find them the same."""
    before: set[tuple[str, str]] = set()
    policy = replace(policy, overwrite=False)  # or everything would be new at every look
    while not stopped.wait(LOOK):
        todo, _ = pending(look(), journal, recipe, policy)
        arrived = []
        for job in todo:
            seen_before = (job.name, job.source.stamp) in before
            if seen_before and not _failed_before(job, journal):
                arrived.append(job)
        before = {(job.name, job.source.stamp) for job in todo}
        if arrived:
            yield arrived


def _failed_before(job: Job, journal: Journal) -> bool:
    line = journal.last.get(job.name, {})
    return line.get("status") == "failed" and line.get("stamp") == job.source.stamp


def pending(
    jobs: Sequence[Job], journal: Journal, recipe: Recipe, policy: Policy
) -> tuple[list[Job], list[Result]]:
    """The jobs whose result is missing, failed, or was made otherwise or of another input; and
    those refused, as Results.

    A file that stands where a result goes and is not in the journal was not made by a batch: its
    job is refused, unless the policy is to overwrite.
    """
    # one listing instead of a look at each of many thousand files
    there, key = storage.sizes(journal.out), settings_key(recipe)
    todo: list[Job] = []
    refused: list[Result] = []
    for job in jobs:
        line = journal.last.get(job.name)
        if policy.overwrite or job.name not in there:
            todo.append(job)
        elif line is None:
            about = f"{job.destination.place} exists, and was not made by a batch"
            error = WriteError(about, "{overwrite} replaces it")
            refused.append(Result(job.name, job.source.path, "failed", error))
        elif not _unchanged(job, line, key, policy.rehash):
            todo.append(job)
    return todo, refused


def _unchanged(job: Job, line: Record, key: str, rehash: bool) -> bool:
    if line["status"] != "done" or line.get("key") != key:
        return False
    # times change when files are copied; contents do not
    if rehash:
        with storage.fetched(job.source.path) as local:
            return line.get("sha256") == hashed(local)
    return (line.get("bytes"), line.get("stamp")) == (job.source.size, job.source.stamp)


def record_intent(jobs: Iterable[Job], journal: Journal, recipe: Recipe) -> None:
    """Writes down what is about to be made, so that what a killed run leaves is known as ours."""
    settings, records = decisive(recipe), list[Record]()
    if settings != journal.settings:
        records.append({"settings": settings, "key": settings_key(recipe)})
    for job in jobs:
        records.append({"name": job.name, "status": "claimed"})
    journal.append(records)


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
        "model": recipe.model,
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
        return [f"sha256:{hashed(Path(recipe.weights))}"]
    names = choosing.networks_of(recipe.model)
    return list(dict.fromkeys(row.digest for name in names for row in registry.find(name).values()))


def settings_key(recipe: Recipe) -> str:
    """What is decisive of a recipe, in eight letters."""
    return hashlib.sha256(json.dumps(decisive(recipe), sort_keys=True).encode()).hexdigest()[:8]


def settings_difference(jobs: Iterable[Job], journal: Journal, recipe: Recipe) -> str | None:
    """What differs from the settings that earlier results were made with: "3 images, scale: 4 → 2";
    None if none are.
    """
    key, count = settings_key(recipe), 0
    for job in jobs:
        line = journal.last.get(job.name, {})
        count += line.get("status") == "done" and line.get("key") != key
    if not count:
        return None
    before, now = journal.settings, decisive(recipe)
    changes = []
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            changes.append(f"{name}: {before.get(name, '–')} → {now.get(name, '–')}")
    return f"{count} images, {', '.join(changes) or 'with earlier settings'}"


def remove_partial_files(out: str) -> None:
    """Removes what a killed run or worker left half-written; only for who holds the journal."""
    if not storage.is_url(out) and Path(out).is_dir():
        for path in Path(out).rglob(".*.part"):
            path.unlink(missing_ok=True)
