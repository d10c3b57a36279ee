"""What is to become of jobs: made, refused, or left as an earlier run made them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from srup import storage
from srup.batch.journal import REFUSED, Journal, mark_of_done
from srup.batch.planning import conflicts
from srup.batch.settings import settings_key
from srup.batch.shards import is_shard
from srup.errors import AlreadyExists, ImageError, ReadError, SrupError
from srup.pipeline import Job, Recipe, Result

PORTION = 1000  # jobs of a stream that are written down at a time


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


def chosen(
    jobs: Iterable[Job], journal: Journal, recipe: Recipe, policy: Policy
) -> Iterator[Chosen]:
    """What is to become of jobs, a portion of them at a time."""
    exists, anew = existing(journal.out), policy.overwrite
    for portion in portions(jobs):
        yield pending(portion, journal, recipe, policy, anew=anew, exists=exists)


def portions(jobs: Iterable[Job]) -> Iterator[Sequence[Job]]:
    """A sequence as it is; others by the thousand."""
    if isinstance(jobs, Sequence):
        yield jobs
        return
    remaining = iter(jobs)
    while portion := list(islice(remaining, PORTION)):
        yield portion


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


def without_conflicts(jobs: Iterable[Job], journal: Journal) -> tuple[list[Job], list[Result]]:
    """The jobs without those that stand in the way of another, and these as Results.

    Of two inputs that would become one file, the one stays that became it before.
    """

    def made_of_another(job: Job) -> bool:
        return journal.last.get(job.name, {}).get("source") != job.source.path

    by_right = sorted(jobs, key=made_of_another)
    refused = [_refused(job, error) for job, error in conflicts(by_right)]
    sources = {result.source for result in refused}
    return [job for job in by_right if job.source.path not in sources], refused


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
