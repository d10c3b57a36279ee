"""A shard from file to file: fetched, made beside its place, and brought there whole."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from srup import storage
from srup.batch.shards.members import Members, members
from srup.batch.shards.parquet import enlarge_parquet
from srup.batch.shards.status import is_status, status_name, write_status
from srup.batch.shards.tar import enlarge_tar
from srup.errors import AlreadyExists, ImageError
from srup.files import REPLACE, placing, replacing, writing
from srup.pipeline import Job, Result, Worker, after, attempted

Enlarge = Callable[[Path, BinaryIO, Members], None]

SHARDS: dict[str, Enlarge] = {".tar": enlarge_tar, ".parquet": enlarge_parquet}  # by extension
ENDINGS = tuple(SHARDS)


def is_shard(name: str) -> bool:
    """Whether a file is a shard by its name."""
    return name.lower().endswith(ENDINGS) and not is_status(name)


def carried_out(worker: Worker, job: Job) -> Result:
    """The result of a job: an image, or a shard of many."""
    before = storage.retries()
    result = _shard(worker, job) if is_shard(job.source.name) else worker.process(job)
    return replace(result, retries=storage.retries() - before)


def _shard(worker: Worker, job: Job) -> Result:
    source = job.source
    begun = Result(job.name, source.path, "stopped", bytes=source.size, stamp=source.stamp)
    if worker.stopped.is_set():
        return begun
    return attempted(begun, _made, worker, job, begun)


def shard_of(result: Result) -> bool:
    """Whether a result is that of a shard."""
    return result.images is not None


def _made(worker: Worker, job: Job, begun: Result) -> Result:
    started = time.perf_counter()
    place, overwrite = job.destination.place, job.destination.overwrite
    table = status_name(place)
    _check_free(table, overwrite)
    enlarge = SHARDS[PurePosixPath(job.source.name).suffix.lower()]
    with storage.fetched(job.source.path) as source, members(worker, job.source.path) as inside:
        sha256 = storage.digest(source)
        with _brought(place, overwrite) as target:
            enlarge(source, target, inside)
        with storage.stored(table) as path, writing(path), replacing(path) as temporary:
            write_status(temporary, inside.results, as_csv=table.endswith(".csv"))
    failed = [result for result in inside.results if result.status == "failed"]
    done = replace(begun, status="done", destination=place, sha256=sha256, error=_of(failed, job))
    return after(replace(done, images=len(inside.results), failed=len(failed)), started)


def _check_free(table: str, overwrite: bool) -> None:
    """Raises AlreadyExists if somebody's file stands where the table goes."""
    if not overwrite and storage.entry(table) is not None:
        raise AlreadyExists(f"{table} exists, and was not made by a batch", *REPLACE)


@contextmanager
def _brought(place: str, overwrite: bool) -> Iterator[BinaryIO]:
    """Yields a file to write to, which is at `place` at the end, and on its disk."""
    with (
        storage.stored(place, overwrite=overwrite) as path,
        writing(path),
        placing(path, overwrite=overwrite) as temporary,
        temporary.open("r+b") as file,
    ):
        yield file
        file.flush()
        os.fsync(file.fileno())


def _of(failed: list[Result], job: Job) -> ImageError | None:
    """What to say of the images of a shard that failed; None if there are none."""
    if not failed:
        return None
    first, count = failed[0], len(failed)
    many = f"{count} images failed, the first" if count > 1 else "1 image failed"
    table = PurePosixPath(status_name(job.destination.place)).name
    return ImageError(f"{job.source.path}: {many}: {first.error}; {table} has all")
