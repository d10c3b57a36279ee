"""srup compare: versions of an image on a page, to look at."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from srup import report
from srup.cli import console, options
from srup.errors import ImageError, UsageError
from srup.evaluation import compare
from srup.evaluation.protocols import PROTOCOLS, stated
from srup.files import check_free
from srup.images import Image
from srup.inference.run_options import RunOptions
from srup.models import routing
from srup.report import Report, Row


@click.command("compare")
@click.argument(
    "images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE..."
)
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Enlarge with this network; repeat for several.",
)
@click.option(
    "-s", "--scale", type=float, default=4, show_default=True, help="How many times larger."
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What the result should be, to score against.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="compare.html",
    show_default=True,
)
@options.run_options()
@options.overwrite
@options.as_json
@options.verbose
def command(
    images: tuple[Path, ...],
    models: tuple[str, ...],
    scale: float,
    reference: Path | None,
    output: Path,
    run_options: RunOptions,
    overwrite: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Make a page that compares: networks on an IMAGE, or versions of one image.

    The page is one file that needs no network: a divider to drag, zoom and pan, and what each version took and scores.

    \b
    srup compare photo.jpg -m lite -m imdn -s 4 -o compare.html
    srup compare photo_lite.png photo_imdn.png --reference photo_original.png
    """
    console.start_logging(verbose)
    _check(images, models, scale, reference, output, overwrite)
    with tempfile.TemporaryDirectory(prefix="srup-") as folder:
        if models:
            load = partial(_load, scale=scale, run_options=run_options)
            networks = {name: load(name) for name in dict.fromkeys(models)}
            rows = [
                _enlarged(path, networks, scale, Path(folder) / str(number), reference)
                for number, path in enumerate(images)
            ]
        else:
            rows = [compare.given(images, reference)]
        title = ", ".join(row.name for row in rows) + (f" ×{scale:g}" if models else "")
        notes = _notes(
            math.ceil(scale) if models else 0, scored=reference is not None, consistent=bool(models)
        )
        made = Report(title, rows, notes, compare.VERSION_COLUMNS, heading="version")
        report.write(made, output, limit=sys.maxsize)
        console.show(made, as_json=as_json)
    console.err.print(f"[dim]open {output} in a browser[/]")
    return 1 if any(row.error for row in rows) else 0


def _check(
    images: tuple[Path, ...],
    models: tuple[str, ...],
    scale: float,
    reference: Path | None,
    output: Path,
    overwrite: bool,
) -> None:
    """Everything that can be known to be wrong before the work."""
    if report.check(output) != "html":
        raise UsageError(f"-o {output} must end in .html: what compare makes is a page")
    for name in models:
        routing.route(name, scale)
    if not models and len(images) + (reference is not None) < 2:
        raise UsageError(
            "one image alone cannot be compared; name networks with -m, or a second image"
        )
    if models and reference and len(images) > 1:
        raise UsageError("--reference is of one image; compare the images one by one")
    check_free(output, overwrite=overwrite)


def _load(name: str, *, scale: float, run_options: RunOptions) -> Callable[[Image], Image]:
    """The network, ready: what is only done once is not part of the first image's time."""
    import numpy as np

    from srup.inference.upscaler import load

    with console.download(f"{name} weights") as progress:
        upscaler = load(name, scale=scale, progress=progress, **asdict(run_options))
    upscaler(np.zeros((32, 32, 3), np.uint8))

    def enlarge(image: Image) -> Image:
        with console.progress(name) as update:
            return upscaler(image, progress=update)

    return enlarge


def _enlarged(
    path: Path,
    networks: dict[str, Callable[[Image], Image]],
    scale: float,
    folder: Path,
    reference: Path | None,
) -> Row:
    folder.mkdir()
    try:
        return compare.enlarged(path, networks, scale, folder, reference)
    except ImageError as error:
        return Row(path.name, error=str(error))


def _notes(border: int, *, scored: bool, consistent: bool) -> list[str]:
    notes = [f"PSNR and SSIM: {stated(PROTOCOLS['paper'].what, border)}"] if scored else []
    if consistent:
        notes.append(
            "Consistency: PSNR in dB between the input and the result shrunk to its size (bicubic imresize)."
        )
    return notes
