"""srup features: the feature maps of a network on an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srup.cli import console, options
from srup.cli.commands import Command
from srup.errors import UsageError
from srup.files import check_free
from srup.images import Image, Pixels, format_of, read_image, write_image
from srup.inference.target import Target
from srup.models import routing
from srup.models.checkpoints import check_file
from srup.models.registry import DEFAULT
from srup.printable import printable
from srup.resize import imresize

if TYPE_CHECKING:
    from srup.evaluation.features import FeatureMap
    from srup.inference.upscaler import Upscaler


def _channels(_: click.Context, __: click.Parameter, value: str) -> int | None:
    if value == "all":
        return None
    if value.isdecimal() and int(value) >= 1:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither all nor a number from 1 on")


@click.command("features", cls=Command)
@click.argument("image", type=click.Path(path_type=Path))
@options.model(DEFAULT, "Network (srup models lists them).")
@options.weights
@options.scale(4, "Scale of the network to look into.")
@click.option(
    "--channels",
    default="8",
    show_default=True,
    metavar="N|all",
    callback=_channels,
    help="How many channels of each stage to draw.",
)
@click.option(
    "--side",
    type=click.IntRange(16),
    default=320,
    show_default=True,
    help="Pixels of the longer side to which a larger image is shrunk first.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the grid.  [default: photo_features.png, beside it]",
)
@options.device
@options.overwrite
@options.verbose
def command(
    image: Path,
    model: str,
    weights: str | None,
    scale: float,
    channels: int | None,
    side: int,
    output: Path | None,
    device: str,
    overwrite: bool,
    verbose: bool,
) -> None:
    """Draw the feature maps after each stage of a network as a grid.

    \b
    srup features photo.jpg -m imdn -o grid.png
    """
    console.start_logging(verbose)
    (first, *_) = routing.route(model, scale, own_weights=weights is not None)
    target = output or image.with_name(f"{image.stem}_features.png")
    format_of(target)  # raises WriteError before the work for a format that cannot be written
    check_free(target, overwrite=overwrite)
    if weights is not None:
        check_file(weights)
    source = read_image(image)
    pixels = _shrunk(source, side, name=str(image))
    title = f"{model} ×{first.scale}" if first.scale else model
    title += f" on {image.name}, {_size(source.pixels)}"
    if pixels.shape != source.pixels.shape:
        title += f" shrunk to {_size(pixels)}"
    with console.busy(f"preparing {model}"):
        upscaler = _loaded(model, scale, weights, device)
    with console.busy(f"drawing {target.name}"):
        grid = _grid(_maps(upscaler, pixels, scale), title, channels)
        write_image(grid, target, overwrite=overwrite)
    click.echo(printable(str(target)))


def _loaded(model: str, scale: float, weights: str | None, device: str) -> Upscaler:
    """An upscaler of the engine that has the network's own stages."""
    from srup.inference.loading import load

    with console.download(f"{model} weights") as progress:
        return load(
            model,
            scale=scale,
            weights=weights,
            device=device,
            engine="pytorch",
            precision="fp32",
            progress=progress,
        )


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[1]}×{pixels.shape[0]}"


def _shrunk(image: Image, side: int, *, name: str) -> Pixels:
    """The pixels of an image, shrunk if its longer side is above `side`."""
    if min(image.size) < 2:
        raise UsageError(f"{name} is {_size(image.pixels)}: too small to show features of")
    if max(image.size) <= side:
        return image.pixels
    return imresize(image.pixels, size=Target(width=side, height=side).size(image.size))


def _maps(upscaler: Upscaler, pixels: Pixels, scale: float) -> list[FeatureMap]:
    """The feature maps of the upscaler's first network; warns if it has but one stage."""
    from srup.evaluation import features
    from srup.inference.engines.pytorch import tensor_of

    if not upscaler.native:  # such a network refines what bicubic enlarged
        height, width = pixels.shape[:2]
        pixels = imresize(pixels, size=Target(scale).size((width, height)))
    program = upscaler.programs[0]
    assert program.network is not None, "loaded for another engine than PyTorch"
    found = features.maps(program.network, tensor_of(pixels).to(program.device))
    if len(found) == 1:
        console.warning(
            f"{upscaler.models[0].name} is a single stage and shows its result alone; "
            "imdn, rfdn, edsr-baseline, rdn have several"
        )
    return found


def _grid(found: list[FeatureMap], title: str, channels: int | None) -> Image:
    import numpy as np

    from srup.evaluation import features

    return Image(np.asarray(features.grid(found, title, channels)))
