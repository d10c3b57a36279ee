"""srup models: what there is, and its weights in the cache."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.markup import escape

from srup.cli import console, options
from srup.errors import UsageError, WeightsError
from srup.models import registry, weights
from srup.models.registry import Model


@click.group("models", invoke_without_command=True)
@options.as_json
@click.option("--markdown", is_flag=True, help="The table as in the README.")
@click.pass_context
def command(ctx: click.Context, as_json: bool, markdown: bool) -> None:
    """Show the networks; fetch, check and remove their weights.

    Parameters and multi-adds (for an output of 1280×720) are those of the largest scale; PSNR is what the papers print for
    Set5 (Y), scale by scale.
    """
    console.start_logging(False)
    if ctx.invoked_subcommand is not None:
        return
    if as_json:
        for model in registry.MODELS:
            click.echo(json.dumps(_facts(model)))
        return
    if markdown:
        click.echo(_markdown())
        return
    table = console.table(*COLUMNS, "weights", right=("parameters", "multi-adds", "Set5"))
    for name in registry.names():
        rows = list(registry.find(name).values())
        table.add_row(*_cells(rows), _state(rows))
    console.out.print(table)
    console.out.print(
        f"\n[dim]Set5: Y-PSNR as published. The default is {registry.DEFAULT}. More: srup models info NAME[/]"
    )


COLUMNS = ("name", "scales", "parameters", "multi-adds", "Set5", "licence")


def _cells(rows: list[Model]) -> tuple[str, ...]:
    """What the table says of a name's rows, the largest scale last."""
    published = [f"{row.published['Set5'][0]:.2f}" for row in rows if "Set5" in row.published]
    return (
        rows[0].name,
        " ".join(_scale(row) for row in rows),
        f"{rows[-1].parameters / 1e3:,.0f} K",
        f"{rows[-1].multi_adds:,.1f} G",
        " / ".join(published) or "–",
        rows[0].licence,
    )


def _state(rows: list[Model]) -> str:
    """Where the weights of a name's rows are; scales that were never released count only where there are no others."""
    states = {_scale(row): _where(row) for row in [row for row in rows if row.released] or rows}
    alike = len(set(states.values())) == 1 and len(states) == len(rows)
    return (
        next(iter(states.values()))
        if alike
        else ", ".join(f"{scale} {state}" for scale, state in states.items())
    )


def _markdown() -> str:
    tables = [list(registry.find(name).values()) for name in registry.names()]
    rows = [
        (*COLUMNS, "paper"),
        ("---",) * (len(COLUMNS) + 1),
        *((*_cells(table), table[0].paper) for table in tables),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


@command.command("info")
@click.argument("name")
@options.as_json
def info(name: str, as_json: bool) -> None:
    """All that is known of a network."""
    for model in registry.find(name).values():
        facts = _facts(model)
        if as_json:
            click.echo(json.dumps(facts))
            continue
        console.out.print(f"[bold]{model.name} {_scale(model)}[/]")
        for key, value in facts.items():
            if value and key not in ("name", "scale"):
                console.out.print(f"  {key.replace('_', ' '):<11} {escape(_readable(value))}")


@command.command("download")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every network there is.")
def download(names: tuple[str, ...], everything: bool) -> int:
    """Fetch weights ahead of use, for a machine that will be offline."""
    failed = 0
    for model in _chosen(names, everything):
        try:
            with console.download(model.file) as progress:
                path = weights.verified(model, progress=progress)
        except WeightsError as error:
            console.error(str(error))
            failed = error.exit_code
        else:
            click.echo(path)
    return failed


@command.command("verify")
@click.argument("names", nargs=-1)
def verify(names: tuple[str, ...]) -> int:
    """Check the weights in the cache against what was published."""
    wrong = 0
    for model in _chosen(names, everything=not names):
        path = _path(model)
        if not path.exists():
            verdict = "not here"
        elif not model.digest or weights.matches(path, model.digest):
            verdict = "right"
        else:
            verdict, wrong = (
                "damaged: srup models remove it, and it is fetched anew",
                WeightsError.exit_code,
            )
        click.echo(f"{model.file}  {verdict}")
    return wrong


@command.command("path")
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """Where weights lie: the folder, or the files of a network."""
    for place in (
        [_path(model) for model in _chosen((name,), False)] if name else [weights.path_of("")]
    ):
        click.echo(place)


@command.command("remove")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every network there is.")
def remove(names: tuple[str, ...], everything: bool) -> None:
    """Delete weights from the cache, broken-off downloads too."""
    for model in _chosen(names, everything):
        target = weights.path_of(model.file)
        for file in (
            target,
            target.with_name(f"{target.name}.part"),
            target.with_name(f"{target.name}.lock"),
        ):
            if model.urls and file.exists():
                file.unlink()
                click.echo(f"removed {file}")


def _chosen(names: tuple[str, ...], everything: bool) -> list[Model]:
    if not names and not everything:
        raise UsageError("name a network, or take --all; srup models lists them")
    rows = (
        registry.MODELS
        if everything
        else [model for name in names for model in registry.find(name).values()]
    )
    return list({model.file: model for model in rows}.values())


def _path(model: Model) -> Path:
    return weights.verified(model) if weights.packaged(model) else weights.path_of(model.file)


def _scale(model: Model) -> str:
    return f"×{model.scale}" if model.scale else "any"


def _where(model: Model) -> str:
    if not model.released:
        return "own only"
    if weights.packaged(model):
        return "in srup"
    return "cached" if weights.path_of(model.file).exists() else "to fetch"


def _facts(model: Model) -> dict[str, object]:
    return {
        "name": model.name,
        "scale": model.scale or "any",
        "parameters": model.parameters,
        "multi_adds": model.multi_adds,
        "published": dict(model.published),
        "paper": model.paper,
        "licence": model.licence,
        "note": model.note,
        "weights": str(_path(model)),
        "state": _where(model),
        "urls": list(model.urls),
        "digest": model.digest,
    }


def _readable(value: object) -> str:
    if isinstance(value, dict):
        return " · ".join(
            f"{name} {psnr:.2f} dB{f' {ssim:.4f}' if ssim else ''}"
            for name, (psnr, ssim) in value.items()
        )
    return (
        ", ".join(map(str, value))
        if isinstance(value, list)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )
