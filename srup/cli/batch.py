"""srup batch: folders of images."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import click

from srup import batch, report, storage
from srup.batch.executors.processes import in_processes
from srup.batch.executors.threads import in_threads
from srup.batch.leftovers import remove_partial_files
from srup.batch.overview import check_report, write_report
from srup.batch.pending import portions
from srup.batch.planning import OnCollision, proposed, size_of
from srup.batch.records import record, record_intent
from srup.batch.running import Executor
from srup.batch.shards import is_shard, shard_of
from srup.batch.streaming import Count, Sources, Stream, planned_or_streamed
from srup.cli import completion, console, options
from srup.cli.commands import Command
from srup.cli.signals import CODE, finishing
from srup.cli.types import Choice
from srup.errors import ReadError, UsageError
from srup.models import choosing, routing
from srup.pipeline import Job, Recipe, Result, Worker, check, standard_input
from srup.printable import printable

SHOWN = 3  # of many inputs, in a message


@dataclass(frozen=True)
class Inputs:
    """Where images come from and go to, and what results are called."""

    places: tuple[str, ...]
    list_file: str | None
    recursive: bool
    suffix: str
    on_collision: OnCollision
    column: str

    def __post_init__(self) -> None:
        if len(self.places) < 2 and self.list_file is None:
            usage = "srup batch photos/ larger/"
            raise UsageError(f"srup batch takes inputs and then the output folder: {usage}")

    @property
    def out(self) -> str:
        """The folder or URL that results go to."""
        return self.places[-1]

    @property
    def told(self) -> str:
        """The inputs in words: "photos/, a.jpg and 3 more"."""
        places = [*self.places[:-1], *([f"the list {self.list_file}"] if self.list_file else [])]
        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        return ", ".join(places[:SHOWN]) + more

    def nothing_found(self) -> str:
        """What to say where there is no image among the inputs."""
        folders = any(Path(place).is_dir() for place in self.places[:-1])
        deeper = "; -r looks into the folders below, too" if folders and not self.recursive else ""
        return f"no images found in {self.told}{deeper}"

    def absolute(self) -> Inputs:
        """The same as processes with other working folders find it."""
        return replace(self, places=tuple(map(storage.absolute, self.places)))

    def jobs(self, recipe: Recipe) -> list[Job] | Stream:
        """The images there are now; of very many, what finds them one after the other.

        Raises ReadError, UsageError.
        """
        with console.busy("looking for images"):
            return planned_or_streamed(
                self.sources,
                self.out,
                recipe,
                suffix=self.suffix,
                on_collision=self.on_collision,
            )

    def proposed(self, recipe: Recipe) -> list[Job]:
        """All of them, those included that are in conflict with others. Raises ReadError."""
        return proposed(
            list(self.sources),
            self.out,
            recipe,
            suffix=self.suffix,
            on_collision=self.on_collision,
        )

    @property
    def sources(self) -> Sources:
        """What is looked through. Raises ReadError for a list that cannot be read."""
        return Sources(self.places[:-1], tuple(self.lines), self.recursive)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the list, if there is one, read once. Raises ReadError."""
        if self.list_file is None:
            return []
        if self.list_file == "-":
            return _names(standard_input())
        try:
            return _names(Path(self.list_file).read_bytes())
        except OSError as error:
            advice = "give a text file with one image a line"
            raise ReadError(f"cannot read {self.list_file}: {error}; {advice}") from error


def _names(lines: bytes) -> list[str]:
    # names of files need not be UTF-8, and may hold anything but a line feed
    return os.fsdecode(lines).split("\n")


@dataclass(frozen=True)
class Workers:
    """What jobs are shared out to."""

    threads: int
    cluster: str | None
    cores: int

    def executor(self, recipe: Recipe) -> tuple[Executor, Recipe]:
        """Threads, or a process for each of several devices, or a cluster; and the recipe for the
        device.
        """
        if self.cluster is not None:
            return self._on_cluster(recipe), recipe
        names = recipe.run_options.device.split(",")
        if names == ["all"]:
            from srup.inference.engines.pytorch import devices

            # only to list cards takes PyTorch, which takes seconds to import
            names = devices()
        if len(names) == 1:
            return partial(in_threads, threads=self.threads), recipe.on(names[0])
        return partial(in_processes, devices=names, threads=self.threads), recipe

    def _on_cluster(self, recipe: Recipe) -> Executor:
        from srup.batch.executors.ray import connect, on_cluster

        if recipe.run_options.device != "auto":
            about = "a cluster takes what its nodes have, and a device is one of this machine"
            raise UsageError(f"{about}; give one of them")
        # before the journal is opened, so that a cluster that is down changes nothing
        connect(str(self.cluster))
        return partial(on_cluster, cores=self.cores, threads=self.threads)


@dataclass(frozen=True)
class Output:
    """What is shown of a run."""

    report_file: Path | None
    as_json: bool
    verbose: bool

    def __post_init__(self) -> None:
        if self.report_file:
            report.check(self.report_file)

    def check_report(self, journal: batch.Journal, policy: batch.Policy) -> None:
        """Checks before any work that the report, if one was asked for, replaces nobody's file."""
        if self.report_file:
            check_report(self.report_file, journal, overwrite=policy.overwrite)

    def write_report(
        self, jobs: Iterable[Job], journal: batch.Journal, recipe: Recipe, policy: batch.Policy
    ) -> None:
        """Writes what became of each job, if a report was asked for."""
        if self.report_file:
            overwrite = policy.overwrite
            write_report(self.report_file, list(jobs), journal, recipe, overwrite=overwrite)


