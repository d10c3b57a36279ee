"""srup batch: folders of images."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srup import storage
from srup.cli import console, options
from srup.errors import ReadError, UsageError
from srup.images import EXTENSIONS
from srup.inference.run_options import RunOptions
from srup.inference.target import Target
from srup.models import routing

if TYPE_CHECKING:
    from srup.batch.journal import Journal
    from srup.batch.planning import Job
    from srup.batch.running import Executor, Result, Settings
    from srup.report import Report

STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143}  # signal → exit code
BATCH_COLUMNS = {"seconds": ".2f", "consistency": ".1f"}  # of a report, and how they are shown
LOOK = 2.0  # seconds between looks of --watch; a file that did not change between two of them is complete


@click.command("batch")
@click.argument("places", nargs=-1, required=True, metavar="[IN...] OUT")
@click.option(
    "--from",
    "list_file",
    metavar="FILE",
    help="A list of images, one a line; - for standard input.",
)
@click.option(
    "-r", "--recursive", is_flag=True, help="All below the folders; OUT gets the same tree."
)
@options.wanted
@options.model
@options.weights
@options.run_options(device=options.devices)
@click.option(
    "-j",
    "--jobs",
    "threads",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Images on their way at a time.",
)
@click.option(
    "--cluster",
    metavar="ADDRESS|local",
    help="Over the workers of a Ray cluster; IN and OUT may then be URLs.",
)
@click.option(
    "--cores",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Of a worker of the cluster without a GPU.",
)
@options.format_
@options.quality
@click.option("--suffix", default="", help="Added to the names.  [default: none]")
@click.option(
    "--on-collision",
    type=click.Choice(["refuse", "suffix"]),
    default="refuse",
    show_default=True,
    help="Of a.jpg and a.png: refuse, or make a_jpg.png and a_png.png.",
)
@click.option(
    "--rehash", is_flag=True, help="Tell changed inputs by their content, not by size and time."
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first failure.")
@click.option("--watch", is_flag=True, help="Stay, and enlarge what arrives.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option(
    "--report",
    "report_file",
    metavar="FILE",
    help="What became of each image, as .html, .csv, .json or .md.",
)
@options.overwrite
@options.as_json
@click.option("--quiet", is_flag=True, help="Failures and the summary only.")
@options.verbose
def command(
    places: tuple[str, ...],
    list_file: str | None,
    recursive: bool,
    wanted: Target,
    model: str,
    weights: str | None,
    run_options: RunOptions,
    threads: int,
    cluster: str | None,
    cores: int,
    format_: str,
    quality: int | None,
    suffix: str,
    on_collision: str,
    rehash: bool,
    fail_fast: bool,
    watch: bool,
    dry_run: bool,
    report_file: str | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Enlarge folders of images: IN are folders, files or globs, OUT is a folder.

    What has been done is written down in OUT: run the same command again after a crash, and only what is missing, changed or failed
    is made.

    \b
    srup batch photos/ larger/
    srup batch -r photos/ larger/ -s 2 -m imdn -f jpeg
    find . -name '*.jpg' | srup batch --from - larger/
    """
    console.start_logging(verbose)
    routing.route(model, wanted.scale or 1)
    from srup import report
    from srup.batch import planning, running
    from srup.batch.journal import journal

    if report_file:
        report.check(Path(report_file))
    *inputs, out = places if cluster is None else map(storage.absolute, places)
    if not inputs and list_file is None:
        raise UsageError(
            "srup batch takes inputs and then the output folder: srup batch photos/ larger/"
        )
    listed = _lines(list_file) if list_file else []
    settings = running.Settings(
        out, wanted, model, weights, run_options, quality, EXTENSIONS[format_ or "png"]
    )

    def plan() -> list[Job]:
        sources = [
            *planning.find(inputs, recursive=recursive),
            *planning.read_list(listed, recursive=recursive),
        ]
        return planning.plan(
            sources, out, suffix=suffix, extension=settings.extension, on_collision=on_collision
        )

    planned = plan()
    if dry_run:
        return _forecast(planned, settings)
    stopped = threading.Event()
    drive = (
        _on_cluster(settings, cluster, cores, threads, stopped)
        if cluster
        else _drive(settings, threads, stopped)
    )
    with journal(out) as lines, _signals(stopped, out) as received:
        running.clear(out)
        if difference := running.otherwise(planned, lines, settings):
            console.warning(
                f"the settings have changed, and what was made with the old ones is made anew: {difference}"
            )
        work = _Work(settings, lines, drive, stopped, fail_fast, as_json, quiet)
        look = partial(running.pending, journal=lines, settings=settings, rehash=rehash)
        work.do(*look(planned, overwrite=overwrite), of=len(planned))
        if watch and not stopped.is_set():
            _watch(work, plan, look)
        running.clear(out)  # of workers that died
        lines.copy()
        if report_file:
            report.write(_report(planned, lines, settings), Path(report_file))
    work.tally.tell(interrupted=bool(received))
    return STOPPED[received[0]] if received else 1 if work.tally.failed else 0


