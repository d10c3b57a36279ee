"""A batch as a report: every image with what is known of it, failures on top."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from srup import report, storage
from srup.batch.journal import Journal
from srup.batch.last_lines import Record
from srup.batch.settings import decisive
from srup.errors import AlreadyExists
from srup.models.registry import AUTO
from srup.pipeline import Job, Recipe
from srup.report import Picture, Report, Row, Value

BATCH_COLUMNS = {"seconds": ".2f", "consistency": ".1f"}
TOTALS = {"megapixels in": ",.2f", "megapixels out": ",.2f", "MB in": ",.2f", "MB out": ",.2f"}
SETTINGS = {  # those that are told, and what they are called
    "quality": "quality",
    "lossless": "lossless",
    "precision": "precision",
    "engine": "engine",
    "strength": "strength",
    "self_ensemble": "self-ensemble",
}
LATEST = 1 << 33  # seconds since 1970; a journal may be damaged


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
    lines = {job.name: journal.last.get(job.name, {}) for job in jobs}
    done = {name: line for name, line in lines.items() if line.get("status") == "done"}
    failed = sum(row.error is not None for row in rows)
    counts = {"images": len(rows), "done": len(done), "failed": failed}
    summary = {**_made(done.values()), **_settings(recipe), **counts, **_totals(done, journal)}
    title = f"{len(rows)} image{'s' * (len(rows) != 1)}, enlarged {recipe.target.words}"
    return Report(title, rows, formats=BATCH_COLUMNS | TOTALS, summary=summary)


def _made(lines: Iterable[Record]) -> dict[str, Value]:
    """When results were made, and by which versions, as far as the journal says."""
    times = sorted(line["at"] for line in lines if 0 <= line.get("at", -1) < LATEST)
    versions = sorted({line["by"] for line in lines if "by" in line})
    ends = [_date(times[0]), _date(times[-1])] if times else []
    by = f"srup {', '.join(versions)}" if versions else None
    return {"made": " to ".join(dict.fromkeys(ends)) or None, "by": by}


def _date(seconds: int) -> str:
    """2026-11-28 03:50 UTC"""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"


def _settings(recipe: Recipe) -> dict[str, Value]:
    """What the results were made with, but for what is off."""
    found: dict[str, Value] = {"network": recipe.model, "enlarged": recipe.target.words}
    found["format"], settings = recipe.format or "png", decisive(recipe)
    for name, label in SETTINGS.items():
        if value := settings.get(name):
            found[label] = value if isinstance(value, bool | int | float) else str(value)
    return found


def _totals(done: Mapping[str, Record], journal: Journal) -> dict[str, Value]:
    """Sums over the results: what they took, and what came of it."""
    there, lines = storage.sizes(journal.out), done.values()
    return {
        "seconds": sum(line.get("seconds", 0) for line in lines),
        "megapixels in": sum(_pixels(line.get("before")) for line in lines) / 1e6,
        "megapixels out": sum(_pixels(line.get("after")) for line in lines) / 1e6,
        "MB in": sum(line.get("bytes", 0) for line in lines) / 1e6,
        "MB out": sum(there.get(name, 0) for name in done) / 1e6,
    }


def _pixels(size: object) -> float:
    """Width times height; 0 where a damaged journal has something else."""
    match size:
        case [int(width), int(height)]:
            return width * height
    return 0


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
