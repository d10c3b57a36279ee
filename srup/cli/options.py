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

from srup import report
from srup.cli import console
from srup.cli.types import Choice, Device, NameAndScale, Named, NetworkName, Scale
from srup.errors import UsageError
from srup.images import ALSO_CALLED, FORMATS, MAX_PIXELS, QUALITY, Encoding
from srup.inference.engines import ENGINES
from srup.inference.run_options import PRECISIONS, RunOptions
from srup.inference.target import Target, target
from srup.models import community, routing
from srup.models.checkpoints import check_file
from srup.models.registry import AUTO
from srup.pipeline import ReadOptions, Recipe
from srup.serve.client import Server

Command = Callable[..., Any]
Option = Callable[[Command], Command]


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


def scale(
    default: float | None = None, help_: str = "How many times larger, as 4 or 2.5."
) -> Option:
    """How many times larger results are; where it is left out, `default`."""
    return click.option(
        "-s", "--scale", type=Scale(), default=default, show_default=default is not None, help=help_
    )


def whole_scale(low: int, high: int, help_: str) -> Option:
    """A whole scale within bounds, 4 where it is left out."""
    return click.option(
        "-s", "--scale", type=Scale(low, high), default=4, show_default=True, help=help_
    )


def _wanted(
    scale: float | None,
    size: str | None,
    width: int | None,
    height: int | None,
    long_edge: int | None,
    megapixels: float | None,
    fill: bool,
    stretch: bool,
) -> Target | None:
    """The target that was asked for; None where nothing was said of it."""
    asked = (scale, size, width, height, long_edge, megapixels, fill or stretch or None)
    if all(value is None for value in asked):
        return None
    return target(
        scale=scale,
        size=size,
        width=width,
        height=height,
        long_edge=long_edge,
        megapixels=megapixels,
        fill=fill,
        stretch=stretch,
    )


# how large results are to be: one of these, or a width and a height
wanted = gathered(
    "wanted",
    _wanted,
    (
        scale(help_="How many times larger, as 4, 2.5 or 250%.  [default: 4]"),
        click.option("--size", metavar="WxH", help="Fit inside so many pixels, as 1920x1080."),
        click.option("--fill", is_flag=True, help="With --size: cover it, and crop the rest."),
        click.option("--stretch", is_flag=True, help="With --size: exactly that, out of shape."),
        click.option("--width", type=click.IntRange(1), help="Enlarge to this width in pixels."),
        click.option("--height", type=click.IntRange(1), help="Enlarge to this height in pixels."),
        click.option(
            "--long-edge", type=click.IntRange(1), help="Enlarge the longer side to this in pixels."
        ),
        click.option("--megapixels", type=float, help="Enlarge to so many million pixels."),
    ),
)


def model(default: str, help_: str) -> Option:
    """The network of a command that runs one."""
    return click.option(
        "-m",
        "--model",
        type=NetworkName(),
        default=default,
        show_default=True,
        metavar="NAME",
        help=help_,
    )


def models(help_: str, *also: str) -> Option:
    """Networks of a command that runs several; `also` are words that it takes in place of one."""
    return click.option(
        "-m",
        "--model",
        "models",
        type=NetworkName(*also),
        multiple=True,
        metavar="NAME",
        help=help_,
    )


_model = click.option(
    "-m",
    "--model",
    type=NameAndScale(AUTO),
    multiple=True,
    metavar="NAME",
    help="Network (srup models lists them), or a checkpoint's FILE.  [default: by the picture]",
)
_strength = click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    help="How much compression and noise to take away, 0 to 1.  [default: by the picture]",
)
weights = click.option(
    "--weights",
    type=click.Path(),
    metavar="FILE",
    help="A checkpoint of your own, of the network that -m names, or else of any that is known.",
)

device = click.option(
    "-d",
    "--device",
    default="auto",
    show_default=True,
    metavar="NAME",
    type=Device(),
    help="Where to compute: auto, cpu, gpu, cuda:1, mps.",
)
devices = click.option(
    "-d",
    "--device",
    default="auto",
    show_default=True,
    type=Device(),
    metavar="NAME",
    help="Where to compute: auto, cpu, gpu, cuda:1, mps; a worker process for each of several, as"
    " cuda:0,cuda:1, or for all.",
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
    type=Choice(["exact", "acs"]),
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
    type=Choice(["auto", *ENGINES]),
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
        type=Choice(PRECISIONS),
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
        click.option(
            "--strip",
            is_flag=True,
            help="Leave out EXIF, XMP, IPTC, texts, and what made the result.",
        ),
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
    type=Choice(list(FORMATS), ALSO_CALLED),
    help="Output format.  [default: png; of a document's pages tiff]",
)


def _networks(named: Sequence[Named], weights: str | None) -> tuple[str, int]:
    """The name of the networks that were named, and the scale where nobody says how large.

    Raises what `registry.find` raises.
    """
    if weights and not named and not community.is_file(weights):
        raise UsageError(
            f"{weights} is not called like a checkpoint ({', '.join(community.SUFFIXES)})",
            "say which network it is of with {model}",
        )
    if not named:
        named = [Named(weights or AUTO, None)]  # a checkpoint says itself which network it is of
    return routing.chain(named)


def _recipe(
    wanted: Target | None,
    model: Sequence[Named],
    weights: str | None,
    run_options: RunOptions,
    read_options: ReadOptions,
    encoding: Encoding,
    format_: str | None,
    strength: float | None,
) -> Recipe:
    if weights is not None:
        check_file(weights)  # before anything runs
    name, scale = _networks(model, weights)
    if not model:
        weights = None
    size = wanted or Target(scale=scale)
    return Recipe(size, name, weights, run_options, read_options, encoding, format_, strength)


def recipe(device: Option = device) -> Option:
    """Every option of how images are enlarged, read and written, as `recipe`: `upscale` and `batch`
    have the same.
    """
    how = (run_options(device=device), read_options, format_, encoding)
    return gathered("recipe", _recipe, (wanted, _model, _strength, weights, *how))


overwrite = click.option("-y", "--overwrite", is_flag=True, help="Replace what exists.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print results as JSON lines.")
verbose = click.option("-v", "--verbose", is_flag=True, help="Say what is decided along the way.")


def _server(server: str | None, token: str | None) -> Server | None:
    """The server that is to do the work; None where nobody named one."""
    return Server(server, token) if server else None


token = click.option(
    "--token",
    metavar="TEXT",
    help="What the server's requests must know; better set as SRUP_TOKEN, which nobody sees.",
)
server = gathered(
    "server",
    _server,
    (
        click.option(
            "--server", metavar="URL", help="Have srup serve, which runs there, do the work."
        ),
        token,
    ),
)
edges = click.option(
    "--edges",
    type=Choice(["mirror", "clamp"]),
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
    type=Choice(list(report.REPORT_FORMATS)),
    help="Print in this format.",
)


def _report_output(
    output: Path | None, format_: str | None, overwrite: bool, as_json: bool
) -> console.ReportOutput:
    return console.ReportOutput(output, format_, overwrite, as_json)


report_output = gathered(
    "report_output", _report_output, (_report_file, _report_format, overwrite, as_json)
)
