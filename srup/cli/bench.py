"""srup bench: how fast this machine is."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click

from srup import memory
from srup.cli import console, options
from srup.errors import OutOfMemory, SrupError, UsageError
from srup.evaluation import speed
from srup.evaluation.speed import Speed, SpeedTest
from srup.inference.engines import ENGINES, libraries
from srup.inference.run_options import PRECISIONS, EngineName, Precision, RunOptions
from srup.isolate import run_isolated
from srup.models import registry
from srup.processor import has_bfloat16
from srup.report import Report, Row, Value

FILLED = 0.7  # of the free memory, under pressure: beyond, the system begins to stall, and others are killed
LIGHT = 3e6  # parameters; what is larger is measured only when asked for
SPEED_COLUMNS = {"LR MP/s": ".3f", "s": ".3f", "MB": ",.0f", "of ceiling": ".0%", "LR MP": ".3f"}
SPEED = (
    "LR MP/s: megapixels of the input a second, from the median of {runs} runs, s: that. MB: the most memory that a "
    "process of its own took. Of ceiling: of the rate at which 3×3 convolutions with 64 channels run here alone."
)
PRESSURE = (
    "One window for the whole image, as networks are commonly run, doubled in pixels until 70 % of the free memory was full; then "
    "the largest of these in windows, as srup runs it."
)


@click.command("bench")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Repeat for several.  [default: all of up to 3 M parameters]",
)
@click.option("-s", "--scale", type=click.IntRange(2, 4), default=4, show_default=True)
@click.option(
    "--side",
    "sides",
    type=click.IntRange(32),
    multiple=True,
    default=[256],
    show_default=True,
    help="Of the image, in pixels; repeat for several.",
)
@click.option(
    "--runs", type=click.IntRange(1), default=5, show_default=True, help="The median of so many."
)
@click.option(
    "--pressure",
    is_flag=True,
    help="Enlarge larger and larger images in one piece, until memory runs out.",
)
@options.device
@click.option(
    "--engine",
    type=click.Choice(["all", *ENGINES]),
    default="all",
    show_default=True,
    help="What computes.",
)
@click.option(
    "--precision",
    type=click.Choice(["all", *PRECISIONS[1:]]),
    default="all",
    show_default=True,
    help="Of the arithmetic.",
)
@options.report_output
@options.verbose
def command(
    models: tuple[str, ...],
    scale: int,
    sides: tuple[int, ...],
    runs: int,
    pressure: bool,
    device: str,
    engine: EngineName | Literal["all"],
    precision: Precision | Literal["all"],
    report_output: console.ReportOutput,
    verbose: bool,
) -> int:
    """Measure this machine: networks in every precision and engine it has.

    Weights are drawn at random: nothing is downloaded, and speeds are the same.

    \b
    srup bench
    srup bench -m lite -m imdn -s 4 --precision fp32 --json
    srup bench -m imdn --pressure
    """
    console.start_logging(verbose)
    measure = _pressed if pressure else _measured
    chosen = [_row(name, scale) for name in models or _light(scale)]
    rows: list[Row] = []
    for row, run_options in itertools.product(chosen, _run_options(device, engine, precision)):
        with tempfile.TemporaryDirectory(prefix="srup-") as folder:
            rows += _guarded(
                measure,
                [SpeedTest(row, scale, run_options, Path(folder), side, runs) for side in sides],
            )
    title = f"{'Pressure test' if pressure else 'Speed'}, ×{scale}"
    note = PRESSURE if pressure else SPEED.format(runs=runs)
    report = Report(title, rows, [note], SPEED_COLUMNS, heading="network")
    report_output.show(report)
    return 1 if any(row.error for row in rows) else 0


def _light(scale: int) -> list[str]:
    """The networks that do `scale` in one step and are not large."""
    rows = {name: registry.find(name) for name in registry.names()}
    fitting = {name: found.get(scale) or found.get(0) for name, found in rows.items()}
    return [name for name, row in fitting.items() if row and row.parameters <= LIGHT]


def _row(name: str, scale: int) -> registry.Model:
    rows = registry.find(name)
    row = rows.get(scale) or rows.get(0)
    if row is None:
        raise UsageError(
            f"{name} has no ×{scale}; it has {', '.join(f'×{native}' for native in rows)}"
        )
    return row


def _run_options(
    device: str, engine: EngineName | Literal["all"], precision: Precision | Literal["all"]
) -> list[RunOptions]:
    """Every engine and precision that "all" stands for here."""
    from srup.inference.engines.pytorch import pick_device

    where = pick_device(device).type
    there: tuple[Precision, ...] = {
        "cpu": ("fp32", "bf16") if has_bfloat16() else ("fp32",),
        "cuda": ("fp32", "fp16", "bf16"),
    }.get(where, ("fp32", "fp16"))
    names = (
        [name for name in libraries() if where == "cpu" or name == "pytorch"]
        if engine == "all"
        else [engine]
    )
    precisions = there if precision == "all" else (precision,)
    return [
        RunOptions(device=device, engine=name, precision=each)
        for name, each in itertools.product(names, precisions)
    ]


def _guarded(measure: Callable[[SpeedTest], list[Row]], tests: list[SpeedTest]) -> list[Row]:
    """What is measured of plans that share their network, or one row that says why it cannot be."""
    test = tests[0]
    label = f"{test.model.name}, {test.run_options.engine}, {test.run_options.precision}"
    try:
        with console.progress(label):
            for _ in run_isolated(label, speed.prepare, test):
                pass
            return [row for each in tests for row in measure(each)]
    except SrupError as error:
        return [Row(test.model.name, error=f"{label}: {error}")]


def _measured(test: SpeedTest) -> list[Row]:
    (found,) = run_isolated(test.model.name, speed.speed, test)
    return [Row(test.model.name, {**_stated(found), "s": found.seconds, "of ceiling": found.share})]


def _pressed(test: SpeedTest) -> list[Row]:
    name, in_one = (
        test.model.name,
        replace(test, run_options=replace(test.run_options, tile="none")),
    )
    largest = _last(run_isolated(name, speed.pressure, in_one, int(memory.available() * FILLED)))
    side = round(largest.pixels**0.5)
    (tiled,) = run_isolated(name, speed.speed, replace(test, side=side, runs=1))
    named = {f"{name}, one window": largest, f"{name}, in windows": tiled}
    return [Row(label, _stated(found)) for label, found in named.items()]


def _last(speeds: Iterable[Speed]) -> Speed:
    """The last that came, be it that the process was killed at the next. Raises OutOfMemory if there is none."""
    found, reason = (
        None,
        OutOfMemory("not even the first image fits into the memory; take a smaller --side"),
    )
    try:
        for found in speeds:  # noqa: B007
            pass
    except OutOfMemory as error:
        reason = error
    if found is None:
        raise reason
    return found


def _stated(found: Speed) -> dict[str, Value]:
    engine, device, precision = found.computed_by.split(", ")
    by = {"engine": engine, "device": device, "precision": precision}
    return {**by, "LR MP": found.pixels / 1e6, "LR MP/s": found.rate, "MB": found.peak / 1e6}
