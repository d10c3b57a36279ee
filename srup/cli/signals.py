"""SIGINT and SIGTERM: the first one ends a command in good order, a second one at once.

Python runs signal handlers in the main thread, between two of its steps. That may be long in coming
where the main thread waits for another, and an exception raised there waits for all threads on its
way out. So a thread of its own hears of signals too, through a pipe that the C handler writes to.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from srup.files import remove_unfinished

ENDING = (signal.SIGINT, signal.SIGTERM)
CODE = 128  # added to the number of a signal, it is the exit code
TWICE = 0.05  # seconds in which two signals are one: `timeout` sends it to a process and its group
CLEANING = 1.0  # seconds that removing temporary files may take

Begin = Callable[[], None]

_received: list[tuple[signal.Signals, float]] = []  # with the times
_begin: list[Begin] = []  # what the first signal does besides, the innermost last
_listener: list[threading.Thread] = []


def watch() -> None:
    """Makes the first signal raise in the main thread: SIGINT KeyboardInterrupt, SIGTERM
    SystemExit; a second one ends the process at once.

    To be called once, in the main thread of a process that belongs to srup.
    """
    for number in ENDING:
        signal.signal(number, _raise)
    if os.name == "nt":  # a pipe that does not block is one of POSIX
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread = threading.Thread(target=_listen, args=(reader,), name="signals", daemon=True)
    _listener.append(thread)
    thread.start()


@contextmanager
def finishing(begin: Begin) -> Iterator[list[signal.Signals]]:
    """Lets the first signal call `begin`, from any thread, instead of raising in the main thread.

    Yields a list that the signal is put into.
    """
    received: list[signal.Signals] = []

    def note() -> None:
        received.append(_received[0][0])
        begin()

    before = {number: signal.signal(number, _take) for number in ENDING}
    _begin.append(note)
    try:
        yield received
    finally:
        _begin.remove(note)
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, _: FrameType | None) -> None:
    """Raises an exception, so that unfinished files are removed on the way out."""
    for each in ENDING:
        signal.signal(each, _take)  # a second exception would break the way out off
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(CODE + number)


def _take(number: int, _: FrameType | None) -> None:
    if not _listener:  # in a process that is not srup's own
        _hear(number)


def _listen(reader: int) -> None:
    """Hears of signals as the C handler writes their numbers."""
    while numbers := os.read(reader, 1):
        if numbers[0] in ENDING:
            _hear(numbers[0])


def _hear(number: int) -> None:
    now = time.monotonic()
    if not _received:
        _received.append((signal.Signals(number), now))
        for begin in reversed(_begin):
            begin()
    elif now - _received[0][1] > TWICE:
        end_at_once(CODE + _received[0][0])


def end_at_once(code: int) -> None:
    """Ends this process and its children, whatever their threads do; removes temporary files."""
    # a file system that does not answer must not keep it
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(CLEANING, exit=True, file=nowhere)
        processes = sys.modules.get("multiprocessing.process")  # imported where there are any
        for child in processes.active_children() if processes else ():
            child.kill()
        remove_unfinished()
    os._exit(code)
