"""Jobs over worker processes of this machine, one for each device."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from typing import cast

from srup import logs, memory, processor
from srup.batch.executors.scheduling import Crew, Hand, shared_out
from srup.batch.shards import carried_out
from srup.pipeline import Job, Recipe, Result, Worker

STOP = "stop"
LOOK = 0.5  # seconds between looks at whether to stop


def in_processes(
    jobs: Iterable[Job], worker: Worker, *, devices: Sequence[str], threads: int = 3
) -> Iterator[Result]:
    """The results of jobs by a process on each of `devices` with so many threads; a device may be
    named twice.
    """
    crew = _Processes(worker.recipe, devices, threads)
    return shared_out(jobs, crew, worker.stopped)


class _Process(Hand):
    """A worker process on a device."""

    def __init__(self, recipe: Recipe, threads: int, share: int) -> None:
        super().__init__()
        self.recipe, self.threads, self.share = recipe, threads, share
        self.begin()

    def begin(self) -> None:
        """Starts the process, for the first time or after it has died."""
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (self.recipe, self.threads, self.share, logs.level(), theirs)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        self.dead = False
        theirs.close()

    def send(self, job: Job) -> None:
        self.tell(job)

    def tell(self, message: Job | str | None) -> None:
        """Sends a job, STOP, or None for the end."""
        try:
            self.connection.send(message)
        except OSError:  # it has died, which is met when it is listened to
            return

    def end(self) -> None:
        """Lets the process finish what it is at, and waits for it."""
        self.tell(None)
        self.connection.close()
        self.process.join()


class _Processes(Crew):
    def __init__(self, recipe: Recipe, devices: Sequence[str], threads: int) -> None:
        self.threads, self.stopping = threads, False
        # or every process would start as many threads as there are cores
        share = max(1, processor.cores() // len(devices))
        self.hands = [_Process(recipe.on(device), threads, share) for device in devices]

    def ready(self) -> Sequence[_Process]:
        for hand in self.hands:
            if hand.dead:
                hand.begin()
        return self.hands

    def answers(self) -> Iterator[tuple[_Process, Result | None]]:
        busy = {hand.connection: hand for hand in self.hands if hand.jobs}
        for ready in wait(list(busy), timeout=LOOK):
            hand = busy[cast(Connection, ready)]
            try:
                answer = hand.connection.recv()
            except (EOFError, OSError):
                hand.dead = True
                answer = None
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, logging.LogRecord):
                logs.tell(answer)
                continue
            yield hand, answer

    def stop(self) -> None:
        if not self.stopping:
            self.stopping = True
            for hand in self.hands:
                hand.tell(STOP)

    def end(self) -> None:
        for hand in self.hands:
            hand.end()


def _serve(recipe: Recipe, threads: int, cores: int, level: int, connection: Connection) -> None:
    """A worker process: jobs in, results and what is logged out, until None or the pipe's end."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent decides
    memory.keep_freed()
    processor.limit(cores)
    stopped, sending = threading.Event(), threading.Lock()
    worker = Worker(recipe, stopped=stopped, many=True)

    def send(message: object) -> None:
        with sending:
            connection.send(message)

    def answer(future: Future[Result]) -> None:
        send(future.exception() or future.result())

    logs.send_records(send, level)
    with ThreadPoolExecutor(threads) as pool:
        while message := _received(connection):
            if isinstance(message, Job):
                pool.submit(carried_out, worker, message).add_done_callback(answer)
            else:
                stopped.set()
        stopped.set()


def _received(connection: Connection) -> Job | str | None:
    try:
        message: Job | str | None = connection.recv()
    except (EOFError, OSError):
        return None
    return message
