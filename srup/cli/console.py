"""What is drawn on a terminal: lines, progress bars, tables.

Everything but results goes to standard error.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import click
from rich import progress as bars
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from srup import logs
from srup import report as reports
from srup.cli.commands import QUIET
from srup.cli.errors import spelling
from srup.errors import SrupError
from srup.files import check_free
from srup.printable import printable
from srup.progress import Progress, StageProgress
from srup.report import Report

# `emoji` would turn ":cat:" in a name into a cat
out = Console(soft_wrap=True, highlight=False, emoji=False)
WRAPPED = ("note", "licence", "for", "weights", "value", "from")  # columns of prose
LINE_EVERY = 60  # seconds, where no bar can be drawn

err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def error(problem: SrupError | str) -> None:
    """A line about what went wrong; hints are spelled in the options of the command that runs."""
    # whichever command runs knows how it calls the option that a hint names
    text = told(problem) if isinstance(problem, SrupError) else problem
    err.print(f"[bold red]error:[/] {_plain(text)}")


def told(problem: SrupError) -> str:
    """The message of an error in the words of the command that runs."""
    context = click.get_current_context(silent=True)
    return problem.told(spelling(context.command)) if context else str(problem)


def warning(message: str) -> None:
    """A line about what the user should know."""
    if is_quiet():
        return
    err.print(f"[yellow]warning:[/] {_plain(message)}")


def _plain(message: str) -> str:
    """A message as one line that says nothing to the terminal, whatever the names in it hold."""
    return escape(" ".join(printable(message).split()))


def is_quiet() -> bool:
    """Whether the command that runs shows nothing but results and errors."""
    context = click.get_current_context(silent=True)
    return context is not None and QUIET in context.meta


class _Lines(logging.Handler):
    """Shows every message once: what is decided for one window or page holds for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        said = hash(record.getMessage())
        if said in self.said:
            return
        self.said.add(said)
        if record.levelno >= logging.WARNING:
            warning(record.getMessage())
        else:
            err.print(f"[dim]{_plain(record.getMessage())}[/]")
        if raised := logs.traceback_of(record):
            err.print(raised, markup=False)


def start_logging(verbose: bool) -> None:
    """Warnings always, what srup decides along the way with `verbose`, nothing when quiet."""
    logger = logging.getLogger("srup")
    logger.handlers = [_Lines()]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.disabled = is_quiet()


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """A bar that goes when it is done; nothing where standard error is no terminal."""
    with _bar(label, TaskProgressColumn(), TimeRemainingColumn()) as update:
        yield update


