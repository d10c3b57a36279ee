"""What is drawn on a terminal: lines, progress bars, tables. Everything but results goes to standard error."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def error(message: str) -> None:
    err.print(f"[bold red]error:[/] {_plain(message)}")


def warning(message: str) -> None:
    err.print(f"[yellow]warning:[/] {_plain(message)}")


def _plain(message: str) -> str:
    return " ".join(message.split()).replace("[", r"\[")


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            warning(record.getMessage())
        else:
            err.print(f"[dim]{_plain(record.getMessage())}[/]")


def start_logging(verbose: bool) -> None:
    """Warnings always, what srup decides along the way with `verbose`."""
    logger = logging.getLogger("srup")
    logger.handlers = [_Lines()]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)


@contextmanager
def progress(label: str) -> Iterator[Callable[[float, float], None]]:
    """A bar that goes when it is done; nothing where standard error is no terminal."""
    with _bar(label, TaskProgressColumn(), TimeRemainingColumn()) as update:
        yield update


@contextmanager
def download(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of bytes, shown from the first one on."""
    with _bar(label, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as update:
        yield update


@contextmanager
def _bar(label: str, *columns: ProgressColumn) -> Iterator[Callable[[float, float], None]]:
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), *columns, console=err, transient=True, disable=not err.is_terminal
    )
    task = bar.add_task(_plain(label), total=None, visible=False)
    with bar:
        yield lambda done, total: bar.update(task, completed=done, total=total or None, visible=True)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=column not in ("note", "licence"))
    return made


def line(message: str) -> None:
    """Something said beside the results."""
    err.print(_plain(message))


def duration(seconds: float) -> str:
    """12.3 s, 4 min 05 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def overall(images: int, megapixels: float, *, shown: bool) -> Iterator[Callable[[str, float], None]]:
    """Progress over many images, told by (name, megapixels) of each that is done: a bar with speed and time left by megapixels;
    where standard error is no terminal, a line a minute.
    """
    started = said = time.monotonic()
    done, through = 0, 0.0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
    bar = Progress(*columns, console=err, transient=True, disable=not (shown and err.is_terminal))
    task = bar.add_task(f"0 of {images}", total=megapixels, speed="")

    def update(name: str, size: float) -> None:
        nonlocal done, through, said
        done, through, now = done + 1, through + size, time.monotonic()
        speed = f"{through / max(now - started, 1e-9):.2f} megapixels/s"
        bar.update(task, completed=through, description=f"{done} of {images}", speed=f"{speed}  {_plain(name)}")
        if shown and not err.is_terminal and now - said >= 60:
            said = now
            left = (megapixels - through) * (now - started) / max(through, 1e-9)
            line(f"{done} of {images}, {speed}, {duration(left)} left")

    with bar:
        yield update
