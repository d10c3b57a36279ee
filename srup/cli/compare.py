"""srup compare: versions of an image on one page."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from srup import report, temporaries
from srup.cli import console, options
from srup.cli.commands import Command
from srup.cli.failures import OF_ONE_IMAGE, failures_as_rows
from srup.errors import UsageError
from srup.evaluation import compare
from srup.evaluation.protocols import PROTOCOLS, scoring_note
from srup.files import check_free
from srup.images import Image
from srup.inference.run_options import RunOptions
from srup.models import routing
from srup.report import Report, Row

NAMED = 3  # images at most whose names are the title
CONSISTENCY_NOTE = (
    "Consistency: PSNR in dB between the input and the result shrunk to its size "
    "(bicubic imresize)."
)


@click.command("compare", cls=Command)
@click.argument(
    "images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE..."
)
@options.models("Enlarge with this network; repeat for several.")
@options.scale(4)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The image that results should be: they are scored against it.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="compare.html",
    show_default=True,
    help="The page, which ends in .html.",
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

    The page is one file that needs no network: a divider to drag, zoom and pan, and the time and
    scores of each version.

    \b
    srup compare photo.jpg -m lite -m imdn -s 4 -o compare.html
    srup compare photo_lite.png photo_imdn.png --reference photo_original.png
    """
    console.start_logging(verbose)
    _check(images, models, scale, reference, output)
    check_free(output, overwrite=overwrite)
    with temporaries.folder() as folder:
        if models:
            networks = {name: _load(name, scale, run_options) for name in dict.fromkeys(models)}
            rows = _enlarged(images, networks, scale, folder, reference)
        else:
            rows = [compare.given(images, reference)]
        made = _report(rows, scale if models else None, scored=reference is not None)
        with console.busy(f"writing {output.name}"):
            report.write(made, output, limit=sys.maxsize, overwrite=overwrite)
        console.show(made, as_json=as_json)
    console.line(f"open {output} in a browser")
    return 1 if any(row.error for row in rows) else 0


def _check(
    images: Sequence[Path],
    models: Sequence[str],
    scale: float,
    reference: Path | None,
    output: Path,
) -> None:
    """Raises UsageError, UnknownModel or ScaleError for what is wrong before any work."""
    if report.check(output) != "html":
        raise UsageError(f"{output} must end in .html: what compare makes is a page")
    for name in models:
        routing.route(name, scale)
    if not models and len(images) + (reference is not None) < 2:
        raise UsageError(
            "one image alone cannot be compared; name a second image", "or networks with {models}"
        )
    if models and reference and len(images) > 1:
        raise UsageError("a reference is of one image; compare the images one by one")


def _load(name: str, scale: float, run_options: RunOptions) -> Callable[[Image], Image]:
    """A network ready to enlarge.

    It has run once, so that the first image's time does not hold what is done once.
    """
    import numpy as np

    from srup.inference.loading import load

    with console.download(f"{name} weights") as progress:
        upscaler = load(name, scale=scale, progress=progress, **asdict(run_options))
    upscaler(np.zeros((32, 32, 3), np.uint8))

    def enlarge(image: Image) -> Image:
        with console.progress(name) as update:
            return upscaler(image, progress=update)

    return enlarge


def _enlarged(
    images: Sequence[Path],
    networks: Mapping[str, Callable[[Image], Image]],
    scale: float,
    folder: Path,
    reference: Path | None,
) -> list[Row]:
    """A row for each image, with what the networks made of it or why it failed."""
    rows: list[Row] = []
    for number, path in enumerate(images):
        own = folder / str(number)  # images of one name must not overwrite each other's results
        own.mkdir()
        with failures_as_rows(rows, path.name, caught=OF_ONE_IMAGE):
            rows.append(compare.enlarged(path, networks, scale, own, reference))
    return rows


def _report(rows: Sequence[Row], scale: float | None, *, scored: bool) -> Report:
    """The report of images enlarged by `scale`, or, for None, of images as they are."""
    title = ", ".join(row.name for row in rows) if len(rows) <= NAMED else f"{len(rows)} images"
    if scale:
        title += f", enlarged {scale:g} times"
    notes = []
    if scored:
        border = math.ceil(scale or 0)
        notes.append(f"PSNR and SSIM: {scoring_note(PROTOCOLS['paper'].what, border)}")
    if scale:
        notes.append(CONSISTENCY_NOTE)
    return Report(title, rows, notes, compare.VERSION_COLUMNS, heading="version")
