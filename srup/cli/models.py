"""srup models: the networks of the registry, and their weights in the cache."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from srup.cli import completion, console, options
from srup.cli.commands import Group
from srup.errors import UsageError, WeightsError
from srup.files import writing
from srup.models import community, registry, weights
from srup.models.choosing import CLEAN, PHOTO
from srup.models.registry import Model

COLUMNS = ("name", "scales", "for", "parameters", "multi-adds", "Set5", "licence")
SHORT = ("name", "scales", "for")  # of these, the ones that narrow terminals show
WIDE = 132  # columns of a terminal that shows all
FIRST = ("name", "scale")  # facts that `srup models info` shows in the heading
RIGHT, DAMAGED, MISSING = "right", "damaged", "not here"  # what `srup models verify` says
REMEDY = ": srup models remove it, and it is fetched anew"


@click.group(
    "models",
    cls=Group,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",
)
@options.as_json
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, markdown: bool) -> None:
    """Show the networks; fetch, check and remove their weights.

    A wide terminal shows parameters, multi-adds (for an output of 1280×720, both of the largest
    scale), what papers print for Set5 (Y-PSNR, scale by scale) and licences, too.
    """
    console.start_logging(False)
    if ctx.invoked_subcommand is not None:
        return
    added = [row for name in community.added() for row in registry.find(name).values()]
    if as_json:
        for model in (*registry.MODELS, *added):
            click.echo(json.dumps(_facts(model)))
        return
    if markdown:
        click.echo(_markdown())
        return
    columns = COLUMNS if console.out.width >= WIDE else SHORT
    table = console.table(*columns, "weights", right=("parameters", "multi-adds", "Set5"))
    for name in (*registry.names(), *community.added()):
        rows = list(registry.find(name).values())
        cells = dict(zip(COLUMNS, _cells(rows), strict=True))
        table.add_row(*(cells[column] for column in columns), _state(rows))
    console.out.print(table, soft_wrap=False)
    console.out.print(
        f"\n[dim]Without -m, srup takes {CLEAN} or {PHOTO}, by the picture.\n"
        "More of one, with its paper and scores: srup models info NAME[/]"
    )


def _cells(rows: Sequence[Model]) -> list[str]:
    """The cells of the table for the rows of one name, the largest scale last."""
    first, last = rows[0], rows[-1]
    published = [f"{row.published['Set5'][0]:.2f}" for row in rows if "Set5" in row.published]
    return [
        first.name,
        " ".join(map(_scale, rows)),
        registry.PURPOSES.get(first.name, first.note),
        f"{last.parameters / 1e3:,.0f} K",
        f"{last.multi_adds:,.1f} G",
        " / ".join(published) or "–",
        first.licence,
    ]


def _state(rows: Sequence[Model]) -> str:
    """Where the weights of one name's rows are.

    Scales that were never released are left out, unless there are no others.
    """
    # a scale that cannot be had would only be in the way
    counted = [row for row in rows if row.released] or rows
    states = {_scale(row): _where(row) for row in counted}
    if len(set(states.values())) == 1 and len(states) == len(rows):
        return next(iter(states.values()))
    return ", ".join(f"{scale} {state}" for scale, state in states.items())


def _markdown() -> str:
    lines = [_line([*COLUMNS, "paper"]), _line(["---"] * (len(COLUMNS) + 1))]
    for name in registry.names():
        rows = list(registry.find(name).values())
        lines.append(_line([*_cells(rows), rows[0].paper]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


@command.command("info")
@click.argument("name", shell_complete=completion.networks)
@options.as_json
def info(name: str, as_json: bool) -> None:
    """Show everything that is known of a network."""
    from rich.markup import escape

    for model in registry.find(name).values():
        facts = _facts(model)
        if as_json:
            click.echo(json.dumps(facts))
            continue
        console.out.print(f"[bold]{model.name} {_scale(model)}[/]")
        for key, value in facts.items():
            if value and key not in FIRST:
                console.out.print(f"  {key.replace('_', ' '):<11} {escape(_readable(value))}")


@command.command("add")
@click.argument("file", type=click.Path())
@click.option("--name", help="What to call it.  [default: as the file is called]")
def add(file: str, name: str | None) -> None:
    """Keep a checkpoint of any known network, to be run by its name."""
    click.echo(community.add(file, name))


@command.command("download")
@click.argument("names", nargs=-1, shell_complete=completion.networks)
@click.option("--all", "everything", is_flag=True, help="Download every network.")
def download(names: tuple[str, ...], everything: bool) -> int:
    """Fetch weights ahead of use, for a machine that will be offline."""
    failed = 0
    for model in _chosen(names, everything=everything):
        try:
            with console.download(model.file) as progress:
                path = weights.verified(model, progress=progress)
        # the others are still fetched: who prepares for being offline wants all there is
        except WeightsError as error:
            console.error(error)
            failed = error.exit_code
        else:
            click.echo(path)
    return failed


@command.command("verify")
@click.argument("names", nargs=-1, shell_complete=completion.networks)
@options.as_json
def verify(names: tuple[str, ...], as_json: bool) -> int:
    """Check the weights in the cache against their published digests.

    Of all networks, those that are not here are only counted.
    """
    chosen = _chosen(names, everything=not names)
    verdicts = list(map(_verdict, chosen))
    for model, verdict in zip(chosen, verdicts, strict=True):
        if as_json:
            click.echo(json.dumps(_checked(model, verdict)))
        elif names or verdict != MISSING:
            click.echo(f"{model.file}  {verdict}{REMEDY if verdict == DAMAGED else ''}")
    missing = verdicts.count(MISSING)
    if missing and not names and not as_json:
        click.echo(f"{missing} {'others are' if missing > 1 else 'other is'} {MISSING}")
    return 0 if {RIGHT, MISSING}.issuperset(verdicts) else WeightsError.exit_code


def _verdict(model: Model) -> str:
    """What is to be said of a file of weights."""
    path = _path(model)
    try:
        path.stat()
        # the digest of a file of one's own is not known
        right = not model.digest or weights.matches(path, model.digest)
    except (FileNotFoundError, NotADirectoryError):
        return MISSING
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return RIGHT if right else DAMAGED


def _checked(model: Model, verdict: str) -> dict[str, str]:
    """A file of weights as a record."""
    names = {"name": model.name, "file": model.file, "path": str(_path(model))}
    return {**names, "verdict": verdict}


@command.command("path")
@click.argument("name", required=False, shell_complete=completion.networks)
def path(name: str | None) -> None:
    """Print where weights are kept: a folder, or one network's files."""
    if name is None:
        click.echo(weights.path_of(""))
        return
    for model in _chosen([name], everything=False):
        click.echo(_path(model))


