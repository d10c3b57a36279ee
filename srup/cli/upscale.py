"""srup upscale: one or a few images."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srup import registry
from srup.cli import console, options
from srup.errors import ImageError, OutOfMemory, UsageError, WriteError
from srup.files import check_folder
from srup.images import EXTENSIONS, Image, check_holds, format_of, read_image, write_image
from srup.report import plain
from srup.scores import consistency_of
from srup.sizes import Target, target

if TYPE_CHECKING:
    from srup.upscaler import Upscaler


@click.command("upscale")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="A file, or a folder for several.  [default: beside the input]"
)
@click.option("-s", "--scale", type=float, help="How many times larger, whole or not.  [default: 4]")
@click.option("--size", metavar="WxH", help="Fit inside so many pixels.")
@click.option("--width", type=click.IntRange(1), help="To this width.")
@click.option("--height", type=click.IntRange(1), help="To this height.")
@options.model
@options.weights
@options.tile
@options.tiling
@options.self_ensemble
@options.device
@click.option("-f", "--format", "format_", type=click.Choice(list(EXTENSIONS)), help="Output format.  [default: png]")
@click.option("-q", "--quality", type=click.IntRange(1, 100), help="For JPEG, WebP and AVIF.  [default: 95]")
@click.option("--suffix", help="Added to the input's name.  [default: _x4, or _800x600]")
@options.overwrite
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@options.as_json
@options.verbose
def command(
    inputs: tuple[Path, ...],
    output: Path | None,
    scale: float | None,
    size: str | None,
    width: int | None,
    height: int | None,
    model: str,
    weights: str | None,
    tile: int | str,
    tiling: str,
    self_ensemble: bool,
    device: str,
    format_: str | None,
    quality: int | None,
    suffix: str | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Enlarge images.

    \b
    srup upscale photo.jpg                         photo_x4.png, beside it
    srup upscale photo.jpg -s 2.5 -m imdn -o big.webp
    srup upscale *.png --width 1920 -o larger/
    """
    console.start_logging(verbose)
    wanted = target(scale=scale, size=size, width=width, height=height)
    registry.route(model, wanted.scale or 1)  # an unknown name or scale is met before any file is
    place = Place(output, format_, suffix, wanted, overwrite, several=len(inputs) > 1)
    place.check(inputs)
    loaded = Loaded(model, weights, tile, tiling, self_ensemble, device)
    failed = 0
    for path in inputs:
        try:
            report = _upscale(path, place, loaded, quality, dry_run)
        except ImageError as error:
            report, failed = Report(str(path), error=str(error)), failed + 1
        except (OutOfMemory, MemoryError) as error:
            reason = str(error) or "the memory is full; take a smaller scale"
            report, failed = Report(str(path), error=f"{path}: {reason}"), failed + 1
        _tell(report, as_json)
    return 1 if failed else 0


