"""What the bytes of a result depend on, as the journal keeps it: a run with other settings would
replace results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from srup.batch.journal import Journal
from srup.files import hashed
from srup.images import EXTENSIONS, QUALITY
from srup.models import checkpoints, choosing, community, registry, routing
from srup.pipeline import Job, Recipe


def decisive(recipe: Recipe) -> dict[str, object]:
    """What the bytes of a result depend on, besides its input; what is as by default is left out
    where it can be.
    """
    run_options, encoding, read = recipe.run_options, recipe.encoding, recipe.read_options
    settings: dict[str, object] = {
        "model": _name(recipe.model),
        # 95 is written as nothing, as the first version did, so that its journals still fit
        "quality": None if encoding.quality == QUALITY else encoding.quality,
        "extension": EXTENSIONS[recipe.format or "png"],
        "tiling": run_options.tiling,
        "self_ensemble": run_options.self_ensemble,
        "engine": run_options.engine,
        "precision": run_options.precision,
    }
    optional: dict[str, object] = {"lossless": encoding.lossless, "palette": encoding.palette}
    optional |= {"strip": read.strip, "dpi": read.dpi}
    optional["column"] = recipe.column if recipe.column != Recipe.column else None
    if recipe.strength is not None:
        settings["strength"] = recipe.strength
    settings |= {name: value for name, value in optional.items() if value}
    settings |= {name: value for name, value in asdict(recipe.target).items() if value is not None}
    if recipe.target.scale:
        settings["scale"] = float(recipe.target.scale)  # 2 and 2.0 are one in JSON too
    settings["weights"] = _digests(recipe)
    return settings


def _digests(recipe: Recipe) -> list[str]:
    if recipe.weights:
        checkpoints.check_file(recipe.weights)
        return [f"sha256:{hashed(Path(recipe.weights))}"]
    names = [*choosing.networks_of(recipe.model)]
    if routing.CHAIN in recipe.model:
        names = recipe.model.split(routing.CHAIN)
    return list(dict.fromkeys(row.digest for name in names for row in registry.find(name).values()))


def _name(model: str) -> str:
    """A network's name; of a file that alone, wherever it lies: its digest tells it from others."""
    parts = model.split(routing.CHAIN)
    return routing.CHAIN.join(
        Path(each).name if community.is_file(each) else each for each in parts
    )


def settings_key(recipe: Recipe) -> str:
    """What is decisive of a recipe, in eight letters."""
    return hashlib.sha256(json.dumps(decisive(recipe), sort_keys=True).encode()).hexdigest()[:8]


def made_otherwise(jobs: Iterable[Job], journal: Journal, recipe: Recipe) -> int:
    """How many jobs have a result that was made with other settings, and will be made anew."""
    key, count = settings_key(recipe), 0
    if journal.keys <= {key}:  # then there is no need to look through many jobs
        return 0
    for job in jobs:
        line = journal.last.get(job.name, {})
        count += line.get("status") == "done" and line.get("key") != key
    return count


def settings_difference(journal: Journal, recipe: Recipe) -> str:
    """What a recipe changes of the settings of the journal's last run: "scale 4.0 → 2.0"; "" for
    nothing.
    """
    before, now = journal.settings, decisive(recipe)
    changes = []
    for name in {**before, **now}:
        if before.get(name) == now.get(name):
            continue
        if name == "weights":  # digests say nothing to people
            changes.append("other weights")
            continue
        said = name.replace("_", " ")
        changes.append(f"{said} {_said(before.get(name))} → {_said(now.get(name))}")
    if "model" in {**before, **now} and before.get("model") != now.get("model"):
        changes.remove("other weights")  # another network has others
    return ", ".join(changes)


def _said(value: object) -> str:
    """A setting as people write it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
