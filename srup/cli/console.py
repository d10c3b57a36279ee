"""What is drawn on a terminal: lines, progress bars, tables. Everything but results goes to standard error."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
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
from rich.text import Text

from srup import report as reports
from srup.files import check_free
from srup.report import Report

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
def download(label: str) -> Iterator[Callable[[float, float], None]]:
    """A bar of bytes, shown from the first one on."""
    with _bar(label, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as update:
        yield update


@contextmanager
def _bar(label: str, *columns: ProgressColumn) -> Iterator[Callable[[float, float], None]]:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *columns,
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )
    task = bar.add_task(_plain(label), total=None, visible=False)
    with bar:
        yield lambda done, total: bar.update(
            task, completed=done, total=total or None, visible=True
        )


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column not in ("note", "licence"),
        )
    return made


def line(message: str) -> None:
    """Something said beside the results."""
    err.print(_plain(message))


def duration(seconds: float) -> str:
    """12.3 s, 4 min 05 s, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )


@contextmanager
def overall(
    images: int, megapixels: float, *, shown: bool
) -> Iterator[Callable[[str, float], None]]:
    """Progress over many images, told by (name, megapixels) of each that is done: a bar with speed and time left by megapixels;
    where standard error is no terminal, a line a minute.
    """
    started = said = time.monotonic()
    done, through = 0, 0.0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=err, transient=True, disable=not (shown and err.is_terminal))
    task = bar.add_task(f"0 of {images}", total=megapixels, speed="")

    def update(name: str, size: float) -> None:
        nonlocal done, through, said
        done, through, now = done + 1, through + size, time.monotonic()
        speed = f"{through / max(now - started, 1e-9):.2f} megapixels/s"
        bar.update(
            task,
            completed=through,
            description=f"{done} of {images}",
            speed=f"{speed}  {_plain(name)}",
        )
        if shown and not err.is_terminal and now - said >= 60:
            said = now
            left = (megapixels - through) * (now - started) / max(through, 1e-9)
            line(f"{done} of {images}, {speed}, {duration(left)} left")

    with bar:
        yield update


@dataclass(frozen=True)
class Shown:
    """How a report is wanted: printed in a format or as JSON, and written to a file. Raises WriteError where it cannot be."""

    output: Path | None
    format_: str | None
    overwrite: bool
    as_json: bool

    def __post_init__(self) -> None:
        if self.output:  # better known before the work than after it
            check_free(self.output, overwrite=self.overwrite)

    def show(self, report: Report) -> None:
        show(report, output=self.output, format_=self.format_, as_json=self.as_json)


def show(
    report: Report, *, output: Path | None = None, format_: str | None = None, as_json: bool = False
) -> None:
    """Prints a report as a table, in a format, or as one line of JSON for each row; and writes it to a file if one is given."""
    if output:
        reports.write(report, output)
        err.print(f"[dim]written to {_plain(str(output))}[/]")
    for row in report.rows:
        if row.error:
            error(row.error)
    if as_json:
        for row in report.lines:
            print(json.dumps(reports.facts(row, report.heading), ensure_ascii=False))
    elif format_:
        print(reports.text(report, format_), end="")
    else:
        _print_table(report)
        for note in report.notes:
            out.print(Text(note, "dim"), soft_wrap=False)


def _print_table(report: Report) -> None:
    """In the terminal's width where that can be: closer columns, then folded names; figures are never cut."""
    table, unbounded = _table(report), out.options.update(max_width=10_000)
    if Measurement.get(out, unbounded, table).maximum > out.width:
        table.padding = (0, 1, 0, 0)
    least = Measurement.get(out, unbounded, table).minimum
    out.print(table, width=max(out.width, least), crop=False)


def _table(report: Report) -> Table:
    """Headings of two words on two lines, so that many columns fit. Why a row failed is said by a line of its own."""
    columns = [column for column in report.columns if column != "error"]
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column(report.heading, overflow="fold", min_width=12)
    for column in columns:
        made.add_column(
            column.replace(" ", "\n"),
            justify="right" if report.numeric(column) else "left",
            no_wrap=True,
        )
    for row in report.lines:
        cells = report.cells(row)[: len(columns) + 1]
        made.add_row(*(Text(cell) for cell in cells), style="red" if row.error else "")
    return made
