"""srup upscale: one or a few images."""

from __future__ import annotations

import io
import itertools
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from srup.cli import console, options
from srup.errors import ImageError, OutOfMemory, UsageError, WriteError
from srup.evaluation.consistency import consistency_of_pages
from srup.files import check_folder
from srup.images import (
    FORMATS,
    MAX_PIXELS,
    QUALITY,
    Encoding,
    Pages,
    check_holds,
    default_format,
    format_of,
    read_pages,
    write_pages,
)
from srup.inference.run_options import RunOptions
from srup.inference.target import Target
from srup.models import registry, routing
from srup.report import plain

if TYPE_CHECKING:
    from srup.forecast import Forecast
    from srup.inference.upscaler import Upscaler, UpscalerCache

T = TypeVar("T")
STANDARD = Path("-")  # input or output


@click.command("upscale")
@click.argument(
    "inputs",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="INPUT...",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="A file, a folder for several, or - for standard output.  [default: beside the input]",
)
@options.wanted
@options.model
@options.weights
@options.run_options()
@click.option(
    "-f",
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    help="Output format.  [default: png; tiff for pages]",
)
@options.quality
@click.option("--lossless", is_flag=True, help="WebP, HEIC and JPEG XL without loss.")
@click.option("--palette", is_flag=True, help="Accept the 256 colours of a GIF.")
@click.option(
    "--dpi",
    type=click.FloatRange(1, 100_000),
    help="Set the density.  [default: that of the input]",
)
@click.option("--strip", is_flag=True, help="Leave EXIF, XMP, IPTC and texts out.")
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=MAX_PIXELS,
    show_default=True,
    help="Refuse larger inputs.",
)
@click.option("--suffix", help="Added to the input's name.  [default: _x4, or _800x600]")
@options.overwrite
@click.option(
    "--dry-run", is_flag=True, help="Say what would be done and what it would take, and do nothing."
)
@options.as_json
@options.verbose
def command(
    inputs: tuple[Path, ...],
    output: Path | None,
    wanted: Target,
    model: str,
    weights: str | None,
    run_options: RunOptions,
    format_: str | None,
    quality: int | None,
    lossless: bool,
    palette: bool,
    dpi: float | None,
    strip: bool,
    max_pixels: int,
    suffix: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Enlarge images: photographs, animations, documents of many pages.

    \b
    srup upscale photo.jpg                         photo_x4.png, beside it
    srup upscale photo.jpg -s 2.5 -m imdn -o big.webp
    srup upscale *.png --width 1920 -o larger/
    cat photo.jpg | srup upscale - -s 2 -o - -f jpeg > large.jpg
    """
    console.start_logging(verbose)
    routing.route(model, wanted.scale or 1)  # an unknown name or scale is met before any file is
    encoding = Encoding(QUALITY if quality is None else quality, lossless, palette)
    place = Place(output, format_, suffix, wanted, overwrite, encoding, several=len(inputs) > 1)
    place.check(inputs)
    loaded = Loaded(model, weights, run_options)
    changes = Changes(max_pixels, strip, dpi)
    failed = 0
    for report in Line(place, loaded, changes, dry_run).reports(inputs):
        failed += report.error is not None
        _tell(report, as_json, aside=place.piped(inputs))
    return 1 if failed else 0


@dataclass(frozen=True)
class Changes:
    """What is read, and what is left of what came with it."""

    max_pixels: int
    strip: bool
    dpi: float | None

    def read(self, path: Path) -> Pages:
        source = io.BytesIO(sys.stdin.buffer.read()) if path == STANDARD else path
        pages = read_pages(source, max_pixels=self.max_pixels)
        pages = pages.map(lambda image: image.stripped()) if self.strip else pages
        dpi = self.dpi
        return pages.map(lambda image: replace(image, dpi=(dpi, dpi))) if dpi else pages


@dataclass(frozen=True)
class Place:
    """Where results go."""

    output: Path | None
    format: str | None
    suffix: str | None
    target: Target
    overwrite: bool
    encoding: Encoding
    several: bool

    def check(self, inputs: tuple[Path, ...]) -> None:
        """Raises UsageError if several inputs would become one file, or a picture be shown as text."""
        if self.piped(inputs) and sys.stdout.isatty():
            raise UsageError(
                "standard output is a terminal; send it into a file with >, or name one with -o"
            )
        if self.output == STANDARD and self.several:
            raise UsageError("standard output takes one image; name a folder with -o")
        if self.output is None or not self.several:
            return
        if not self.output.is_dir():
            raise UsageError(
                f"several images need a folder to go to, and {self.output} is none; create it, or name another with -o"
            )
        names = [path.stem for path in inputs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UsageError(
                f"several inputs are called {twice} and would become one file in {self.output}; take them one by one"
            )

    def piped(self, inputs: Sequence[Path]) -> bool:
        """Whether a picture goes to standard output, where nothing else may go then."""
        return self.output == STANDARD or (self.output is None and STANDARD in inputs)

    def path(self, source: Path, pages: Pages, size: tuple[int, int]) -> Path:
        """The file that the enlarged `source`, whose first page becomes of this size, is written to; `STANDARD` for none."""
        if self.output == STANDARD or (self.output is None and source == STANDARD):
            return STANDARD
        if self.output is None:
            return source.with_name(self.name(source, pages, size))
        if self.output.is_dir() or str(self.output).endswith("/"):
            return self.output / self.name(source, pages, size)
        if self.format and format_of(self.output) != self.format:
            raise UsageError(
                f"-o {self.output} and -f {self.format} contradict each other; give one of them"
            )
        return self.output

    def name(self, source: Path, pages: Pages, size: tuple[int, int]) -> str:
        """photo_x4.png"""
        scale = self.target.scale
        suffix = (
            self.suffix
            if self.suffix is not None
            else f"_x{scale:g}"
            if scale
            else f"_{size[0]}x{size[1]}"
        )
        stem = "stdin" if source == STANDARD else source.stem
        return f"{stem}{suffix}{FORMATS[self.format or default_format(pages)].extensions[0]}"

    def ready(self, source: Path, pages: Pages, claimed: Collection[Path] = ()) -> Path:
        """The same, once it is sure that the result can be written there; `claimed` are being written. Raises WriteError."""
        sizes = [self.target.size(image.size) for image in pages.images]
        path = self.path(source, pages, sizes[0])
        check_holds(
            path if path != STANDARD else Path(self.name(source, pages, sizes[0])),
            pages,
            sizes,
            self.encoding,
        )
        if path == STANDARD:
            return path
        if (path.exists() or path in claimed) and not self.overwrite:
            raise WriteError(f"{path} exists; -y replaces it, -o or --suffix names another")
        check_folder(path)
        return path

    def write(self, pages: Pages, path: Path, source: Path) -> None:
        """Writes the enlarged pages to `path`, as `ready` gave it."""
        if path != STANDARD:
            write_pages(pages, path, encoding=self.encoding)
            return
        with tempfile.TemporaryDirectory(
            prefix="srup-"
        ) as folder:  # some encoders go back and forth in their file
            written = Path(folder) / self.name(source, pages, pages.images[0].size)
            write_pages(pages, written, encoding=self.encoding)
            with written.open("rb") as file:
                shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
            sys.stdout.buffer.flush()


class Loaded:
    """The upscalers, each loaded when it is needed first, and that is shown."""

    def __init__(self, model: str, weights: str | None, run_options: RunOptions) -> None:
        self.model, self.weights, self.run_options = model, weights, run_options

    @cached_property
    def upscalers(self) -> UpscalerCache:
        from srup.inference.upscaler import UpscalerCache

        return UpscalerCache(self.model, self.weights, self.run_options)

    def upscaler(self, scale: float) -> Upscaler:
        with console.download(f"{self.model} weights") as progress:
            return self.upscalers(scale, progress=progress)

    def forecast(
        self, scale: float, pages: Pages, place: Place, path: Path, *, decoding: float
    ) -> Forecast:
        """What it will take; nothing is downloaded for it."""
        from srup.forecast import forecast

        trained = self.upscalers.at_hand(scale)
        upscaler = self.upscaler(scale) if trained else self.upscalers.untrained(scale)
        named = path if path != STANDARD else Path(place.name(path, pages, (0, 0)))
        return forecast(
            upscaler,
            pages,
            place.target,
            path=named,
            encoding=place.encoding,
            decoding=decoding,
            trained=trained,
        )


@dataclass(frozen=True)
class Report:
    """What became of one input."""

    input: str
    output: str | None = None
    before: tuple[int, int] | None = None  # width, height
    after: tuple[int, int] | None = None
    pages: int | None = None  # where there are several
    animated: bool | None = None
    networks: str | None = None
    seconds: float | None = None
    consistency: float | None = None  # dB
    forecast: Forecast | None = None
    error: str | None = None

    def __str__(self) -> str:
        """photo.jpg → photo_x4.png  3072×2048  lite ×4  1.2 s"""
        width, height = self.after or (0, 0)
        took = f"would take {self.forecast}" if self.seconds is None else f"{self.seconds:.1f} s"
        pages = f"  {self.pages} {'frames' if self.animated else 'pages'}" if self.pages else ""
        return f"{self.input} → {self.output}  {width}×{height}{pages}  {self.networks}  {took}"


@dataclass(frozen=True)
class Decoded:
    """An input, and how long reading it took."""

    pages: Pages
    seconds: float


@dataclass(frozen=True)
class Line:
    """Decode, compute, encode: while an image is computed, the next one is read and the one before is written."""

    place: Place
    loaded: Loaded
    changes: Changes
    dry_run: bool

    def reports(self, inputs: Sequence[Path]) -> Iterator[Report]:
        """What became of each, in order."""
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            last: Future[Report] | None = None
            reading = reader.submit(self._decoded, inputs[0])
            claimed: set[Path] = set()
            for path, following in itertools.zip_longest(inputs, inputs[1:]):
                decoding = reading
                if following:
                    reading = reader.submit(self._decoded, following)
                try:
                    made = _guarded(path, partial(self._computed, path, decoding, claimed))
                    written = writer.submit(
                        _guarded, path, partial(_same, made) if isinstance(made, Report) else made
                    )
                finally:
                    if last:
                        yield last.result()
                last = written
            if last:
                yield last.result()

    def _decoded(self, path: Path) -> Decoded:
        started = time.perf_counter()
        pages = self.changes.read(path)
        return Decoded(pages, time.perf_counter() - started)

    def _computed(
        self, path: Path, decoding: Future[Decoded], claimed: set[Path]
    ) -> Report | Callable[[], Report]:
        """The image enlarged: what remains is to write it, and that reports. The report itself of a dry run."""
        pages, place, decoded = decoding.result().pages, self.place, decoding.result().seconds
        first = pages.images[0]
        factor = max(place.target.factor(image.size) for image in pages.images)
        result = place.ready(path, pages, claimed)
        networks = _networks(
            self.loaded.upscalers.route(factor), first.size, place.target.enlarged(first.size)
        )
        report = Report(
            str(path), str(result), first.size, place.target.size(first.size), networks=networks
        )
        if len(pages) > 1:
            report = replace(report, pages=len(pages), animated=pages.animated)
        if self.dry_run:
            return replace(
                report,
                forecast=self.loaded.forecast(factor, pages, place, result, decoding=decoded),
            )
        upscaler = self.loaded.upscaler(factor)
        started = time.perf_counter()
        with console.progress(path.name) as progress:
            enlarged = upscaler(pages, size=place.target, progress=progress)
        seconds = decoded + time.perf_counter() - started
        claimed.add(result)
        return partial(self._written, report, seconds, pages, enlarged)

    def _written(self, report: Report, seconds: float, pages: Pages, enlarged: Pages) -> Report:
        started = time.perf_counter()
        self.place.write(enlarged, Path(str(report.output)), Path(report.input))
        seconds += time.perf_counter() - started
        kept = (
            None
            if self.place.target.crops
            else consistency_of_pages(pages, enlarged, name=report.input)
        )
        return replace(report, seconds=seconds, consistency=kept)


def _same(report: Report) -> Report:
    return report


def _guarded(path: Path, step: Callable[[], T]) -> T | Report:
    """What a step reports, be it an error that is about this image and no other."""
    try:
        return step()
    except ImageError as error:
        return Report(str(path), error=str(error))
    except (OutOfMemory, MemoryError) as error:
        return Report(
            str(path), error=f"{path}: {str(error) or 'the memory is full; take a smaller scale'}"
        )


def _networks(
    route: tuple[registry.Model, ...], before: tuple[int, int], after: tuple[int, int]
) -> str:
    """imdn ×4, or imdn ×2 ×3, resized where the networks enlarge more than was asked."""
    if not route[0].scale:
        return route[0].name
    total = math.prod(row.scale for row in route)
    natural = after == (before[0] * total, before[1] * total)
    return f"{route[0].name} {' '.join(f'×{row.scale}' for row in route)}{'' if natural else ', resized'}"


def _tell(report: Report, as_json: bool, *, aside: bool) -> None:
    if report.error:
        console.error(report.error)
    if as_json:
        click.echo(
            json.dumps(
                {key: plain(value) for key, value in asdict(report).items() if value is not None}
            ),
            err=aside,
        )
    elif not report.error:
        click.echo(report, err=aside)