_places = click.argument(
    "places", nargs=-1, required=True, metavar="[IN...] OUT", shell_complete=completion.files
)
_inputs = (
    _places,
    click.option(
        "--from",
        "list_file",
        metavar="FILE",
        help="A list of images, one a line; - for standard input.",
        shell_complete=completion.files,
    ),
    click.option(
        "-r",
        "--recursive",
        is_flag=True,
        help="Take all below the folders; OUT gets the same tree.",
    ),
    click.option("--suffix", default="", help="Added to the names.  [default: none]"),
    click.option(
        "--on-collision",
        type=Choice(["refuse", "suffix"]),
        default="refuse",
        show_default=True,
        help="For a.jpg and a.png: refuse, or make a_jpg.png and a_png.png.",
    ),
    click.option(
        "--column",
        default=Recipe.column,
        show_default=True,
        help="The column of Parquet files that holds the images.",
    ),
)
_workers = (
    click.option(
        "-j",
        "--jobs",
        "threads",
        type=click.IntRange(1),
        default=3,
        show_default=True,
        help="Images on their way at a time.",
    ),
    click.option(
        "--cluster",
        metavar="ADDRESS|local",
        help="Share out to the workers of a Ray cluster; IN and OUT may then be URLs.",
    ),
    click.option(
        "--cores",
        type=click.IntRange(1),
        default=4,
        show_default=True,
        help="Cores of a cluster's worker that has no GPU.",
    ),
)
_policy = (
    options.overwrite,
    click.option(
        "--rehash", is_flag=True, help="Tell changed inputs by content, not size and time."
    ),
    click.option("--fail-fast", is_flag=True, help="Stop at the first failure."),
)
_output = (
    click.option(
        "--report",
        "report_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Write what became of each image, as .html, .csv, .json or .md.",
    ),
    options.as_json,
    options.verbose,
)


@click.command("batch", cls=Command)
@options.gathered("inputs", Inputs, _inputs)
@options.recipe(device=options.devices)
@options.gathered("workers", Workers, _workers)
@options.gathered("policy", batch.Policy, _policy)
@options.gathered("output", Output, _output)
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


@dataclass
class Tally:
    """What has come of a batch so far. Pixels are those of the inputs."""

    done: int = 0
    before: int = 0
    left: set[str] = field(default_factory=set)
    stream: Stream | None = None  # of which nobody knows how many there are
    count: Count | None = None
    pixels: int = 0
    shards: int = 0
    retries: int = 0
    in_shards: int = 0  # images, and those of them that failed
    failed_in_shards: int = 0
    failed: list[Result] = field(default_factory=list)
    partly: list[Result] = field(default_factory=list)  # shards with failed images, old or new
    started: float = field(default_factory=time.perf_counter)

    def take(self, result: Result) -> None:
        """Counts a result."""
        self.left.discard(result.name)
        self.retries += result.retries
        if result.status == "failed":
            self.failed.append(result)
            return
        self.done += 1
        self.shards += shard_of(result)
        self.in_shards += result.images or 0
        self.failed_in_shards += result.failed
        if result.error:
            self.partly.append(result)
        width, height = result.before or (0, 0)
        self.pixels += width * height

    @property
    def known(self) -> int:
        """How many images were come to so far."""
        return self.done + self.before + len(self.failed) + len(self.left)

    def tell(self, *, interrupted: bool) -> None:
        """Says in one line what was done, then what failed, and how to go on."""
        seconds = time.perf_counter() - self.started
        counts = [f"{self.done} done"]
        if self.before:
            counts.append(f"{self.before} were done before")
        counts.append(f"{len(self.failed)} failed")
        if self.left:
            more = self.count is not None and self.known < self.count.found
            counts.append(f"{'more than ' * more}{len(self.left)} left")
        if self.in_shards:
            inside = f"{self.in_shards} image{'s' * (self.in_shards != 1)} in shards"
            counts.append(f"{inside}, of which {self.failed_in_shards} failed")
        if self.retries:
            counts.append(f"{self.retries} transfers were made again")
        rate = f"{(self.done - self.shards + self.in_shards) / seconds:.2f} images/s"
        if not self.shards:  # the sizes of what is in them are not known here
            rate += f", {self.pixels / 1e6 / seconds:.2f} megapixels/s"
        summary = f"{', '.join(counts)}: {console.duration(seconds)}, {rate}"
        console.line(summary, always=True)
        for result in (*self.failed, *self.partly):
            if result.error:
                console.error(result.error)
        if interrupted or self.left:
            console.line(f"to go on: {_same_command()}", always=True)


def _same_command() -> str:
    """The command line that goes on where this one was stopped."""
    # what -y allowed is in the journal now; with it all would be made anew
    words = [word for word in sys.argv[1:] if word not in ("-y", "--overwrite")]
    return shlex.join(["srup", *words])


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
