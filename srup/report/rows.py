"""The rows of a report, and its plain formats: CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path

from srup.printable import printable

Value = str | int | float | None

FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # how cells begin that Excel and others compute


@dataclass(frozen=True)
class Picture:
    """One version of an image: its name, its file, and values such as its time."""

    name: str
    path: Path
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One thing that is reported: values by column, or why it failed.

    `pictures` are versions of one image, before first and after last. A page shows the last as a
    thumbnail and compares them.
    """

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    error: str | None = None
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Report:
    """Rows under a title.

    `notes` say how the values came about, `formats` how columns are shown (column → format spec,
    such as ".2f"). `heading` is the title of the column of names. `figures` are SVG texts for the
    page. `summary` says what holds for the whole: settings, totals.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    formats: Mapping[str, str] = field(default_factory=dict)
    heading: str = "name"
    figures: Sequence[str] = ()
    summary: Mapping[str, Value] = field(default_factory=dict)

    @cached_property
    def lines(self) -> list[Row]:
        """The lines of the table: the rows, and their pictures that have values."""
        several = sum(bool(row.pictures) for row in self.rows) > 1
        found: list[Row] = []
        for row in self.rows:
            with_values = [picture for picture in row.pictures if picture.values]
            # A row that only holds such pictures needs no line of its own.
            if row.values or row.error or not with_values:
                found.append(row)
            for picture in with_values:
                name = f"{row.name}, {picture.name}" if several else picture.name
                found.append(Row(name, picture.values))
        return found

    @cached_property
    def columns(self) -> list[str]:
        """The columns after the name, in order of appearance; "error" last if a row failed."""
        found: dict[str, None] = {}  # a dict, since a set would not keep the order
        for row in self.lines:
            found.update(dict.fromkeys(row.values))
        names = list(found)
        if any(row.error for row in self.rows):
            names.append("error")
        return names

    def cells(self, row: Row) -> list[str]:
        """The row as text for each column, its name first."""
        values = {**row.values, "error": row.error or ""}
        texts = [shown(values.get(name), self.formats.get(name, "")) for name in self.columns]
        return [printable(text) for text in (row.name, *texts)]

    @property
    def summed_up(self) -> list[tuple[str, str]]:
        """The summary as texts: its names and their values; what has no value is left out."""
        found = []
        for name, value in self.summary.items():
            if value is not None:
                found.append((name, shown(value, self.formats.get(name, ""))))
        return found

    def numeric(self, column: str) -> bool:
        """Whether a column holds numbers, which are aligned to the right."""
        values = [row.values.get(column) for row in self.lines]
        return any(isinstance(each, int | float) and not isinstance(each, bool) for each in values)


def shown(value: Value, spec: str = "") -> str:
    """A value as text for people: "–" for None, a number by `spec` (a float by ".4g" if empty)."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if not spec:
        spec = ".4g" if isinstance(value, float) else ","
    return format(value, spec)


def plain(value: Value) -> Value:
    """A value as JSON can hold it: infinity and NaN become "inf" and "nan"."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def facts(row: Row, heading: str = "name") -> dict[str, Value]:
    """A row as one flat record, its values in full."""
    values: dict[str, Value] = {heading: row.name}
    for column, value in row.values.items():
        values[column] = plain(value)
    if row.error:
        values["error"] = row.error
    return values


def _records(report: Report) -> Iterator[dict[str, Value]]:
    for row in report.lines:
        yield facts(row, report.heading)


def as_json(report: Report) -> str:
    """The report as a JSON object: title, summary if there is one, notes, rows."""
    content: dict[str, object] = {"title": report.title}
    if report.summary:
        content["summary"] = {name: plain(value) for name, value in report.summary.items()}
    content |= {"notes": list(report.notes), "rows": list(_records(report))}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_csv(report: Report) -> str:
    """The table as CSV, its values in full."""
    text = io.StringIO()
    columns = [report.heading, *report.columns]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writerow({column: csv_cell(column) for column in columns})
    for record in _records(report):
        writer.writerow({column: csv_cell(value) for column, value in record.items()})
    return text.getvalue()


def csv_cell(value: Value) -> Value:
    """A cell that programs for tables show, where they would compute what begins like a formula."""
    if not isinstance(value, str):
        return value
    shown = value.replace("\0", r"\x00")  # which Python 3.10 does not write
    return f"'{shown}" if shown.startswith(FORMULAS) and shown != str(-math.inf) else shown


def as_markdown(report: Report) -> str:
    """The title, the summary, the table and the notes as Markdown."""
    rules = ["---:" if report.numeric(column) else "---" for column in report.columns]
    heads = _line([report.heading, *report.columns])
    lines = [f"## {_text(report.title)}", ""]
    if report.summary:
        lines += [*(f"- {_text(name)}: {_text(text)}" for name, text in report.summed_up), ""]
    lines += [heads, _line(["---", *rules])]
    lines += [_line(report.cells(row)) for row in report.lines]
    lines += [f"\n{_text(note)}" for note in report.notes]
    return "\n".join([*lines, ""])


def _line(texts: Iterable[str]) -> str:
    return f"| {' | '.join(map(_cell, texts))} |"


def _cell(text: str) -> str:
    return " ".join(_text(text).split()).replace("|", r"\|")


def _text(text: str) -> str:
    # Markdown passes HTML on, and names may hold what looks like it
    return escape(printable(text), quote=False)