@command.command("remove")
@click.argument("names", nargs=-1, shell_complete=completion.networks)
@click.option("--all", "everything", is_flag=True, help="Remove the weights of every network.")
def remove(names: tuple[str, ...], everything: bool) -> None:
    """Delete weights from the cache, broken-off downloads too."""
    kept = [name for name in names if name in community.added()]
    for name in kept:
        click.echo(f"removed {community.remove(name)}")
    names = tuple(name for name in names if name not in kept)
    if kept and not names:
        return
    for model in _chosen(names, everything=everything):
        target = weights.path_of(model.file)
        if model.urls:  # without URLs it could not be fetched again
            for ending in ("", ".part", ".lock", ".holder"):
                _remove(target.with_name(f"{target.name}{ending}"))


def _remove(file: Path) -> None:
    """Removes a file if it is there. Raises WriteError."""
    with suppress(FileNotFoundError, NotADirectoryError):
        file.lstat()
        with writing(file):
            file.unlink()
        click.echo(f"removed {file}")


def _chosen(names: Sequence[str], *, everything: bool) -> list[Model]:
    """The rows of the named networks or of all, one for each weights file."""
    if not names and not everything:
        raise UsageError("name a network, or take --all; srup models lists them")
    rows = list(registry.MODELS)
    if not everything:
        rows = [model for name in names for model in registry.find(name).values()]
    # several scales may share a file
    return list({model.file: model for model in rows}.values())


def _path(model: Model) -> Path:
    """Where a network's weights are, or will be once they are fetched."""
    if weights.packaged(model):
        return weights.verified(model)
    return weights.path_of(model.file)


def _scale(model: Model) -> str:
    return f"×{model.scale}" if model.scale else "any"


def _where(model: Model) -> str:
    """Where a network's weights come from now."""
    if not model.released:
        return "own only"
    if model.is_file:
        return "added"
    if weights.packaged(model):
        return "in srup"
    return "cached" if weights.cached(model) else "to fetch"


def _facts(model: Model) -> dict[str, object]:
    return {
        "name": model.name,
        "scale": model.scale or "any",
        "for": registry.PURPOSES.get(model.name, model.note),
        "parameters": model.parameters,
        "multi_adds": model.multi_adds,
        "published": dict(model.published),
        "paper": model.paper,
        "licence": model.licence,
        "note": model.note,
        "windows": community.sight_in_words(model) if model.is_file else "",
        "weights": str(_path(model)),
        "state": _where(model),
        "urls": list(model.urls),
        "digest": model.digest,
    }


def _readable(value: object) -> str:
    """A fact as text for people."""
    if isinstance(value, dict):
        scores = []
        for data_set, (psnr, ssim) in value.items():
            score = f"{data_set} {psnr:.2f} dB"
            scores.append(f"{score} {ssim:.4f}" if ssim else score)
        return " · ".join(scores)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
