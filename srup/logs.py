"""What a process that srup started logs is told by the process that started it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

Send = Callable[[logging.LogRecord], None]

log = logging.getLogger("srup")


def level() -> int:
    """The level from which srup logs here, for processes that are started."""
    return log.getEffectiveLevel()


def send_records(send: Send, level: int) -> None:
    """Makes this process hand what srup logs to `send`, from a level on, in place of telling it.

    `send` may be called by several threads, and gets records that can be pickled.
    """
    log.handlers, log.propagate = [_Sending(send)], False
    log.setLevel(level)


def tell(record: logging.LogRecord) -> None:
    """Logs what another process has logged."""
    logging.getLogger(record.name).handle(record)


def traceback_of(record: logging.LogRecord) -> str:
    """The traceback that a record came with; "" if it has none."""
    if record.exc_info and record.exc_info[1]:
        return "".join(traceback.format_exception(record.exc_info[1]))
    return record.exc_text or ""


class _Sending(logging.Handler):
    def __init__(self, send: Send) -> None:
        super().__init__()
        self.send = send

    def emit(self, record: logging.LogRecord) -> None:
        # neither tracebacks nor all that a message is made of can be pickled
        record.msg, record.args = record.getMessage(), None
        record.exc_text, record.exc_info = traceback_of(record), None
        self.send(record)
