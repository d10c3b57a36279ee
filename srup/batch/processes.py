"""The jobs of a batch over worker processes on this machine, one for each device. A worker that dies loses no job."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, wait

from srup import memory, processor
from srup.batch.planning import Job
from srup.batch.running import Queue, Result, Settings, Worker

STOP = "stop"
LOOK = 0.5  # seconds between looks at whether to stop


def in_processes(
    jobs: Iterable[Job],
    settings: Settings,
    devices: Sequence[str],
    *,
    threads: int,
    stopped: threading.Event,
) -> Iterator[Result]:
    """What workers on `devices`, each with so many threads, make of jobs; a name may come twice, for two workers on one device."""
    queue = Queue(jobs)
    workers = [_Worker(settings.on(device), threads, len(devices)) for device in devices]
    try:
        while True:
            for worker in workers:
                while (
                    not stopped.is_set()
                    and worker.has_room
                    and (job := queue.take(idle=not worker.jobs))
                ):
                    worker.send(job, alone=job.name in queue.deaths)
            if not any(worker.jobs for worker in workers):
                return
            for connection in wait(
                [worker.connection for worker in workers if worker.jobs], timeout=LOOK
            ):
                worker = next(worker for worker in workers if worker.connection is connection)
                yield from _heard(worker, queue)
            if stopped.is_set():
                for worker in workers:
                    worker.stop()
    finally:
        for worker in workers:
            worker.end()


def _heard(worker: _Worker, queue: Queue) -> Iterator[Result]:
    """A worker's next result; or, if it has died, those of its jobs that are given up, the others put back."""
    try:
        result = worker.connection.recv()
    except (EOFError, OSError):
        yield from queue.put_back(worker.jobs.values())
        worker.begin()
        return
    if isinstance(result, BaseException):
        raise result
    del worker.jobs[result.name]
    yield result


class _Worker:
    """A process on a device, and the jobs that it was given and has not answered."""

    def __init__(self, settings: Settings, threads: int, workers: int) -> None:
        self.settings, self.threads, self.workers = settings, threads, workers
        self.begin()

    def begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.jobs: dict[str, Job] = {}
        self.stopping = self.alone = False
        self.process = context.Process(
            target=_serve, args=(self.settings, self.threads, self.workers, theirs), daemon=True
        )
        self.process.start()
        theirs.close()

    @property
    def has_room(self) -> bool:
        return not self.jobs or (not self.alone and len(self.jobs) <= self.threads)

    def send(self, job: Job, *, alone: bool) -> None:
        self.jobs[job.name] = job
        self.alone = alone
        self._tell(job)

    def stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            self._tell(STOP)

    def end(self) -> None:
        self._tell(None)
        self.connection.close()
        self.process.join()

    def _tell(self, message: Job | str | None) -> None:
        try:
            self.connection.send(message)
        except OSError:  # it has died, which is met when it is listened to
            return


def _serve(settings: Settings, threads: int, workers: int, connection: Connection) -> None:
    """A worker: jobs in, results out, until None or the end of the pipe."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent says what is to be done
    memory.keep_freed()
    processor.limit(max(1, processor.cores() // workers))
    stopped, sending = threading.Event(), threading.Lock()
    make = Worker(settings, stopped)

    def answer(future: Future[Result]) -> None:
        with sending:
            connection.send(future.exception() or future.result())

    with ThreadPoolExecutor(threads) as pool:
        while message := _received(connection):
            if isinstance(message, Job):
                pool.submit(make, message).add_done_callback(answer)
            else:
                stopped.set()
        stopped.set()


def _received(connection: Connection) -> Job | str | None:
    try:
        message: Job | str | None = connection.recv()
    except (EOFError, OSError):
        return None
    return message
