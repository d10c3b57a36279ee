"""Worker processes: each keeps networks loaded on a device and runs one task after another.

A process that dies costs the task that it was at, and is replaced.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from srup import logs, memory, processor
from srup.errors import InternalError, OutOfMemory, SrupError, internal
from srup.files import remove_abandoned
from srup.serve.tasks import Networks, Outcome, Task, TaskContext

EVERY = 0.1  # seconds between two messages of progress
HINTS = ("take a smaller {scale}", "or a smaller picture")

Progress = Callable[[str, float, float], None]


@dataclass(frozen=True)
class Told:
    """Progress of the task that a process is at."""

    stage: str
    done: float
    total: float


@dataclass(frozen=True)
class Answer:
    """What became of a task: its outcome, or an error."""

    outcome: Outcome = None
    error: SrupError | None = None


class WorkerProcess:
    """A worker process on a device; `run` is called by one thread, `stop` and `kill` by others."""

    def __init__(self, device: str, cores: int) -> None:
        self.device, self.cores = device, cores
        self.number = 0  # of the task that it is at or was at last
        self.process: multiprocessing.process.BaseProcess | None = None
        self.connection: Connection | None = None
        self.sending = threading.Lock()

    def begin(self) -> None:
        """Starts the process, for the first time or after it has died."""
        remove_abandoned()  # what the last one left, if it was killed
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (self.device, self.cores, logs.level(), theirs)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def run(self, task: Task, progress: Progress) -> Outcome:
        """What a task returns. Raises what it raises, and OutOfMemory or InternalError if the
        process dies.
        """
        if self.process is None or not self.process.is_alive():
            self.begin()
        assert self.connection
        self.number += 1
        try:
            self._send(self.number, task)
            while not isinstance(message := self.connection.recv(), Answer):
                if isinstance(message, Told):
                    progress(message.stage, message.done, message.total)
                else:
                    logs.tell(message)
        except (EOFError, OSError) as error:
            raise self._died() from error
        if message.error:
            raise message.error
        return message.outcome

    def _died(self) -> SrupError:
        assert self.process
        self.process.join()
        code = self.process.exitcode
        about = f"the process that computed it ended ({code})"
        if code == -signal.SIGKILL:  # most often by the system, for lack of memory
            return OutOfMemory(about, *HINTS)
        return InternalError(about, *HINTS)

    def stop(self, number: int) -> None:
        """Tells the process to give up a task, if it is still at it."""
        with suppress(OSError):  # it has died
            self._send(number, None)

    def _send(self, number: int, task: Task | None) -> None:
        with self.sending:
            if self.connection:
                self.connection.send((number, task))

    def kill(self) -> None:
        """Ends the process at once."""
        if self.process is not None:
            self.process.kill()


def _serve(device: str, cores: int, level: int, connection: Connection) -> None:
    """A worker process: numbered tasks in, progress and answers out, until the pipe's end.

    A number without a task says that the task of that number is to be given up.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    memory.keep_freed()
    processor.limit(cores)
    sending = threading.Lock()

    def send(message: object) -> None:
        with sending:
            connection.send(message)

    logs.send_records(send, level)
    if level > logging.INFO:  # what is said of a picture is for the client
        for handler in logging.getLogger("srup").handlers:
            handler.setLevel(logging.ERROR)
    networks, current = Networks(), (0, threading.Event())
    while message := _received(connection):
        number, task = message
        if task is not None:
            current = (number, threading.Event())
            context = TaskContext(device, networks, _throttled(send), current[1])
            threading.Thread(target=_answer, args=(task, context, send), daemon=True).start()
        elif number == current[0]:
            current[1].set()


def _answer(task: Task, context: TaskContext, send: Callable[[object], None]) -> None:
    try:
        answer = Answer(task.run(context))
    except SrupError as error:
        answer = Answer(error=error)
    except MemoryError:
        answer = Answer(error=OutOfMemory("the memory is full", *HINTS))
    except Exception as error:
        answer = Answer(error=internal(error, "the request"))
    try:
        send(answer)
    except Exception:  # who asked must not wait for ever
        os._exit(1)


def _throttled(send: Callable[[object], None]) -> Progress:
    """Sends progress so rarely that the pipe has room for answers; every stage is told of."""
    last: tuple[str, float] = ("", 0.0)

    def progress(stage: str, done: float, total: float) -> None:
        nonlocal last
        now = time.monotonic()
        if stage != last[0] or now - last[1] >= EVERY:
            last = (stage, now)
            send(Told(stage, done, total))

    return progress


def _received(connection: Connection) -> tuple[int, Task | None] | None:
    try:
        message: tuple[int, Task | None] = connection.recv()
    except (EOFError, OSError):
        return None
    return message
