"""What the journal is told of jobs and results."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from srup.batch.journal import CLAIMED, Journal
from srup.batch.last_lines import Record
from srup.batch.settings import decisive, settings_key
from srup.errors import AlreadyExists
from srup.pipeline import Job, Recipe, Result
from srup.version import __version__


def record_intent(jobs: Iterable[Job], journal: Journal, recipe: Recipe) -> None:
    """Writes down what is about to be made, so that what a killed run leaves is known as ours."""
    settings, records = decisive(recipe), list[Record]()
    if settings != journal.settings:
        records.append({"settings": settings, "key": settings_key(recipe)})
    for job in jobs:
        if journal.last.mark(job.name) != CLAIMED:
            records.append({"name": job.name, "status": "claimed"})
    if records:
        journal.append(records)


def line_of(result: Result, recipe: Recipe) -> Record:
    """The line of a result in the journal.

    What was refused because a file is there is not called failed: that would say that the file is
    a batch's, and may be replaced.
    """
    line: dict[str, Any] = {**record(result, recipe), "at": round(time.time()), "by": __version__}
    if isinstance(result.error, AlreadyExists):
        line["status"] = "refused"
    return line


def record(result: Result, recipe: Recipe) -> Record:
    """The line of a result in the journal."""
    facts: dict[str, Any] = {
        "name": result.name,
        "source": result.source,
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "before": result.before,
        "after": result.after,
        "networks": result.networks,
        "why": result.why,
        "bytes": result.bytes,
        "stamp": result.stamp,
        "sha256": result.sha256,
        "key": settings_key(recipe),
        "images": result.images,
        "failed": result.failed,
    }
    if result.error:
        facts["error"] = str(result.error)
        facts["no_memory"] = result.no_memory
    if result.consistency is not None and math.isfinite(result.consistency):
        facts["consistency"] = round(result.consistency, 2)
    return {name: value for name, value in facts.items() if value not in (None, "", False)}
