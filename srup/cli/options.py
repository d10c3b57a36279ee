"""Options that several commands share.

Those that belong together reach the command as one value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from srup import report
from srup.cli import completion, console
from srup.images import FORMATS, MAX_PIXELS, QUALITY, Encoding
from srup.inference.engines import ENGINES
from srup.inference.run_options import PRECISIONS, RunOptions
from srup.inference.target import Target, target
from srup.models.checkpoints import check_file
from srup.models.registry import AUTO
from srup.pipeline import ReadOptions, Recipe

Command = Callable[..., Any]
Option = Callable[[Command], Command]
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def gathered(argument: str, make: Callable[..., object], options: Sequence[Option]) -> Option:
    """Several options that become one argument of the command: what `make`, called with them by
    name, returns.
    """
    # what `make` takes is what is gathered, so that no list of names can go out of step
    names = set(inspect.signature(make).parameters)

    def decorated(command: Command) -> Command:
        @functools.wraps(command)
        def gathering(*args: Any, **values: Any) -> Any:
            own = {name: values.pop(name) for name in names}
            return command(*args, **{argument: make(**own)}, **values)

        result: Command = gathering
        # click lists options in the order in which decorators stand, the last applied first
        for option in reversed(options):
            result = option(result)
        return result

    return decorated


def _tile(_: click.Context, __: click.Parameter, value: str) -> int | str:
    if value in ("auto", "none"):
        return value
    # smaller windows would be nearly all margin
    if value.isdecimal() and int(value) >= 16:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither auto, none nor a number of pixels from 16 on")


scale = click.option(
    "-s", "--scale", type=float, help="How many times larger, whole or not.  [default: 4]"
)
# how large results are to be: one of these, or a width and a height
wanted = gathered(
    "wanted",
    target,
    (
        scale,
        click.option("--size", metavar="WxH", help="Fit inside so many pixels."),
        click.option("--fill", is_flag=True, help="With --size: cover it, and crop what is over."),
        click.option("--stretch", is_flag=True, help="With --size: exactly that, out of shape."),
        click.option("--width", type=click.IntRange(1), help="Enlarge to this width."),
        click.option("--height", type=click.IntRange(1), help="Enlarge to this height."),
        click.option(
            "--long-edge", type=click.IntRange(1), help="Enlarge the longer side to this."
        ),
        click.option(
            "--megapixels",
            type=float,
            help="Enlarge to so many million pixels.",
        ),
    ),
)


def model(default: str, help_: str, complete: Complete = completion.networks) -> Option:
    """The network of a command that runs one."""
    return click.option(
        "-m",
        "--model",
        default=default,
        show_default=True,
        metavar="NAME",
        help=help_,
        shell_complete=complete,
    )


_model = model(
    AUTO,
    "Network (srup models lists them); auto: lite, for compressed or noisy pictures lite-photo.",
    completion.automatic,
)
_strength = click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    help="How much of compression and noise to take away, 0 to 1.  [default: by the picture]",
)
weights = click.option(
    "--weights", type=click.Path(), metavar="FILE", help="A checkpoint of your own for the network."
)

device = click.option(
    "-d",
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="Where to compute: auto, cpu, cuda, cuda:1, mps.",
    shell_complete=completion.devices,
)
devices = click.option(
    "-d",
    "--device",
    default="auto",
    show_default=True,
    help="Where to compute: cpu, cuda:0, …; several, or all: a worker process for each.",
    shell_complete=completion.devices,
)
# how networks are run: the same for every command that runs one
_tiles = click.option(
    "-t",
    "--tile",
    default="auto",
    show_default=True,
    metavar="auto|none|N",
    callback=_tile,
    help="Side in pixels of the windows that a large image is computed in.",
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
    help="Take the mean over eight orientations: eight times the work, about 0.1 dB better.",
)
_engine = click.option(
    "--engine",
    type=click.Choice(["auto", *ENGINES]),
    default="auto",
    show_default=True,
    help="The library that computes; auto: the faster one.",
)


def precision(default: str) -> Option:
    """Precision of the arithmetic.

    What is measured wants figures that do not depend on the processor: "fp32".
    """
    return click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default=default,
        show_default=True,
        help="Precision of the arithmetic; auto: the fastest that costs no more than 0.01 dB here.",
    )


def run_options(precise: str = "auto", device: Option = device) -> Option:
    """Every option of how networks are run, as `run_options`."""
    options = (_tiles, _tiling, _self_ensemble, device, _engine, precision(precise))
    return gathered("run_options", RunOptions, options)


max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=MAX_PIXELS,
    show_default=True,
    help="Refuse inputs of more pixels.",
)
# what is read and what is written: the same for `upscale` and `batch`
read_options = gathered(
    "read_options",
    ReadOptions,
    (
        click.option(
            "--dpi",
            type=float,
            metavar="N",
            help="Set the density, in pixels per inch.  [default: the input's]",
        ),
        click.option("--strip", is_flag=True, help="Leave EXIF, XMP, IPTC and texts out."),
        max_pixels,
    ),
)
encoding = gathered(
    "encoding",
    Encoding,
    (
        click.option(
            "-q",
            "--quality",
            type=click.IntRange(1, 100),
            default=QUALITY,
            show_default=True,
            help="Quality of lossy formats.",
        ),
        click.option("--lossless", is_flag=True, help="Write WebP, HEIC and JPEG XL without loss."),
        click.option("--palette", is_flag=True, help="Accept the 256 colours of a GIF."),
    ),
)
format_ = click.option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    help="Output format.  [default: png; of a document's pages tiff]",
)


def _recipe(
    wanted: Target,
    model: str,
    weights: str | None,
    run_options: RunOptions,
    read_options: ReadOptions,
    encoding: Encoding,
    format_: str | None,
    strength: float | None,
) -> Recipe:
    if weights is not None:
        check_file(weights)  # before anything runs
    return Recipe(wanted, model, weights, run_options, read_options, encoding, format_, strength)


def recipe(device: Option = device) -> Option:
    """Every option of how images are enlarged, read and written, as `recipe`: `upscale` and `batch`
    have the same.
    """
    how = (run_options(device=device), read_options, format_, encoding)
    return gathered("recipe", _recipe, (wanted, _model, _strength, weights, *how))


overwrite = click.option("-y", "--overwrite", is_flag=True, help="Replace what exists.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print results as JSON lines.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Say what is decided along the way.")
edges = click.option(
    "--edges",
    type=click.Choice(["mirror", "clamp"]),
    default="mirror",
    show_default=True,
    help="What lies outside an image that is shrunk; clamp for Set14.",
)


def _file(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    # a place that cannot be written is met before the work, not after it
    if value is not None:
        report.check(value)
    return value


# reports: printed, or written to a file whose extension says the format
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


def _report_output(
    output: Path | None, format_: str | None, overwrite: bool, as_json: bool
) -> console.ReportOutput:
    return console.ReportOutput(output, format_, overwrite, as_json)


report_output = gathered(
    "report_output", _report_output, (_report_file, _report_format, overwrite, as_json)
)