@dataclass
class Tally:
    """What has come of a batch so far. Pixels are those of the inputs."""

    done: int = 0
    already: int = 0
    left: int = 0
    pixels: int = 0
    failed: list[Result] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter)

    def take(self, result: Result) -> None:
        self.left -= 1
        if result.status == "failed":
            self.failed.append(result)
        else:
            self.done += 1
            width, height = result.before or (0, 0)
            self.pixels += width * height

    def rate(self) -> str:
        seconds = time.perf_counter() - self.started
        return f"{self.done / seconds:.2f} images/s, {self.pixels / 1e6 / seconds:.2f} megapixels/s"

    def tell(self, *, interrupted: bool) -> None:
        seconds = time.perf_counter() - self.started
        already = f", {self.already} were done before" if self.already else ""
        left = f", {self.left} left" if self.left else ""
        console.line(
            f"{self.done} done{already}, {len(self.failed)} failed{left}: {console.duration(seconds)}, {self.rate()}"
        )
        for result in self.failed:
            console.error(result.error or "")
        if interrupted or self.left:
            console.line(f"to go on: {shlex.join(['srup', *sys.argv[1:]])}")


@dataclass
class _Work:
    """A batch under way: it takes jobs, writes down and shows what becomes of them."""

    settings: Settings
    lines: Journal
    drive: Executor
    stopped: threading.Event
    fail_fast: bool
    as_json: bool
    quiet: bool
    tally: Tally = field(default_factory=Tally)

    def do(self, todo: list[Job], refused: list[Result], *, of: int) -> None:
        from srup.batch import running

        self.tally.left += len(todo) + len(refused)
        self.tally.already += of - len(todo) - len(refused)
        for result in refused:
            self._take(result)
        if not todo:
            return
        running.claim(todo, self.lines, self.settings)
        weights = {job.name: _megapixels(job) for job in todo}
        with console.overall(len(todo), sum(weights.values()), shown=not self.quiet) as progress:
            for result in running.completed(self._unless_stopped(todo), self.drive):
                if result.status != "stopped":
                    self._take(result)
                    progress(result.name, weights[result.name])

    def _unless_stopped(self, todo: list[Job]) -> Iterator[Job]:
        for job in todo:
            if self.stopped.is_set():
                return
            yield job

    def _take(self, result: Result) -> None:
        self.lines.append([result.record()])
        self.tally.take(result)
        if self.as_json:
            click.echo(json.dumps(result.record()))
        if result.status == "failed" and self.fail_fast:
            self.stopped.set()


def _lines(list_file: str) -> list[str]:
    try:
        return list(sys.stdin) if list_file == "-" else Path(list_file).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReadError(
            f"cannot read {list_file}: {error}; give --from a text file with one image a line"
        ) from error


def _drive(settings: Settings, threads: int, stopped: threading.Event) -> Executor:
    """What carries the jobs out: threads of this process, or a process for each of several devices."""
    from srup.batch import running
    from srup.inference.engines.pytorch import devices

    names = (
        devices()
        if settings.run_options.device == "all"
        else settings.run_options.device.split(",")
    )
    if len(names) == 1:
        make = running.Worker(settings.on(names[0]), stopped)
        return lambda jobs: running.in_threads(jobs, make, threads=threads, stopped=stopped)
    from srup.batch.processes import in_processes

    return lambda jobs: in_processes(jobs, settings, names, threads=threads, stopped=stopped)


def _on_cluster(
    settings: Settings, address: str, cores: int, threads: int, stopped: threading.Event
) -> Executor:
    from srup.batch.ray import connect, on_cluster

    if settings.run_options.device != "auto":
        raise UsageError(
            "--cluster takes what its nodes have, and -d names devices of this machine; give one of them"
        )
    connect(address)
    return lambda jobs: on_cluster(jobs, settings, cores=cores, threads=threads, stopped=stopped)


