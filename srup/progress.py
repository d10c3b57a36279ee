"""How library code reports progress: it calls a function; only the command line draws."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, float], None]  # (done, total), of any unit; a total of 0 is not known
StageProgress = Callable[[str, float, float], None]  # (what is being done, done, total)


def ignore(done: float, total: float) -> None:
    """The progress of who does not want to hear of it."""


def share(progress: Progress | None, index: int, count: int) -> Progress:
    """Progress of one of `count` equal parts, as progress of all of them."""
    if progress is None:
        return ignore
    return lambda done, total: progress(index + done / total, count)
