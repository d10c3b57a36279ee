"""srup features: what a network sees in an image."""

from __future__ import annotations

from pathlib import Path

import click

from srup.cli import console, options
from srup.errors import UsageError
from srup.files import check_free
from srup.images import Image, format_of, read_image, write_image
from srup.inference.target import Target
from srup.models import routing
from srup.resize import imresize


def _channels(_: click.Context, __: click.Parameter, value: str) -> int | None:
    if value == "all":
        return None
    if value.isdecimal() and int(value) >= 1:
        return int(value)
    raise click.BadParameter(f"{value!r} is neither all nor a number from 1 on")


@click.command("features")
@click.argument("image", type=click.Path(path_type=Path))
@options.model
@options.weights
@click.option(
    "-s", "--scale", type=float, default=4, show_default=True, help="Which of the network's scales."
)
@click.option(
    "--channels",
    default="8",
    show_default=True,
    metavar="N|all",
    callback=_channels,
    help="How many of each stage.",
)
@click.option(
    "--side",
    type=click.IntRange(16),
    default=320,
    show_default=True,
    help="A larger image is shrunk to so many pixels.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="[default: photo_features.png, beside it]",
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
    rows = routing.route(model, scale, own_weights=weights is not None)
    target = output or image.with_name(f"{image.stem}_features.png")
    format_of(target)
    check_free(target, overwrite=overwrite)
    source = read_image(image)
    if min(source.size) < 2:
        raise UsageError(
            f"{image} is {source.size[0]}×{source.size[1]}: too small to show features of"
        )
    import numpy as np

    from srup.evaluation import features
    from srup.inference.engines.pytorch import tensor_of
    from srup.inference.upscaler import load

    size = (
        Target(width=side, height=side).size(source.size)
        if max(source.size) > side
        else source.size
    )
    pixels = imresize(source.pixels, size=size)
    with console.download(f"{model} weights") as progress:
        upscaler = load(
            model,
            scale=scale,
            weights=weights,
            device=device,
            engine="pytorch",
            precision="fp32",
            progress=progress,
        )
    if not upscaler.native:
        pixels = imresize(pixels, size=Target(scale).size(size))
    network = upscaler.programs[0].network
    assert network is not None, "only PyTorch has the network as a module"
    found = features.maps(network, tensor_of(pixels).to(upscaler.programs[0].device))
    if len(found) == 1:
        console.warning(
            f"{model} is a single stage and shows its result alone; imdn, rfdn, edsr-baseline, rdn have several"
        )
    name = f"{model} ×{rows[0].scale}" if rows[0].scale else model
    shown = f"{image.name}, {source.size[0]}×{source.size[1]}{f' shrunk to {size[0]}×{size[1]}' if size != source.size else ''}"
    drawn = features.grid(found, f"{name} on {shown}", channels)
    write_image(Image(np.asarray(drawn)), target)
    click.echo(target)
