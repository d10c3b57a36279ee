"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from srup import report
from srup.cli.console import Shown
from srup.images import FORMATS
from srup.inference.engines import ENGINES
from srup.inference.run_options import PRECISIONS, RunOptions
from srup.inference.target import target
from srup.models.registry import DEFAULT

Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def _tile(_: click.Context, __: click.Parameter, value: str) -> int | str:
    if value in ("auto", "none"):
        return value
    if value.isdecimal() and int(value) >= 16:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither auto, none nor a number of pixels from 16 on")


scale = click.option(
    "-s", "--scale", type=float, help="How many times larger, whole or not.  [default: 4]"
)
_sizes = (
    scale,
    click.option("--size", metavar="WxH", help="Fit inside so many pixels."),
    click.option("--fill", is_flag=True, help="With --size: cover it, and crop what is over."),
    click.option(
        "--stretch", is_flag=True, help="With --size: exactly that, whatever becomes of the shape."
    ),
    click.option("--width", type=click.IntRange(1), help="To this width."),
    click.option("--height", type=click.IntRange(1), help="To this height."),
    click.option("--long-edge", type=click.IntRange(1), help="To this length of the longer side."),
    click.option(
        "--megapixels", type=click.FloatRange(0, min_open=True), help="To so many million pixels."
    ),
)
format_ = click.option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    help="Output format.  [default: png]",
)
quality = click.option(
    "-q", "--quality", type=click.IntRange(1, 100), help="Of lossy formats.  [default: 95]"
)
model = click.option(
    "-m",
    "--model",
    default=DEFAULT,
    show_default=True,
    metavar="NAME",
    help="Network (srup models lists them).",
)
weights = click.option(
    "--weights", type=click.Path(), metavar="FILE", help="A checkpoint of your own for the network."
)
_tiles = click.option(
    "-t",
    "--tile",
    default="auto",
    show_default=True,
    metavar="auto|none|N",
    callback=_tile,
    help="Side of the windows that a large image is computed in.",
)
_tiling = click.option(
    "--tiling",
    type=click.Choice(["exact", "acs"]),
    default="exact",
    show_default=True,
    help="exact: the result of the whole image. acs: the IMDN paper's adaptive cropping.",
)
_self_ensemble = click.option(
    "-x",
    "--self-ensemble",
    "--tta",
    is_flag=True,
    help="The mean over eight orientations: eight times the work, about 0.1 dB.",
)
_engine = click.option(
    "--engine",
    type=click.Choice(["auto", *ENGINES]),
    default="auto",
    show_default=True,
    help="What computes; auto: the faster.",
)
device = click.option(
    "-d",
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto, cpu, cuda, cuda:1, mps.",
)
devices = click.option(
    "-d",
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda:0, …; several, or all: a worker process for each.",
)


def precision(default: str) -> Option:
    """With "auto" the fastest that costs next to nothing; what is measured wants figures that do not depend on the processor."""
    says = "Of the arithmetic: auto, the fastest that costs no more than 0.01 dB here."
    return click.option(
        "--precision", type=click.Choice(PRECISIONS), default=default, show_default=True, help=says
    )


def _gathering(argument: str, make: Callable[..., object], options: Sequence[Option]) -> Option:
    """Several options that become one argument of the command, made of them by `make`."""

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        names = set(inspect.signature(make).parameters)

        @functools.wraps(command)
        def gathered(*args: Any, **values: Any) -> Any:
            own = {name: values.pop(name) for name in names}
            return command(*args, **{argument: make(**own)}, **values)

        result: Callable[..., Any] = gathered
        for option in reversed(options):
            result = option(result)
        return result

    return decorated


def run_options(precise: str = "auto", device: Option = device) -> Option:
    """Every option of how networks are run, as `run_options`."""
    return _gathering(
        "run_options",
        RunOptions,
        (_tiles, _tiling, _self_ensemble, device, _engine, precision(precise)),
    )


wanted = _gathering("wanted", target, _sizes)  # how large results are to be

overwrite = click.option("-y", "--overwrite", is_flag=True, help="Replace what exists.")
as_json = click.option("--json", "as_json", is_flag=True, help="Results as JSON, one line each.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Say what is decided along the way.")
edges = click.option(
    "--edges",
    type=click.Choice(["mirror", "clamp"]),
    default="mirror",
    show_default=True,
    help="What lies outside an image that is shrunk; clamp for Set14.",
)


def _file(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    if value is not None:
        report.check(value)
    return value


_report_file = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_file,
    metavar="FILE",
    help=f"Write a report: {', '.join(f'.{name}' for name in report.REPORT_FORMATS)}.",
)
_report_format = click.option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(list(report.REPORT_FORMATS)),
    help="Print in this format.",
)
shown = _gathering(
    "shown", Shown, (_report_file, _report_format, overwrite, as_json)
)  # what becomes of a report