@dataclass(frozen=True)
class Place:
    """Where results go."""

    output: Path | None
    format: str | None
    suffix: str | None
    target: Target
    overwrite: bool
    several: bool

    def check(self, inputs: tuple[Path, ...]) -> None:
        """Raises UsageError if several inputs would become one file."""
        if self.output is None or not self.several:
            return
        if not self.output.is_dir():
            raise UsageError(
                f"several images need a folder to go to, and {self.output} is none; create it, or name another with -o"
            )
        names = [path.stem for path in inputs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UsageError(f"several inputs are called {twice} and would become one file in {self.output}; take them one by one")

    def path(self, source: Path, size: tuple[int, int]) -> Path:
        """The file that the enlarged `source`, of this size, becomes."""
        scale = self.target.scale
        suffix = self.suffix if self.suffix is not None else f"_x{scale:g}" if scale else f"_{size[0]}x{size[1]}"
        name = f"{source.stem}{suffix}{EXTENSIONS[self.format or 'png']}"
        if self.output is None:
            return source.with_name(name)
        if self.output.is_dir() or str(self.output).endswith("/"):
            return self.output / name
        if self.format and format_of(self.output) != self.format:
            raise UsageError(f"-o {self.output} and -f {self.format} contradict each other; give one of them")
        return self.output

    def ready(self, source: Path, image: Image, size: tuple[int, int]) -> Path:
        """The same, once it is sure that the result can be written there. Raises WriteError."""
        path = self.path(source, size)
        check_holds(path, size, alpha=image.alpha is not None)
        if path.exists() and not self.overwrite:
            raise WriteError(f"{path} exists; -y replaces it, -o or --suffix names another")
        check_folder(path)
        return path


class Loaded:
    """Upscalers, each loaded once: images of different sizes may need different networks to become as wide as asked."""

    def __init__(self, model: str, weights: str | None, tile: int | str, tiling: str, self_ensemble: bool, device: str) -> None:
        self.model, self.weights, self.tile, self.tiling, self.device = model, weights, tile, tiling, device
        self.self_ensemble = self_ensemble
        self.ready: dict[tuple[str, ...], Upscaler] = {}

    def route(self, scale: float) -> tuple[registry.Model, ...]:
        return registry.route(self.model, scale, own_weights=self.weights is not None)

    def upscaler(self, scale: float) -> Upscaler:
        from srup.upscaler import load

        key = tuple(row.network + row.file + str(row.scale) for row in self.route(scale))
        if key not in self.ready:
            with console.download(f"{self.model} weights") as progress:
                self.ready[key] = load(
                    self.model,
                    scale=scale,
                    weights=self.weights,
                    device=self.device,
                    tile=self.tile,
                    tiling=self.tiling,
                    self_ensemble=self.self_ensemble,
                    progress=progress,
                )
        return replace(self.ready[key], scale=scale)


@dataclass(frozen=True)
class Report:
    """What became of one input."""

    input: str
    output: str | None = None
    before: tuple[int, int] | None = None  # width, height
    after: tuple[int, int] | None = None
    networks: str | None = None
    seconds: float | None = None
    consistency: float | None = None  # dB
    error: str | None = None

    def __str__(self) -> str:
        """photo.jpg → photo_x4.png  3072×2048  lite ×4  1.2 s"""
        width, height = self.after or (0, 0)
        took = "would be made" if self.seconds is None else f"{self.seconds:.1f} s"
        return f"{self.input} → {self.output}  {width}×{height}  {self.networks}  {took}"


def _upscale(path: Path, place: Place, loaded: Loaded, quality: int | None, dry_run: bool) -> Report:
    image = read_image(path)
    factor, size = place.target.factor(image.size), place.target.size(image.size)
    result = place.ready(path, image, size)
    report = Report(str(path), str(result), image.size, size, _networks(loaded.route(factor), image.size, size))
    if dry_run:
        return report
    upscaler = loaded.upscaler(factor)
    started = time.perf_counter()
    with console.progress(path.name) as progress:
        enlarged = upscaler(image, size=size, progress=progress)
        write_image(enlarged, result, quality=quality)
    seconds = time.perf_counter() - started
    return replace(report, seconds=seconds, consistency=consistency_of(image, enlarged, name=str(path)))


def _networks(route: tuple[registry.Model, ...], before: tuple[int, int], after: tuple[int, int]) -> str:
    """imdn ×4, or imdn ×2 ×3, resized where the networks enlarge more than was asked."""
    if not route[0].scale:
        return route[0].name
    total = math.prod(row.scale for row in route)
    natural = after == (before[0] * total, before[1] * total)
    return f"{route[0].name} {' '.join(f'×{row.scale}' for row in route)}{'' if natural else ', resized'}"


def _tell(report: Report, as_json: bool) -> None:
    if report.error:
        console.error(report.error)
    if as_json:
        click.echo(json.dumps({key: plain(value) for key, value in asdict(report).items() if value is not None}))
    elif not report.error:
        click.echo(report)
