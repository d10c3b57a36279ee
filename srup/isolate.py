"""Work in a process of its own: what it takes of memory is its own, and its end is not ours."""

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
    """There is no more."""


def run_isolated(
    what: str, run: Callable[P, Iterable[T]], *args: P.args, **kwargs: P.kwargs
) -> Iterator[T]:
    """What `run` yields, in a new process.

    Raises the SrupError that it raises, and OutOfMemory, naming `what`, if it is killed.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender, run, args, kwargs), daemon=True)
    process.start()
    sender.close()
    try:
        while not isinstance(received := receiver.recv(), _End):
            if isinstance(received, SrupError):
                raise received
            yield received
    except EOFError as error:
        process.join()
        raise OutOfMemory(
            f"{what}: its process ended ({process.exitcode}); free some memory, or take -t 128"
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says when it is over
    memory.keep_freed()
    try:
        for result in run(*args, **kwargs):
            sender.send(result)
        sender.send(_End())
    except SrupError as error:
        sender.send(error)
