"""What is drawn on a terminal: lines, progress bars, tables. Everything but results goes to standard error."""

from __future__ import annotations

import logging
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
