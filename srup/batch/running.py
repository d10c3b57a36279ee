"""Many images: a few threads each take one from file to file, and share one device. A failure is a result like any other.

What has been done is in the journal of the output folder, so that a batch that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from srup import memory, storage
from srup.batch.journal import Journal, Record
from srup.batch.planning import Job
from srup.errors import ImageError, OutOfMemory
from srup.evaluation.consistency import consistency_of_pages
from srup.files import hashed
from srup.images import Encoding, check_holds, read_pages, write_pages
from srup.inference.run_options import RunOptions
from srup.inference.target import Target
from srup.models import registry

if TYPE_CHECKING:
    from srup.forecast import Forecast
    from srup.inference.upscaler import UpscalerCache

SMALL_WINDOWS = 128  # pixels a side, for an image that did not fit
TRIES = 2  # a job at which so many workers died is given up
Executor = Callable[
    [Iterable[Job]], Iterator["Result"]
]  # jobs → results as they come: threads here, processes, a cluster


@dataclass(frozen=True)
class Settings:
    """How each image is made, and where to."""

    out: str
    target: Target
    model: str = registry.DEFAULT
    weights: str | None = None
    run_options: RunOptions = field(default_factory=RunOptions)
    quality: int | None = None
    extension: str = ".png"

    @cached_property
    def decisive(self) -> dict[str, object]:
        """What the bytes of a result depend on, besides its input."""
        mine = {"model": self.model, "quality": self.quality, "extension": self.extension}
        run = {
            name: value
            for name, value in asdict(self.run_options).items()
            if name not in ("tile", "device")
        }
        asked = {name: value for name, value in asdict(self.target).items() if value is not None}
        digests = [row.digest for row in registry.find(self.model).values()]
        return {
            **mine,
            **run,
            **asked,
            "weights": [f"sha256:{hashed(Path(self.weights))}"] if self.weights else digests,
        }

    def on(self, device: str) -> Settings:
        return replace(self, run_options=replace(self.run_options, device=device))

    @cached_property
    def key(self) -> str:
        """The same in a few letters, for the journal."""
        return hashlib.sha256(json.dumps(self.decisive, sort_keys=True).encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Result:
    """What became of a job. Sizes are (width, height) in pixels; `bytes` and `stamp` are the input's."""

    name: str
    source: str
    status: str  # done, failed, or stopped before it was begun
    error: str | None = None
    seconds: float = 0.0
    consistency: float | None = (
        None  # dB, of the input and the result shrunk again; None if they are equal
    )
    before: tuple[int, int] | None = None
    after: tuple[int, int] | None = None
    bytes: int = 0
    stamp: str = ""
    sha256: str = ""
    key: str = ""  # of the settings
    no_memory: bool = False

    def record(self) -> Record:
        """Its line in the journal."""
        return {key: value for key, value in asdict(self).items() if value not in (None, "", False)}


def pending(
    jobs: Sequence[Job],
    journal: Journal,
    settings: Settings,
    *,
    overwrite: bool = False,
    rehash: bool = False,
) -> tuple[list[Job], list[Result]]:
    """The jobs whose result is missing, failed, or made otherwise or of another input; and those refused.

    A file that stands where a result goes and that the journal does not know is not ours: its job is refused, unless `overwrite`,
    which redoes all. `rehash` compares the inputs' contents, not their size and time.
    """
    there = storage.sizes(settings.out)
    todo, refused = [], []
    for job in jobs:
        line = journal.last.get(job.name)
        if (
            overwrite
            or job.name not in there
            or (line and not _unchanged(job, line, settings.key, rehash))
        ):
            todo.append(job)
        elif line is None:
            about = f"{storage.join(settings.out, job.name)} exists, and was not made by a batch; -y replaces it"
            refused.append(Result(job.name, job.source.path, "failed", about))
    return todo, refused


def _unchanged(job: Job, line: Record, key: str, rehash: bool) -> bool:
    if line["status"] != "done" or line.get("key") != key:
        return False
    if rehash:
        with storage.fetched(job.source.path) as local:
            return line.get("sha256") == hashed(local)
    return (line.get("bytes"), line.get("stamp")) == (job.source.size, job.source.stamp)


def clear(out: str) -> None:
    """Removes what a killed run or worker left half-written; only for who holds the journal."""
    if not storage.is_url(out) and Path(out).is_dir():
        for path in Path(out).rglob(".*.part"):
            path.unlink(missing_ok=True)


def claim(jobs: Iterable[Job], journal: Journal, settings: Settings) -> None:
    """Writes down what is about to be made, before any of it is."""
    named = (
        []
        if settings.decisive == journal.settings
        else [{"settings": settings.decisive, "key": settings.key}]
    )
    journal.append([*named, *({"name": job.name, "status": "claimed"} for job in jobs)])


def otherwise(jobs: Iterable[Job], journal: Journal, settings: Settings) -> str | None:
    """What to tell of jobs that were done with other settings: "3 images, scale: 4 → 2"; None if there are none."""
    lines = [journal.last.get(job.name, {}) for job in jobs]
    count = sum(line.get("status") == "done" and line.get("key") != settings.key for line in lines)
    before, now = journal.settings, settings.decisive
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    changes = [f"{name}: {before.get(name, '–')} → {now.get(name, '–')}" for name in names]
    return f"{count} images, {', '.join(changes) or 'with earlier settings'}" if count else None