@contextmanager
def download(label: str) -> Iterator[Progress]:
    """A bar of bytes, shown from the first one on."""
    with _bar(label, DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as update:
        yield update


@contextmanager
def stages() -> Iterator[StageProgress]:
    """A bar for each stage under way, labelled by what is being done; it goes when that is done.

    One image is read while another is computed, so there may be several.
    """
    bar = _made_bar(TaskProgressColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    lock = Lock()  # stages are told by several threads

    def update(stage: str, done: float, total: float) -> None:
        with lock:
            if total and done >= total:
                if stage in tasks:
                    bar.remove_task(tasks.pop(stage))
                return
            if stage not in tasks:
                tasks[stage] = bar.add_task(_plain(stage), total=None)
            bar.update(tasks[stage], completed=done, total=total or None)

    with bar:
        yield update


@contextmanager
def _bar(label: str, *columns: ProgressColumn) -> Iterator[Progress]:
    bar = _made_bar(*columns)
    task = bar.add_task(_plain(label), total=None, visible=False)

    def update(done: float, total: float) -> None:
        bar.update(task, completed=done, total=total or None, visible=True)

    with bar:
        yield update


class _Bar(bars.Progress):
    """A bar that writes nothing at all where it is not drawn; rich did until 14.3."""

    def stop(self) -> None:
        if not self.disable:
            super().stop()


def _made_bar(*columns: ProgressColumn) -> bars.Progress:
    """A bar of the given columns; nothing where standard error is no terminal."""
    described = TextColumn("{task.description}")
    disabled = is_quiet() or not err.is_terminal
    return _Bar(described, BarColumn(), *columns, console=err, transient=True, disable=disabled)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(
            column,
            justify="right" if column in right else "left",
            no_wrap=column not in WRAPPED,
        )
    return made


@contextmanager
def busy(label: str) -> Iterator[None]:
    """Shows that something is under way whose length is not known."""
    with _bar(label) as update:
        update(0, 0)
        yield


def line(message: str, *, always: bool = False) -> None:
    """Something said beside the results; where it is quiet, only what is to be said `always`."""
    if always or not is_quiet():
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


class Overall:
    """Progress over many images: a bar with speed and time left by megapixels, or a line a minute
    where no bar can be drawn.
    """

    def __init__(self) -> None:
        columns = (TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
        self.bar = _made_bar(*columns)
        self.task = self.bar.add_task("", total=0, speed="", visible=False)
        self.images = self.done = 0
        self.megapixels = self.through = 0.0
        self.by_images = False
        self.started = self.said = time.monotonic()

    def __enter__(self) -> Overall:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def expect(self, images: int, megapixels: float) -> None:
        """So many more are to be made."""
        self.images, self.megapixels = self.images + images, self.megapixels + megapixels
        self._show("")

    def expect_in_all(self, images: int) -> None:
        """So many are to be made, of sizes that nobody has looked at."""
        self.images, self.by_images = images, True
        self._show("")

    def advance(self, name: str, megapixels: float) -> None:
        """One is done."""
        self.done, self.through = self.done + 1, self.through + megapixels
        self._show(name)

    def _show(self, name: str) -> None:
        now = time.monotonic()
        # megapixels, not images: one photograph may be a hundred times as large as another
        passed = max(now - self.started, 1e-9)
        speed = f"{self.through / passed:.2f} megapixels/s"
        completed, total = self.through, self.megapixels
        if self.by_images:
            completed, total = float(self.done), float(self.images)
        self.bar.update(
            self.task,
            completed=completed,
            total=total,
            description=f"{self.done} of {self.images}",
            speed=f"{speed}  {_plain(name)}",
            visible=True,
        )
        if not err.is_terminal and now - self.said >= LINE_EVERY:
            self.said = now
            left = (total - completed) * passed / max(completed, 1e-9)
            line(f"{self.done} of {self.images}, {speed}, {duration(left)} left")


@dataclass(frozen=True)
class ReportOutput:
    """How a report is wanted: printed in a format or as JSON, and written to a file.

    Raises WriteError where it cannot be.
    """

    output: Path | None
    format_: str | None
    overwrite: bool
    as_json: bool

    def __post_init__(self) -> None:
        if self.output:  # better known before the work than after it
            check_free(self.output, overwrite=self.overwrite)

    @property
    def printed(self) -> bool:
        """Whether a format for what is printed was asked for."""
        return self.as_json or self.format_ is not None

    def write(self, report: Report) -> None:
        """Writes the report to the file, if there is one, and prints nothing of it."""
        if self.output:
            reports.write(report, self.output, overwrite=self.overwrite)
            err.print(f"[dim]written to {_plain(str(self.output))}[/]")

    def show(self, report: Report) -> None:
        self.write(report)
        show(report, format_=self.format_, as_json=self.as_json)


def show(report: Report, *, format_: str | None = None, as_json: bool = False) -> None:
    """Prints a report as a table, in a format, or as one line of JSON for each row."""
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
            out.print(Text(printable(note), "dim"), soft_wrap=False)


def _print_table(report: Report) -> None:
    """In the terminal's width where that can be: closer columns, then folded names; figures are
    never cut.
    """
    table, unbounded = _table(report), out.options.update(max_width=10_000)
    if Measurement.get(out, unbounded, table).maximum > out.width:
        table.padding = (0, 1, 0, 0)
    least = Measurement.get(out, unbounded, table).minimum
    out.print(table, width=max(out.width, least), crop=False)


def _table(report: Report) -> Table:
    """Headings of two words on two lines, so that many columns fit.

    Why a row failed is said by a line of its own.
    """
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
