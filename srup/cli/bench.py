"""srup bench: how fast this machine is."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click

from srup import memory, processor, temporaries
from srup.cli import console, options
from srup.cli.commands import Command
from srup.cli.failures import failures_as_rows
from srup.cli.types import Choice
from srup.errors import OutOfMemory, UsageError
from srup.evaluation import speed
from srup.evaluation.speed import Speed, SpeedTest
from srup.images import read_image
from srup.inference.engines import ENGINES, choice, engines_of, libraries
from srup.inference.run_options import PRECISIONS, EngineName, Precision, RunOptions
from srup.isolate import run_isolated
from srup.models import registry
from srup.processor import has_bfloat16
from srup.report import Report, Row, Value, shown
from srup.report.bars import Bar, bars

FILLED = 0.7  # share of the free memory to fill under pressure; beyond, the system may stall
LIGHT = 3e6  # parameters; a larger network is measured only when asked for
SPEED_COLUMNS = {"LR MP/s": ".3f", "s": ".3f", "MB": ",.0f", "of ceiling": ".0%", "LR MP": ".3f"}
SPEED_NOTE = (
    "LR MP/s: megapixels of the input a second, from the median of {runs} runs, s: that. "
    "MB: the most memory that a process of its own took. "
    "Of ceiling: of the rate at which 3×3 convolutions with 64 channels run here alone. "
    "{machine}."
)
PRESSURE_NOTE = (
    "One window for the whole image, as networks are commonly run, doubled in pixels until 70 % of "
    "the free memory was full; then the largest of these in windows, as srup runs it."
)


@click.command("bench", cls=Command)
@options.models("Network to measure; repeat for several.  [default: all of up to 3 M parameters]")
@options.whole_scale(2, 4, "How many times larger.")
@click.option(
    "--side",
    "sides",
    type=click.IntRange(32),
    multiple=True,
    default=[256],
    show_default=True,
    help="Side of the square image in pixels; repeat for several.",
)
@click.option(
    "--file",
    "picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Picture to enlarge instead of noise; --side is not used then.",
)
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Runs of which the median is taken.",
)
@click.option(
    "--pressure",
    is_flag=True,
    help="Enlarge larger and larger images in one piece, until memory runs out.",
)
@options.device
@click.option(
    "--engine",
    type=Choice(["all", *ENGINES]),
    default="all",
    show_default=True,
    help="Engine to measure.",
)
@click.option(
    "--precision",
    type=Choice(["all", *PRECISIONS[1:]]),
    default="all",
    show_default=True,
    help="Precision of the arithmetic to measure.",
)
@click.option(
    "--save",
    is_flag=True,
    help="Remember which engine is faster here, for --engine auto. Measures the precision that "
    "srup takes by itself.",
)
@options.report_output
@options.verbose
def command(
    models: tuple[str, ...],
    scale: int,
    sides: tuple[int, ...],
    picture: Path | None,
    runs: int,
    pressure: bool,
    device: str,
    engine: EngineName | Literal["all"],
    precision: Precision | Literal["all"],
    save: bool,
    report_output: console.ReportOutput,
    verbose: bool,
) -> int:
    """Measure this machine: networks in every precision and engine it has.

    Weights are drawn at random: nothing is downloaded, and speeds are the same.

    \b
    srup bench
    srup bench -m lite -m imdn -s 4 --precision fp32 --json
    srup bench -m imdn --file photo.jpg --save
    srup bench -m imdn --pressure
    """
    console.start_logging(verbose)
    _check(save, pressure, engine, picture)
    measure = _under_pressure if pressure else _measured
    if save and precision == "all":
        precision = "auto"
    chosen = [_row(name, scale) for name in models or _light(scale)]
    rows: list[Row] = []
    for model, run_options in itertools.product(chosen, _run_options(device, engine, precision)):
        if engine == "all" and run_options.engine not in engines_of(model):
            continue
        with temporaries.folder() as folder:
            test = SpeedTest(model, scale, run_options, folder, runs=runs, picture=picture)
            rows += _rows(measure, test, sides[:1] if picture else sides)
    if save and precision != "all":
        _save(chosen, rows, precision)
    title = f"{'Pressure test' if pressure else 'Speed'}, ×{scale}"
    note = PRESSURE_NOTE if pressure else SPEED_NOTE.format(runs=runs, machine=_machine())
    report_output.show(_report(title, rows, note))
    return 1 if any(row.error for row in rows) else 0


def _report(title: str, rows: Sequence[Row], note: str) -> Report:
    figures = _chart(rows)
    return Report(title, rows, [note], SPEED_COLUMNS, heading="network", figures=figures)


def _chart(rows: Sequence[Row]) -> list[str]:
    """Megapixels a second as bars, by network; nothing where nothing was measured."""
    found = []
    for row in rows:
        speed = row.values.get("LR MP/s")
        if isinstance(speed, float):
            ways = (row.values[name] for name in ("engine", "device", "precision"))
            found.append(Bar(row.name, f"{', '.join(map(str, ways))}{_side(row, rows)}", speed))
    return [bars(found, "megapixels of the input a second")] if found else []


def _side(row: Row, rows: Sequence[Row]) -> str:
    """The size of the input, where there are several."""
    sizes = {each.values.get("LR MP") for each in rows if each.values}
    return f", {shown(row.values['LR MP'], '.3g')} MP" if len(sizes) > 1 else ""


def _check(save: bool, pressure: bool, engine: str, picture: Path | None) -> None:
    """Refuses before the work what cannot be measured. Raises UsageError, ReadError."""
    if save and (pressure or engine != "all"):
        raise UsageError(
            "engines are compared by the speed of all of them",
            "leave out {engine}",
            "leave out {pressure}",
        )
    if picture:
        read_image(picture)


def _machine() -> str:
    """The processor of this machine in words."""
    instructions = processor.instructions() or "instruction set unknown"
    return f"Processor: {processor.name()}, {processor.cores()} cores, {instructions}"


def _save(models: Sequence[registry.Model], rows: Sequence[Row], precision: Precision) -> None:
    """Keeps the seconds of each engine that computed a network on the processor."""
    for model in models:
        seconds: dict[EngineName, float] = {}
        for name in libraries():
            own = [
                float(str(row.values["s"]))
                for row in rows
                if (row.name, row.values.get("engine"), row.values.get("device"))
                == (model.name, name, "cpu")
            ]
            if own:
                seconds[name] = sum(own)
        choice.save(model, precision, seconds)


def _light(scale: int) -> list[str]:
    """The networks that do `scale` in one step and are not large."""
    found = []
    for name in registry.names():
        rows = registry.find(name)
        row = rows.get(scale) or rows.get(0)  # 0: a network of any scale
        if row and row.parameters <= LIGHT:
            found.append(name)
    return found


def _row(name: str, scale: int) -> registry.Model:
    """A network's row for a scale. Raises UsageError if it has none."""
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
    """Run options for every engine and precision that "all" stands for here."""
    with console.busy("looking for engines and devices"):
        from srup.inference.engines.pytorch import pick_device

        where = pick_device(device).type
    if engine == "all":
        engines = [name for name in libraries() if where == "cpu" or name == "pytorch"]
    else:
        engines = [engine]
    precisions = _precisions(where) if precision == "all" else [precision]
    pairs = itertools.product(engines, precisions)
    return [RunOptions(device=device, engine=name, precision=each) for name, each in pairs]


