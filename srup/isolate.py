"""Runs work in a child process, so that its memory is measured apart and a crash is survivable."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import ParamSpec, TypeVar

from srup import memory
from srup.errors import OutOfMemory, SrupError

P = ParamSpec("P")
T = TypeVar("T")


class _End:
    """Sent by the child after its last result."""


def run_isolated(
    label: str, run: Callable[P, Iterable[T]], *args: P.args, **kwargs: P.kwargs
) -> Iterator[T]:
    """Yields what `run(*args, **kwargs)` yields, computed in a new process.

    `run`, its arguments and its results must be picklable. Raises the SrupError that `run` raises,
    and OutOfMemory, whose message begins with `label`, if the process ends without a word, which
    most often is the system's out-of-memory killer. The process ends with the iterator.
    """
    # A forked child would inherit the parent's memory and the locks of its threads.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender, run, args, kwargs), daemon=True)
    process.start()
    sender.close()  # so that recv raises EOFError once the child's end is closed
    try:
        while not isinstance(received := receiver.recv(), _End):
            if isinstance(received, SrupError):
                raise received
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
    run: Callable[..., Iterable[object]],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    """Sends each result of `run` to the parent, then `_End` or a SrupError."""
    # Ctrl-C reaches both processes; the parent handles it and kills this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    memory.keep_freed()
    try:
        for result in run(*args, **kwargs):
            sender.send(result)
        sender.send(_End())
    except SrupError as error:
        sender.send(error)
