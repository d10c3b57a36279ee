"""srup upscale: one or a few images."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srup.batch.executors.threads import in_order
from srup.cli import completion, console, options
from srup.cli.commands import Command
from srup.errors import UsageError
from srup.files import writing
from srup.pipeline import STANDARD, Destination, Job, Recipe, Result, Worker, check
from srup.printable import printable
from srup.progress import StageProgress
from srup.report import plain
from srup.serve.client import Client, Server
from srup.storage import Entry

if TYPE_CHECKING:  # it measures, and brings what that takes
    from srup.forecast import Forecast


@click.command("upscale", cls=Command)
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=completion.files
)
@click.option(
    "-o",
    "--output",
    help="A file, a folder for several, or - for standard output.  [default: beside the input]",
    shell_complete=completion.files,
)
@options.recipe()
@click.option("--suffix", help="Added to the input's name.  [default: _x4, or _800x600]")
@options.overwrite
@click.option("--dry-run", is_flag=True, help="Say what would be done and what it takes.")
@options.server
@options.as_json
@options.verbose
def command(
    inputs: tuple[str, ...],
    output: str | None,
    recipe: Recipe,
    suffix: str | None,
    overwrite: bool,
    dry_run: bool,
    server: Server | None,
    as_json: bool,
    verbose: bool,
) -> int:
    """Enlarge images: photographs, animations, documents of many pages.

    \b
    srup upscale photo.jpg                         photo_x4.png, beside it
    srup upscale photo.jpg -s 2.5 -m imdn -o big.webp
    srup upscale *.png --width 1920 -o larger/
    cat photo.jpg | srup upscale - -s 2 -o - -f jpeg > large.jpg
    """
    console.start_logging(verbose)
    check(recipe)  # an unknown name ends it before any work
    _check(inputs, output)
    # a picture on standard output leaves no room there for words
    piped = output == STANDARD or (output is None and STANDARD in inputs)
    jobs = [_job(path, output, suffix, overwrite) for path in inputs]
    code = 0
    with console.stages() as progress:
        results = _results(jobs, recipe, server, progress, dry_run=dry_run)
        for result, forecast in results:
            # the gravest of the failures: wrong usage before a damaged image
            if result.error:
                code = max(code, result.error.exit_code)
            _tell(result, forecast, as_json, aside=piped)
    return code


def _check(inputs: Sequence[str], output: str | None) -> None:
    """Refuses what cannot be meant, and makes the output folder. Raises UsageError, WriteError."""
    several = len(inputs) > 1
    if output == STANDARD and sys.stdout is None:
        raise UsageError("standard output is closed", "name a file with {output}")
    if (output == STANDARD or (output is None and STANDARD in inputs)) and _is_terminal():
        raise UsageError(
            "standard output is a terminal; send it into a file with >", "or name one with {output}"
        )
    if output == STANDARD and several:
        raise UsageError("standard output takes one image", "name a folder with {output}")
    if output is None or output == STANDARD:
        return
    if _is_folder(output):
        with writing(Path(output)):
            Path(output).mkdir(parents=True, exist_ok=True)
    elif several:
        raise UsageError(
            f"several images need a folder to go to, and {output} is none; create it",
            "or name another with {output}",
        )
    # results are named after their inputs, so two of one name would be one file
    if several:
        _check_names(inputs, output)


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _is_folder(output: str) -> bool:
    with writing(Path(output)):  # a name may be too long to be looked up
        return output.endswith(("/", "\\")) or Path(output).is_dir()


def _check_names(inputs: Sequence[str], folder: str) -> None:
    """Raises UsageError if two inputs would become one file."""
    (name, count), *_ = Counter(Path(path).stem for path in inputs).most_common(1)
    if count > 1:
        about = f"several inputs are called {name} and would become one file in {folder}"
        raise UsageError(f"{about}; take them one by one")


def _job(path: str, output: str | None, suffix: str | None, overwrite: bool) -> Job:
    source = Entry(path, path if path == STANDARD else Path(path).name)
    if output == STANDARD or (output is None and path == STANDARD):
        return Job(path, source, Destination(STANDARD, suffix=suffix))
    if output is None:
        folder = Destination(str(Path(path).parent), True, suffix, overwrite)
        return Job(path, source, folder)
    return Job(path, source, Destination(output, _is_folder(output), suffix, overwrite))


def _results(
    jobs: Sequence[Job],
    recipe: Recipe,
    server: Server | None,
    progress: StageProgress,
    *,
    dry_run: bool,
) -> Iterator[tuple[Result, Forecast | None]]:
    """What becomes of the jobs, here or on a server; or what would, and what it would take."""
    if server is None and dry_run:
        return _forecasts(jobs, Worker(recipe, progress=progress))
    if server is None:
        made = in_order(jobs, Worker(recipe, progress=progress))
    elif dry_run:
        raise UsageError("a server makes no forecast", "leave out {dry_run}", "or {server}")
    else:
        made = map(Client(server, recipe, progress=progress).process, jobs)
    return ((result, None) for result in made)


def _forecasts(jobs: Sequence[Job], worker: Worker) -> Iterator[tuple[Result, Forecast | None]]:
    from srup.forecast import forecast_of, process_age

    # what importing took is part of what the first image will take
    starting = process_age()  # is in the seconds of the first image
    for job in jobs:
        result, found = forecast_of(job, worker)
        if found:
            found = replace(found, seconds=found.seconds + starting)
            starting = 0.0
        yield result, found


def _tell(result: Result, forecast: Forecast | None, as_json: bool, *, aside: bool) -> None:
    """Says what became of one input: on standard error, where standard output is for a picture."""
    if result.error:
        console.error(result.error)
    if as_json:
        click.echo(json.dumps(_facts(result, forecast)), err=aside)
    elif not result.error and not console.is_quiet():
        click.echo(_line(result, forecast), err=aside)


def _line(result: Result, forecast: Forecast | None) -> str:
    """photo.jpg → photo_x4.png  3072×2048  lite ×4  1.2 s"""
    width, height = result.after or (0, 0)
    took = f"{result.seconds:.1f} s"
    if forecast:
        took = f"would take {forecast}"
    pages = ""
    if result.pages:
        pages = f"  {result.pages} {'frames' if result.animated else 'pages'}"
    size = f"{width}×{height}{pages}"
    names = printable(f"{result.source} → {result.destination}")
    return f"{names}  {size}  {result.networks}  {took}"


def _facts(result: Result, forecast: Forecast | None) -> dict[str, object]:
    """A result as one JSON record."""
    facts: dict[str, object] = {
        "input": result.source,
        "output": result.destination or None,
        "before": result.before,
        "after": result.after,
        "pages": result.pages,
        "animated": result.animated if result.pages else None,
        "networks": result.networks or None,
        "why": result.why or None,
    }
    if result.status == "done":
        facts |= {"seconds": result.seconds, "consistency": plain(result.consistency)}
    if forecast:
        facts["forecast"] = asdict(forecast)
    if result.error:
        facts["error"] = console.told(result.error)
    return {name: value for name, value in facts.items() if value is not None}
