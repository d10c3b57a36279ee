"""Runs work in a child process, so that its memory is measured apart and a crash is survivable."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Lock
from typing import ParamSpec, TypeVar

from srup import logs, memory
from srup.errors import OutOfMemory, SrupError, internal

P = ParamSpec("P")
T = TypeVar("T")


class _End:
    """Sent by the child after its last result."""


def run_isolated(
    label: str, run: Callable[P, Iterable[T]], *args: P.args, **kwargs: P.kwargs
) -> Iterator[T]:
    """Yields what `run(*args, **kwargs)` yields, computed in a new process.

    `run`, its arguments and its results must be picklable. What it logs is logged here. Raises the
    SrupError that `run` raises, InternalError in place of other exceptions, and OutOfMemory, whose
    message begins with `label`, if the process ends without a word, which most often is the
    system's out-of-memory killer. The process ends with the iterator. What is isolated already is
    run where it is.
    """
    if multiprocessing.current_process().daemon:  # such a process has no children
        yield from run(*args, **kwargs)
        return
    # A forked child would inherit the parent's memory and the locks of its threads.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    arguments = (sender, logs.level(), label, run, args, kwargs)
    process = context.Process(target=_serve, args=arguments, daemon=True)
    process.start()
    sender.close()  # so that recv raises EOFError once the child's end is closed
    try:
        while not isinstance(received := receiver.recv(), _End):
            if isinstance(received, SrupError):
                raise received
            if isinstance(received, logging.LogRecord):
                logs.tell(received)
                continue
            yield received
    except EOFError as error:
        process.join()
        raise OutOfMemory(
            f"{label}: its process ended ({process.exitcode}); free some memory",
            "take smaller windows with {tile=128}",
        ) from error
    finally:
        process.kill()
        process.join()


def _serve(
    sender: Connection,
    level: int,
    label: str,
    run: Callable[..., Iterable[object]],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    """Sends each result of `run` to the parent, then `_End` or a SrupError; and what is logged."""
    sending = Lock()

    def send(message: object) -> None:
        with sending, suppress(OSError):  # the parent has gone, and ends this process
            sender.send(message)

    # Ctrl-C reaches both processes; the parent handles it and kills this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory.keep_freed()
    logs.send_records(send, level)
    try:
        for result in run(*args, **kwargs):
            send(result)
        send(_End())
    except SrupError as error:
        send(error)
    except Exception as error:
        send(internal(error, label))