def _watch(
    work: _Work,
    plan: Callable[[], list[Job]],
    look: Callable[[list[Job]], tuple[list[Job], list[Result]]],
) -> None:
    """Makes what arrives, once it is complete, until stopped. What failed is left until it changes."""
    before: set[tuple[str, str]] = set()
    while not work.stopped.wait(LOOK):
        jobs = plan()
        todo, _ = look(jobs)
        now = {(job.name, job.source.stamp) for job in todo}
        fresh = [
            job
            for job in todo
            if (job.name, job.source.stamp) in before and not _failed(job, work.lines)
        ]
        before = now
        if fresh:
            work.do(fresh, [], of=len(fresh))


def _failed(job: Job, lines: Journal) -> bool:
    line = lines.last.get(job.name, {})
    return line.get("status") == "failed" and line.get("stamp") == job.source.stamp


def _report(planned: list[Job], lines: Journal, settings: Settings) -> Report:
    """What is known of each job, from this run or an earlier one; failures on top."""
    from srup.report import Picture, Report, Row

    def row(job: Job) -> Row:
        line = lines.last.get(job.name, {})
        sizes = {
            name: "×".join(map(str, line[name])) if name in line else None
            for name in ("before", "after")
        }
        after = storage.join(settings.out, job.name)
        shown = (
            line.get("status") == "done"
            and not storage.is_url(job.source.path)
            and not storage.is_url(after)
        )
        pictures = (
            (Picture("before", Path(job.source.path)), Picture("after", Path(after)))
            if shown
            else ()
        )
        return Row(
            job.name,
            {**sizes, **{name: line.get(name) for name in BATCH_COLUMNS}},
            line.get("error"),
            pictures,
        )

    rows = sorted((row(job) for job in planned), key=lambda row: row.error is None)
    notes = [
        f"{name}: {value}"
        for name, value in settings.decisive.items()
        if name in ("model", "scale", "width", "height")
    ]
    return Report(f"{len(rows)} images, to {settings.out}", rows, notes, BATCH_COLUMNS)


def _megapixels(job: Job) -> float:
    """Of the input; where it cannot be known without fetching it, its megabytes."""
    from srup.batch.planning import size_of

    size = None if storage.is_url(job.source.path) else size_of(job)
    return (size[0] * size[1] if size else job.source.size) / 1e6


@contextlib.contextmanager
def _signals(stopped: threading.Event, out: str) -> Iterator[list[signal.Signals]]:
    """The first signal lets what is being written be finished, a second one ends the process at once."""
    received: list[signal.Signals] = []

    def stop(number: int, _: object) -> None:
        from srup.batch import running

        if received:
            running.clear(out)
            os._exit(STOPPED[received[0]])
        received.append(signal.Signals(number))
        stopped.set()
        console.line("finishing what is being written; once more stops at once")

    before = {number: signal.signal(number, stop) for number in STOPPED}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _forecast(planned: list[Job], settings: Settings) -> int:
    """What a run would do, and what it would take if all images are like the one of middling size."""
    from srup.batch import running
    from srup.batch.planning import size_of

    sizes = [(job, size_of(job)) for job in planned]
    for job, size in sizes:
        after = "{}×{}".format(*settings.target.size(size)) if size else "cannot be read"
        click.echo(f"{job.source.path} → {storage.join(settings.out, job.name)}  {after}")
    known = sorted(
        ((job, size[0] * size[1]) for job, size in sizes if size), key=lambda each: each[1]
    )
    if not known:
        return 0
    total, (job, pixels) = sum(each[1] for each in known), known[len(known) // 2]
    console.line(
        f"{len(known)} images, {total / 1e6:.1f} megapixels; free in {settings.out}: {_free(settings.out)}"
    )
    if one := running.Worker(
        settings.on(settings.run_options.device.split(",")[0]), threading.Event()
    ).forecast(job):
        times = total / pixels
        console.line(
            f"about {one.disk * times / 1e9:.2f} GB of disk and {console.duration(one.seconds * times)}, by {job.source.path}"
        )
    return 0


def _free(out: str) -> str:
    """Room on the disk that the folder is on, or will be."""
    if storage.is_url(out):
        return "unknown"
    folder = next(
        path for path in (Path(out).absolute(), *Path(out).absolute().parents) if path.exists()
    )
    return f"{shutil.disk_usage(folder).free / 1e9:.2f} GB"
