"""srup serve: a page to drop pictures on, and an HTTP service."""

from __future__ import annotations

import webbrowser

import click

from srup.cli import console, options
from srup.cli.commands import Command
from srup.cli.signals import CODE, finishing
from srup.cli.types import NetworkName
from srup.errors import EngineUnavailable
from srup.inference.run_options import RunOptions
from srup.inference.target import Target
from srup.models import routing
from srup.models.registry import AUTO
from srup.pipeline import Recipe
from srup.serve.limits import ServiceLimits

PORT = 7000
MEGABYTE, GIGABYTE = 1 << 20, 1 << 30


def _limits(max_pixels: int, max_upload: int, storage: int, waiting: int) -> ServiceLimits:
    return ServiceLimits(
        waiting=waiting,
        pixels=max_pixels,
        upload=max_upload * MEGABYTE,
        storage=storage * GIGABYTE,
    )


def _at_least_one(name: str, default: int, about: str) -> options.Option:
    return click.option(
        name, type=click.IntRange(1), default=default, show_default=True, help=about
    )


_sizes = (
    options.max_pixels,
    _at_least_one(
        "--max-upload", ServiceLimits.upload // MEGABYTE, "Megabytes that a request may have."
    ),
    _at_least_one(
        "--storage",
        ServiceLimits.storage // GIGABYTE,
        "Gigabytes that uploads and results may take together.",
    ),
    _at_least_one(
        "--waiting",
        ServiceLimits.waiting,
        "Requests that may wait; others are told to come again.",
    ),
)


@click.command("serve", cls=Command)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Where to listen; 0: a port that is free.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="NAME",
    help="The address to listen on; others than this machine's own want --token.",
)
@click.option(
    "--token",
    envvar="SRUP_TOKEN",
    metavar="TEXT",
    help="What requests must know; better set as SRUP_TOKEN, which nobody sees.",
)
@click.option("--open", "open_", is_flag=True, help="Open the page in a browser.")
@click.option(
    "-m",
    "--model",
    type=NetworkName(AUTO),
    default=AUTO,
    show_default=True,
    metavar="NAME",
    help="The network of requests that name none.",
)
@options.run_options(device=options.devices)
@options.gathered("limits", _limits, _sizes)
@options.verbose
def command(
    port: int,
    host: str,
    token: str | None,
    open_: bool,
    model: str,
    run_options: RunOptions,
    limits: ServiceLimits,
    verbose: bool,
) -> int:
    """Serve a page to drop pictures on, and an API for programs.

    \b
    srup serve --open                 the page, for this machine alone
    curl --data-binary @photo.jpg 127.0.0.1:7000/v1/upscale -o larger.png
    srup upscale photo.jpg --server http://127.0.0.1:7000
    """
    console.start_logging(verbose)
    try:
        from srup.serve.running import Running
    except ImportError as error:
        raise EngineUnavailable("serving needs an extra; pip install 'srup[serve]'") from error
    name, scale = routing.chain([(model, None)])
    recipe = Recipe(Target(scale=scale), name, run_options=run_options)
    running = Running(
        recipe,
        host=host,
        port=port,
        token=token or None,
        devices=_devices(run_options.device),
        limits=limits,
    )
    click.echo(f"srup serves {running.url} (Ctrl-C ends it)")
    if open_:
        webbrowser.open(running.url)
    with finishing(running.stop) as received:
        running.run()
    return CODE + received[0] if received else 0


def _devices(names: str) -> list[str]:
    """The devices that are named, each for a worker."""
    if names != "all":
        return names.split(",")
    from srup.inference.engines.pytorch import devices

    return devices()
