"""Types of progress callbacks: library code calls them, and only the command line draws."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, float], None]  # (done, total) in any unit; total 0 if unknown
StageProgress = Callable[[str, float, float], None]  # (name of the stage, done, total)


def ignore(done: float, total: float) -> None:
    """A progress callback that does nothing."""


def share(progress: Progress | None, index: int, count: int) -> Progress:
    """A callback for part `index` of `count` equal parts that reports progress of the whole."""
    if progress is None:
        return ignore
    return lambda done, total: progress(index + done / total, count)
