"""What a report is made of, and its plain formats."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

Value = str | int | float | None


@dataclass(frozen=True)
class Picture:
    """One version of an image: a file, and what is said of it (its network, its time)."""

    name: str
    path: Path
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What is said of one thing, column → value; or why it failed.

    `pictures` are versions of one image, before first and after last; a page shows the last as a thumbnail and compares them.
    """

    name: str
    values: Mapping[str, Value] = field(default_factory=dict)
    error: str | None = None
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Report:
    """Rows under a title. `notes` say how they came about, `formats` how columns are shown (column → format spec, as ".2f").

    `heading` names the column of the rows' names; `figures` are SVG texts for the page.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    formats: Mapping[str, str] = field(default_factory=dict)
    heading: str = "name"
    figures: Sequence[str] = ()

    @cached_property
    def lines(self) -> list[Row]:
        """The rows of its table: rows, and those of their pictures that something is said of."""
        several = sum(bool(row.pictures) for row in self.rows) > 1
        found: list[Row] = []
        for row in self.rows:
            spoken = [picture for picture in row.pictures if picture.values]
            found += [row] if row.values or row.error or not spoken else []
            found += [
                Row(f"{row.name}, {picture.name}" if several else picture.name, picture.values)
                for picture in spoken
            ]
        return found

    @cached_property
    def columns(self) -> list[str]:
        """The columns after the name, in the order in which rows bring them up; "error" last if one failed."""
        found = dict.fromkeys(column for row in self.lines for column in row.values)
        return [*found, *(["error"] if any(row.error for row in self.rows) else [])]

    def cells(self, row: Row) -> list[str]:
        """The row as it is shown, its name first."""
        values = {**row.values, "error": row.error or ""}
        return [
            row.name,
            *(shown(values.get(column), self.formats.get(column, "")) for column in self.columns),
        ]

    def numeric(self, column: str) -> bool:
        return any(isinstance(row.values.get(column), int | float) for row in self.lines)


def shown(value: Value, spec: str = "") -> str:
    """A value for people's eyes: – for none; a float by `spec` (".4g" unless given)."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return format(value, spec or (".4g" if isinstance(value, float) else ","))


def plain(value: Value) -> Value:
    """A value as JSON can hold it: what is not finite becomes "inf" or "nan"."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def facts(row: Row, heading: str = "name") -> dict[str, Value]:
    """A row as one flat record, its values in full."""
    values = {heading: row.name, **{column: plain(value) for column, value in row.values.items()}}
    return {**values, "error": row.error} if row.error else values


def as_json(report: Report) -> str:
    rows = [facts(row, report.heading) for row in report.lines]
    return (
        json.dumps(
            {"title": report.title, "notes": list(report.notes), "rows": rows},
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
    )


def as_csv(report: Report) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [report.heading, *report.columns], lineterminator="\n")
    writer.writeheader()
    writer.writerows(facts(row, report.heading) for row in report.lines)
    return text.getvalue()


def as_markdown(report: Report) -> str:
    heads = [report.heading, *report.columns]
    rules = ["---", *("---:" if report.numeric(column) else "---" for column in report.columns)]
    lines = [
        f"| {' | '.join(map(_cell, line))} |"
        for line in (heads, rules, *map(report.cells, report.lines))
    ]
    return "\n".join(
        [f"## {report.title}", "", *lines, *(f"\n{note}" for note in report.notes), ""]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")