class Worker:
    """Makes the result of one job after another, from several threads: they read and write together, and compute in turn."""

    def __init__(self, settings: Settings, stopped: threading.Event) -> None:
        self.settings, self.stopped = settings, stopped
        self.device = threading.Lock()
        self.room = MemoryBudget(memory.available() // 3)

    @cached_property
    def upscalers(self) -> UpscalerCache:
        from srup.inference.upscaler import UpscalerCache

        return UpscalerCache(self.settings.model, self.settings.weights, self.settings.run_options)

    def __call__(self, job: Job) -> Result:
        """Every error that is about this image, and no other, is in the result."""
        begun = Result(
            job.name,
            job.source.path,
            "stopped",
            bytes=job.source.size,
            stamp=job.source.stamp,
            key=self.settings.key,
        )
        if self.stopped.is_set():
            return begun
        started = time.perf_counter()
        try:
            done = self._make(job, begun)
        except _Stopped:
            return begun
        except (OutOfMemory, MemoryError) as error:
            reason = str(error) or "the memory is full; take a smaller scale"
            done = replace(
                begun, status="failed", error=f"{job.source.path}: {reason}", no_memory=True
            )
        except ImageError as error:
            done = replace(begun, status="failed", error=str(error))
        return replace(done, seconds=round(time.perf_counter() - started, 3))

    def _make(self, job: Job, begun: Result) -> Result:
        place = storage.join(self.settings.out, job.name)
        with storage.fetched(job.source.path) as local:
            pages, sha256 = read_pages(local), hashed(local)
        target, encoding = self.settings.target, self._encoding()
        sizes = [target.size(image.size) for image in pages.images]
        check_holds(Path(job.name), pages, sizes, encoding)
        factor = max(target.factor(image.size) for image in pages.images)
        with self.room.taken(sum(width * height for width, height in sizes) * 4):
            with self.device:
                upscaler = self.upscalers(factor)
                upscaler = replace(upscaler, tile=job.tile) if job.tile else upscaler
                enlarged = upscaler(pages, size=target, progress=self._look_up)
            with storage.stored(place) as temporary:
                write_pages(enlarged, temporary, encoding=encoding)
            kept = (
                math.nan
                if target.crops
                else consistency_of_pages(pages, enlarged, name=job.source.path)
            )
        found = round(kept, 2) if math.isfinite(kept) else None
        return replace(
            begun,
            status="done",
            consistency=found,
            before=pages.images[0].size,
            after=sizes[0],
            sha256=sha256,
        )

    def forecast(self, job: Job) -> Forecast | None:
        """What this one job takes; None where weights would have to be downloaded to know. Raises ReadError."""
        from srup.forecast import forecast

        started = time.perf_counter()
        with storage.fetched(job.source.path) as local:
            pages = read_pages(local)
        decoding = time.perf_counter() - started
        target, encoding = self.settings.target, self._encoding()
        factor = max(target.factor(image.size) for image in pages.images)
        if not self.upscalers.at_hand(factor):
            return None
        return forecast(
            self.upscalers(factor),
            pages,
            target,
            path=Path(job.name),
            encoding=encoding,
            decoding=decoding,
        )

    def _encoding(self) -> Encoding:
        return Encoding() if self.settings.quality is None else Encoding(self.settings.quality)

    def _look_up(self, done: float, total: float) -> None:
        if self.stopped.is_set():
            raise _Stopped


class _Stopped(Exception):
    pass


class MemoryBudget:
    """Bytes for results on their way, shared by threads; one that takes more than there is waits until it is alone."""

    def __init__(self, size: int) -> None:
        self.size, self.used, self.freed = size, 0, threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        with self.freed:
            self.freed.wait_for(lambda: not self.used or self.used + amount <= self.size)
            self.used += amount
        try:
            yield
        finally:
            with self.freed:
                self.used -= amount
                self.freed.notify_all()


def completed(jobs: Iterable[Job], drive: Executor) -> Iterator[Result]:
    """Results as they come; what did not fit into memory is tried once more at the end, alone and in small windows."""
    by_name, too_large = {}, []

    def noted() -> Iterator[Job]:
        for job in jobs:
            by_name[job.name] = job
            yield job

    for result in drive(noted()):
        job = by_name.pop(result.name)
        if result.no_memory:
            too_large.append(replace(job, tile=SMALL_WINDOWS))
        else:
            yield result
    for job in too_large:
        yield from drive([job])


def in_threads(
    jobs: Iterable[Job], make: Callable[[Job], Result], *, threads: int, stopped: threading.Event
) -> Iterator[Result]:
    """What `make` makes of jobs, in threads, one job waiting beside those at work. With one thread it is `map`.

    An error that is not one image's (weights that cannot be had) is raised, once what was begun is done.
    """
    with ThreadPoolExecutor(threads, "srup") as pool:
        running: set[Future[Result]] = set()
        try:
            for job in jobs:
                running.add(pool.submit(make, job))
                if len(running) > threads:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from [future.result() for future in done]
            yield from (future.result() for future in as_completed(running))
        except BaseException:
            stopped.set()
            raise


class Queue:
    """Jobs still to hand out. Those of dead workers come first, each to an idle worker: one of them may be why it died."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.jobs, self.returned = iter(jobs), deque[Job]()
        self.deaths: dict[str, int] = {}
        self.exhausted = False

    @property
    def is_empty(self) -> bool:
        return self.exhausted and not self.returned

    def take(self, *, idle: bool) -> Job | None:
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
                self.returned.append(job)
            else:
                about = f"{job.source.path}: two workers died at it; try it alone, in smaller windows (-t 128)"
                yield Result(job.name, job.source.path, "failed", about)
