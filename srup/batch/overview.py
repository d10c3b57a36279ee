"""A batch as a report: every image with what is known of it, failures on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from srup import report, storage
from srup.batch.journal import Journal, Record
from srup.batch.running import decisive
from srup.errors import AlreadyExists
from srup.models.registry import AUTO
from srup.pipeline import Job, Recipe
from srup.report import Picture, Report, Row, Value

BATCH_COLUMNS = {"seconds": ".2f", "consistency": ".1f"}
TOLD = ("model", "scale", "width", "height")  # of the settings


def check_report(path: Path, journal: Journal, *, overwrite: bool) -> None:
    """Checks that a report of a batch can be written to `path`.

    Raises AlreadyExists if a file is there that no batch of this journal wrote, unless it may be
    overwritten; so is the folder of a page's pictures.
    """
    for place in report.places(path):
        if place.exists() and not overwrite and not journal.wrote(place):
            about = f"{place} exists, and was not written by this batch"
            raise AlreadyExists(about, "{overwrite} replaces it", "{report_file} names another")


def write_report(
    path: Path, jobs: Sequence[Job], journal: Journal, recipe: Recipe, *, overwrite: bool
) -> None:
    """Writes what became of each job, and into the journal that it was written.

    Raises WriteError, and AlreadyExists as `check_report` does.
    """
    check_report(path, journal, overwrite=overwrite)
    ours = any(place.exists() for place in report.places(path))
    found = overview(jobs, journal, recipe)
    journal.add_reports(report.write(found, path, overwrite=overwrite or ours))


def overview(jobs: Sequence[Job], journal: Journal, recipe: Recipe) -> Report:
    """What the journal knows of each job, from this run or an earlier one."""
    # where the picture decides, each may have another network
    chosen = {"networks": "network", "why": "why"} if recipe.model == AUTO else {}
    rows = [_row(job, journal.last.get(job.name, {}), chosen) for job in jobs]
    rows.sort(key=lambda row: row.error is None)
    settings = decisive(recipe)
    notes = [f"{name}: {settings[name]}" for name in TOLD if name in settings]
    return Report(f"{len(rows)} images, to {journal.out}", rows, notes, BATCH_COLUMNS)


def _row(job: Job, line: Record, chosen: Mapping[str, str]) -> Row:
    """A row of the report; `chosen` are further keys of the journal, with their columns."""
    values: dict[str, Value] = {}
    for name in ("before", "after"):
        values[name] = "×".join(map(str, line[name])) if name in line else None
    figures: dict[str, Value] = {name: line.get(name) for name in BATCH_COLUMNS}
    figures |= {column: line.get(key) for key, column in chosen.items()}
    source, result = job.source.path, job.destination.place
    pictures: tuple[Picture, ...] = ()
    if line.get("status") == "done" and not (storage.is_url(source) or storage.is_url(result)):
        pictures = (Picture("before", Path(source)), Picture("after", Path(result)))
    return Row(job.name, {**values, **figures}, line.get("error"), pictures)
