"""The journal of a batch: whatever is in it, the batch goes on, and its report can be written."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from random import Random

from srup import report
from srup.batch import overview
from srup.batch.journal import NAME, journal
from srup.batch.pending import Policy, pending
from srup.batch.planning import proposed
from srup.batch.records import record_intent
from srup.batch.settings import decisive, settings_key
from srup.pipeline import Recipe
from srup.storage import Entry
from tests.fuzz.mutation import json_line, mutated

SOURCES = ("a.png", "b.jpg", "below/c.tif", "ä\udcff.webp")


@functools.cache
def whole() -> bytes:
    """A journal as batches write it."""
    recipe = Recipe(model="lite")
    lines: list[dict[str, object]] = [
        {"settings": decisive(recipe), "key": settings_key(recipe)},
    ]
    for number, job in enumerate(jobs("in", "out", recipe)):
        facts = {"source": job.source.path, "bytes": job.source.size, "stamp": job.source.stamp}
        sizes = {"before": [24, 16], "after": [96, 64], "seconds": 0.5, "consistency": 41.25}
        status = ("done", "failed", "refused", "done")[number]
        lines.append({"name": job.name, "status": "claimed"})
        key = {"key": settings_key(recipe), "sha256": "0" * 64, "networks": "lite ×4"}
        lines.append({"name": job.name, "status": status, **facts, **sizes, **key})
    lines.append({"name": "b.png", "status": "failed", "error": "no memory", "no_memory": True})
    lines.append({"report": "/out/report.html", "stamp": "17"})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def jobs(sources: str, out: str, recipe: Recipe) -> list:  # type: ignore[type-arg]
    entries = [Entry(f"{sources}/{name}", name, 100, "17") for name in SOURCES]
    return proposed(entries, out, recipe)


def make(chance: Random) -> bytes:
    lines = whole().splitlines()
    if chance.random() < 0.3:
        return mutated(whole(), chance)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(lines))
        kind = chance.randrange(6)
        if kind < 3:
            lines[place] = json_line(lines[place], chance)
        elif kind == 3:
            lines[place] = lines[place][: chance.randrange(len(lines[place]) + 1)]
        elif kind == 4:
            lines.insert(chance.randrange(len(lines)), lines.pop(place))
        else:
            lines[place] = mutated(lines[place], chance)
    return b"\n".join(lines)


def run(case: bytes, folder: Path) -> None:
    out, recipe = folder / "out", Recipe(model="lite")
    (out / "below").mkdir(parents=True)
    (out / NAME).write_bytes(case)
    (folder / "report.html").touch()
    for name in ("a.png", "b.png", "below/c.png"):
        (out / name).touch()
    todo = jobs(str(folder / "in"), str(out), recipe)
    for rehash in (False, True):
        with journal(str(out)) as lines:
            now = pending(todo, lines, recipe, Policy(rehash=rehash))
            assert {job.name for job in now.todo} | {each.name for each in now.refused} <= {
                job.name for job in todo
            }
            record_intent(now.todo, lines, recipe)
            assert not lines.wrote(folder / "report.html"), "whatever the journal says of it"
            made = overview.overview(todo, lines, recipe)
    for name in report.REPORT_FORMATS:
        report.text(made, name)
    overview.check_report(folder / "other.html", lines, overwrite=False)