def _precisions(device: str) -> list[Precision]:
    """The precisions that a kind of device computes natively."""
    if device == "cpu":
        return ["fp32", "bf16"] if has_bfloat16() else ["fp32"]
    if device == "cuda":
        return ["fp32", "fp16", "bf16"]
    return ["fp32", "fp16"]


def _rows(
    measure: Callable[[SpeedTest], list[Row]], test: SpeedTest, sides: Sequence[int]
) -> list[Row]:
    """What is measured of a network at each side, or one row that says why it cannot be."""
    name, run_options = test.model.name, test.run_options
    label = f"{name}, {run_options.engine}, {run_options.precision}"
    rows: list[Row] = []
    failed: list[Row] = []
    with failures_as_rows(failed, name, label=label), console.progress(label):
        for _ in run_isolated(label, speed.prepare, test):
            pass
        for side in sides:
            rows += measure(replace(test, side=side))
    return failed or rows


def _measured(test: SpeedTest) -> list[Row]:
    (found,) = run_isolated(test.model.name, speed.measure, test)
    return [Row(test.model.name, {**_values(found), "s": found.seconds, "of ceiling": found.share})]


def _under_pressure(test: SpeedTest) -> list[Row]:
    """The largest image that fits into memory in one window, and the same in windows."""
    name = test.model.name
    one_window = replace(test, run_options=replace(test.run_options, tile="none"))
    limit = int(memory.available() * FILLED)
    largest = _last(run_isolated(name, speed.pressure, one_window, limit))
    side = round(largest.pixels**0.5)
    (tiled,) = run_isolated(name, speed.measure, replace(test, side=side, runs=1))
    return [
        Row(f"{name}, one window", _values(largest)),
        Row(f"{name}, in windows", _values(tiled)),
    ]


def _last(speeds: Iterable[Speed]) -> Speed:
    """The last speed, even if the process was killed after it.

    Raises OutOfMemory if there is none.
    """
    found = None
    reason = OutOfMemory("not even the first image fits into the memory", "take smaller {sides}")
    try:
        for found in speeds:  # noqa: B007
            pass
    except OutOfMemory as error:
        reason = error
    if found is None:
        raise reason
    return found


def _values(found: Speed) -> dict[str, Value]:
    engine, device, precision = found.computed_by.split(", ")
    return {
        "engine": engine,
        "device": device,
        "precision": precision,
        "LR MP": found.pixels / 1e6,
        "LR MP/s": found.rate,
        "MB": found.peak / 1e6,
    }
