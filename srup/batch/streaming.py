"""Planning of many images while they are found: the first job is known before the last file is.

What has to be known of all of them, because results lie among the inputs or two inputs may have one
result, is looked for beforehand and kept as numbers of 8 bytes, not as jobs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from srup.batch.planning import (
    Identities,
    Namer,
    OnCollision,
    become_one,
    below,
    failing_job,
    is_input,
    listed,
    planned,
    resolved,
)
from srup.errors import SrupError
from srup.pipeline import Job, Recipe, check_suffix
from srup.storage import Entry, is_url

FEW = 10_000  # images of which all is known before the first is made


@dataclass(frozen=True)
class Sources:
    """Inputs as `find` and `read_list` take them, looked through anew at each iteration.

    What is given twice comes once. Raises ReadError for an input that does not exist.
    """

    inputs: tuple[str, ...]
    lines: tuple[str, ...] = ()
    recursive: bool = False

    def __iter__(self) -> Iterator[Entry]:
        if len(self.inputs) == 1 and not self.lines:
            yield from below(self.inputs[0], self.recursive)
            return
        seen: set[int] = set()
        for each in self._all():
            # a hash takes a third of what the path takes; that two are the same is as good as never
            if hash(each.path) not in seen:
                seen.add(hash(each.path))
                yield each

    def _all(self) -> Iterator[Entry]:
        for place in self.inputs:
            yield from below(place, self.recursive)
        yield from listed(self.lines, self.recursive)

    def apart(self, out: str) -> tuple[str, ...] | None:
        """The folders that these are in, if the output folder is neither in one nor above one; None
        if results may be among the inputs.
        """
        if self.lines or not all(is_url(place) or Path(place).is_dir() for place in self.inputs):
            return None
        folders = tuple(map(resolved, self.inputs))
        other = resolved(out)
        met = (_is_in(one, other) or _is_in(other, one) for one in folders)
        return None if any(met) else folders


def _is_in(place: str, folder: str) -> bool:
    return f"{place}/".startswith(f"{folder}/")


@dataclass(frozen=True)
class Stream:
    """The jobs of `planned`, one after the other, found anew at each iteration.

    A job that is in conflict with one before it, or would replace an input, is `refused`, so that
    it fails before anything is overwritten. Raises UsageError for a suffix that is none.
    """

    sources: Iterable[Entry]
    out: str
    recipe: Recipe
    suffix: str = ""
    on_collision: OnCollision = "refuse"
    apart: tuple[str, ...] | None = None  # folders of all sources, if `out` is away from them

    def __post_init__(self) -> None:
        check_suffix(self.suffix)

    def __iter__(self) -> Iterator[Job]:
        namer, identities = Namer(self.out, self.suffix, self.recipe), Identities(self.out)
        inputs = self._inputs() if self.apart is None else frozenset[int]()
        shared = self._shared_names() if self.on_collision == "suffix" else frozenset[int]()
        taken: set[int] = set()
        for job in self._kept():
            told = namer.told_apart(job) if hash(job.name) in shared else job
            if not job.source.error:
                told = self._checked(told, inputs, taken, identities)
                taken.add(hash(told.name))
            yield told

    def _checked(self, job: Job, inputs: Set[int], taken: Set[int], identities: Identities) -> Job:
        """The job; refused where it is in conflict."""
        if self.apart is None:
            meets = hash(identities.of_result(job)) in inputs
        else:  # a folder in the output folder may be a link to one of the inputs
            place = identities.of_new_result(job)
            meets = any(_is_in(place, folder) for folder in self.apart)
        if meets:
            return replace(job, refused=is_input(job.destination.place))
        if hash(job.name) in taken:
            return replace(
                job, refused=become_one(f"{job.source.path} and another input", job.name)
            )
        return job

    def _all(self) -> Iterator[Job]:
        namer = Namer(self.out, self.suffix, self.recipe)
        for source in self.sources:
            yield failing_job(source, self.out) if source.error else namer.job(source)

    def _kept(self) -> Iterator[Job]:
        """The jobs whose source is not itself a result."""
        identities = Identities(self.out)
        results = self._results() if self.apart is None else frozenset[int]()
        for job in self._all():
            if not self._is_result(job, results, identities):
                yield job

    def _is_result(self, job: Job, results: Set[int], identities: Identities) -> bool:
        if job.source.error:
            return False
        if self.apart is not None:
            return job.source.link and identities.is_within(job.source)
        return hash(identities.of_source(job)) in results or identities.is_nested(job.source)

    def _results(self) -> set[int]:
        """The identities of the results, but for those that would replace their own source."""
        identities, found = Identities(self.out), set[int]()
        for job in self._all():
            place = "" if job.source.error else identities.of_result(job)
            if place and place != identities.of_source(job):
                found.add(hash(place))
        return found

    def _inputs(self) -> set[int]:
        """The identities of the inputs where results go."""
        identities = Identities(self.out)
        within = (job for job in self._kept() if identities.is_within(job.source))
        return {hash(identities.of_source(job)) for job in within}

    def _shared_names(self) -> set[int]:
        """The names that several results would have."""
        once, more = set[int](), set[int]()
        for job in self._kept():
            hashed = hash(job.name)
            (more if hashed in once else once).add(hashed)
        return more


class Count:
    """How many images a stream has: `found` grows beside the work until all were come to."""

    def __init__(self, stream: Stream) -> None:
        self.found = 0
        threading.Thread(target=self._count, args=(stream,), daemon=True).start()

    def _count(self, stream: Stream) -> None:
        with suppress(SrupError):  # whoever makes the images meets it too
            for _ in stream.sources:
                self.found += 1


def planned_or_streamed(
    sources: Sources,
    out: str,
    recipe: Recipe,
    *,
    suffix: str = "",
    on_collision: OnCollision = "refuse",
) -> list[Job] | Stream:
    """All jobs of up to 10,000 images, conflicts among them refused as `planned` does; of more, a
    Stream.
    """
    few = list(islice(sources, FEW + 1))
    if len(few) <= FEW:
        return planned(few, out, recipe, suffix=suffix, on_collision=on_collision)
    return Stream(sources, out, recipe, suffix, on_collision, sources.apart(out))
