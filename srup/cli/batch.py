"""srup batch: folders of images."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from srup import batch, storage
from srup.batch.leftovers import remove_partial_files
from srup.batch.pending import portions
from srup.batch.planning import size_of
from srup.batch.records import record, record_intent
from srup.batch.shards import is_shard, shard_of
from srup.batch.streaming import Count, Stream
from srup.cli import batch_options, console, options
from srup.cli.batch_options import Inputs, Output, Workers
from srup.cli.commands import Command
from srup.cli.signals import CODE, finishing
from srup.cli.tally import Tally
from srup.errors import UsageError
from srup.models import choosing, routing
from srup.pipeline import Job, Recipe, Result, Worker, check
from srup.printable import printable


@click.command("batch", cls=Command)
@batch_options.inputs
@options.recipe(device=options.devices)
@batch_options.workers
@batch_options.policy
@batch_options.output
@click.option("--watch", is_flag=True, help="Stay, and enlarge what arrives.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and what it takes.")
def command(
    inputs: Inputs,
    recipe: Recipe,
    workers: Workers,
    policy: batch.Policy,
    watch: bool,
    output: Output,
    dry_run: bool,
) -> int:
    """Enlarge folders of images: IN are folders, files or globs, OUT is a folder.

    Tar and Parquet files are shards of images. What has been done is written down in OUT: run the
    same command again after a crash, and only what is missing, changed or failed is made.

    \b
    srup batch photos/ larger/
    srup batch -r photos/ larger/ -s 2 -m imdn -f jpeg
    find . -name '*.jpg' | srup batch --from - larger/
    """
    console.start_logging(output.verbose)
    check(recipe)  # an unknown name is met at once
    recipe = replace(recipe, column=inputs.column)
    if workers.cluster is not None:
        inputs = inputs.absolute()
    jobs = inputs.jobs(recipe)
    if not jobs and not watch:
        console.line(inputs.nothing_found())
        return 0
    if dry_run:
        return _forecast(list(jobs), recipe, inputs.out)
    executor, recipe = workers.executor(recipe)
    look = _Watch(partial(inputs.proposed, recipe), inputs.told) if watch else None
    stopped, tally = threading.Event(), Tally()
    with batch.journal(inputs.out) as journal, finishing(partial(_stop, stopped)) as received:
        output.check_report(journal, policy)
        _check_changes(jobs, journal, recipe, policy)
        tally.stream = jobs if isinstance(jobs, Stream) else None
        remove_partial_files(journal)  # of a run that was killed
        run = partial(batch.run, jobs, recipe, journal, executor, policy=policy)
        _follow(partial(run, look=look, stopped=stopped), recipe, tally, output, look)
        output.write_report(jobs, journal, recipe, policy)
    tally.tell(interrupted=bool(received))
    return CODE + received[0] if received else int(bool(tally.failed or tally.partly))


def _check_changes(
    jobs: Iterable[Job], journal: batch.Journal, recipe: Recipe, policy: batch.Policy
) -> None:
    """Raises UsageError if results would be replaced by others that nobody may have meant.

    What was agreed to before is in the journal as claimed: a run that was stopped goes on.
    """
    count = batch.made_otherwise(jobs, journal, recipe)
    if not count:
        return
    results = f"{'1 result' if count == 1 else f'{count} results'} in {journal.out}"
    changed = batch.settings_difference(journal, recipe) or "those of the last run, not of theirs"
    why = f"replaced, as the settings are others: {changed}"
    if not policy.overwrite:
        about = f"{results} would be {why}"
        raise UsageError(about, "{overwrite} replaces them", "another folder keeps both")
    console.line(f"{results} will be {why}")
    for portion in portions(jobs):  # of all, also those that are planned much later
        record_intent(portion, journal, recipe)


@dataclass
class _Watch:
    """Looks for what arrives; says so when it begins."""

    look: Callable[[], Sequence[Job]]
    places: str
    begun: bool = False

    def __call__(self) -> Sequence[Job]:
        """The jobs there are now."""
        if not self.begun:
            console.line(f"watching {self.places}; Ctrl-C ends it")
            self.begun = True
        return self.look()


def _follow(
    run: Callable[..., Iterator[Result]],
    recipe: Recipe,
    tally: Tally,
    output: Output,
    watch: _Watch | None,
) -> None:
    """Counts and shows the results of a run as they come; those that arrived one by one."""
    with console.Overall() as progress:
        for result in run(announce=partial(_announce, tally, progress)):
            if tally.stream and not tally.count:  # not before: it would be in the way of the first
                tally.count = Count(tally.stream)
            tally.take(result)
            if watch and watch.begun:
                _tell_arrival(result)
            progress.advance(result.name, _through(result))
            if output.as_json:
                click.echo(json.dumps(_facts(result, recipe)))


def _through(result: Result) -> float:
    """What a result counts for in progress, as `_megapixels` does of its job."""
    width, height = result.before or (0, 0)
    return (result.bytes if shard_of(result) else width * height) / 1e6


def _tell_arrival(result: Result) -> None:
    """Says what became of an image that arrived while watching."""
    if result.error:
        console.error(result.error)
    else:
        console.line(f"{result.source} → {result.destination}  {result.seconds:.1f} s")


def _facts(result: Result, recipe: Recipe) -> dict[str, object]:
    """A result as one JSON record, its error in the words of the command line."""
    facts = dict(record(result, recipe))
    if result.error:
        facts["error"] = console.told(result.error)
    return facts


def _announce(tally: Tally, progress: console.Overall, chosen: batch.Chosen) -> None:
    tally.left |= {job.name for job in chosen.todo}
    tally.before += chosen.before
    tally.partly += chosen.partly
    if tally.stream:
        found = tally.count.found if tally.count else 0
        progress.expect_in_all(max(found, tally.known) - tally.before)
    else:
        progress.expect(len(chosen.todo), sum(map(_megapixels, chosen.todo)))


def _megapixels(job: Job) -> float:
    """Megapixels of an input; where they cannot be known without fetching it, its megabytes."""
    unknown = storage.is_url(job.source.path) or is_shard(job.source.name)
    size = None if unknown else size_of(job)
    pixels = size[0] * size[1] if size else job.source.size
    return pixels / 1e6


def _stop(stopped: threading.Event) -> None:
    stopped.set()
    console.line("finishing what is being written; once more stops at once")


def _forecast(jobs: Sequence[Job], recipe: Recipe, out: str) -> int:
    """Says what a run would do, and what it would take if all images were like the middling one."""
    known: list[tuple[int, Job]] = []
    for job in jobs:
        shard = is_shard(job.source.name)
        size, after = size_of(job), "a shard" if shard else "cannot be read"
        if size:
            known.append((size[0] * size[1], job))
            after = "{}×{}".format(*recipe.target.size(size))
        click.echo(printable(f"{job.source.path} → {job.destination.place}  {after}"))
    # nothing can be read, which the lines above have said
    if not known:
        return 0
    # the middling image stands for all: measuring each would take as long as making them
    known.sort(key=lambda each: each[0])
    total, (pixels, middling) = sum(each[0] for each in known), known[len(known) // 2]
    megapixels = f"{total / 1e6:.1f} megapixels"
    console.line(f"{len(known)} images, {megapixels}; free in {out}: {_free(out)}")
    _forecast_like(middling, recipe, total / pixels)
    return 0


def _forecast_like(job: Job, recipe: Recipe, times: float) -> None:
    """Says what so many times a job takes; nothing where weights would have to be downloaded."""
    with console.busy("loading networks"):
        from srup.forecast import forecast_of

    device = recipe.run_options.device.split(",")[0]
    worker = Worker(recipe.on("auto" if device == "all" else device), many=True)
    factor = recipe.target.factor(size_of(job) or (1, 1))
    for name in choosing.networks_of(recipe.model):
        route = routing.route(name, factor, own_weights=recipe.weights is not None)
        if not worker.upscalers.at_hand(route):
            return
    with console.busy("measuring what it takes"):
        result, forecast = forecast_of(job, worker)
    if forecast is None:
        if result.error:
            console.error(result.error)
        return
    disk, seconds = forecast.disk * times / 1e9, forecast.seconds * times
    took = f"{disk:.2f} GB of disk and {console.duration(seconds)}"
    console.line(f"about {took}, by {job.source.path}")


def _free(out: str) -> str:
    """Room on the disk that the folder is on, or will be."""
    if storage.is_url(out):
        return "unknown"
    path = Path(out).absolute()
    while not path.exists():
        path = path.parent
    return f"{shutil.disk_usage(path).free / 1e9:.2f} GB"
