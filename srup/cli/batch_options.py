"""The options of srup batch: where images come from and go to, who makes them, what is shown."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import click

from srup import batch, report, storage
from srup.batch.executors.processes import in_processes
from srup.batch.executors.threads import in_threads
from srup.batch.overview import check_report, write_report
from srup.batch.planning import OnCollision, proposed
from srup.batch.running import Executor
from srup.batch.streaming import Sources, Stream, planned_or_streamed
from srup.cli import completion, console, options
from srup.cli.types import Choice
from srup.errors import ReadError, UsageError
from srup.pipeline import Job, Recipe, standard_input

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


inputs = options.gathered(
    "inputs",
    Inputs,
    (
        click.argument(
            "places",
            nargs=-1,
            required=True,
            metavar="[IN...] OUT",
            shell_complete=completion.files,
        ),
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
    ),
)
workers = options.gathered(
    "workers",
    Workers,
    (
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
    ),
)
policy = options.gathered(
    "policy",
    batch.Policy,
    (
        options.overwrite,
        click.option(
            "--rehash", is_flag=True, help="Tell changed inputs by content, not size and time."
        ),
        click.option("--fail-fast", is_flag=True, help="Stop at the first failure."),
    ),
)
output = options.gathered(
    "output",
    Output,
    (
        click.option(
            "--report",
            "report_file",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Write what became of each image, as .html, .csv, .json or .md.",
        ),
        options.as_json,
        options.verbose,
    ),
)
