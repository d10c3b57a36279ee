"""Jobs over threads of this process, which share one device: they read and write side by side and
compute in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from typing import TypeVar

from srup.batch.shards import carried_out
from srup.pipeline import Job, Result, Worker

S = TypeVar("S")
T = TypeVar("T")


def in_threads(jobs: Iterable[Job], worker: Worker, *, threads: int = 3) -> Iterator[Result]:
    """The results of jobs as they end; one job waits beside those at work.

    An error that is not one image's (weights that cannot be had) is raised, once what was begun is
    done.
    """
    with ThreadPoolExecutor(threads, "srup") as pool:
        running: set[Future[Result]] = set()
        try:
            # jobs are taken as they are needed: planning a million of them first would take minutes
            for job in jobs:
                running.add(pool.submit(carried_out, worker, job))
                if len(running) > threads:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            for future in as_completed(running):
                yield future.result()
            worker.prepare_next_start()
        # also when whoever iterates gives up: images being computed end soon
        except BaseException:
            worker.stopped.set()
            raise


def in_order(jobs: Iterable[Job], worker: Worker) -> Iterator[Result]:
    """The results of jobs in their order: while one image is computed the next is read and the last
    one is written.
    """
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        read = _one_ahead(reader, worker.read, jobs)
        enlarged = map(worker.enlarge, read)
        yield from _one_ahead(writer, worker.write, enlarged)
    worker.prepare_next_start()


def _one_ahead(
    pool: ThreadPoolExecutor, function: Callable[[S], T], items: Iterable[S]
) -> Iterator[T]:
    """`map` in a pool of one thread: an item is worked on while the result before it is used."""
    current: Future[T] | None = None
    try:
        for item in items:
            following = pool.submit(function, item)
            if current:
                yield current.result()
            current = following
    except Exception:  # of a later item: what was begun before it still counts
        if current:
            yield current.result()
        raise
    if current:
        yield current.result()
