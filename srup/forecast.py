"""What enlarging an image will take: memory, disk and time, found by enlarging a little of it.

Maps between stages are counted by `tiling.footprint`, which decides as the tiler itself does. What
work on windows takes, and how long, is measured on windows as large as the real ones where that is
quick.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srup import memory, temporaries
from srup.evaluation.consistency import consistency
from srup.images import Image, Pages, Pixels, write_pages
from srup.inference.allocation import Made
from srup.inference.canvas import MapSpec
from srup.inference.engines import Conversion, Program
from srup.inference.footprint import Footprint, Outline, footprint, least_ratio, outlined
from srup.inference.self_ensemble import ORIENTATIONS
from srup.inference.target import Target
from srup.inference.upscaler import Upscaler
from srup.inference.window_size import window_size
from srup.pipeline import Decoded, Job, Plan, Result, Size, Worker, attempted
from srup.resize import imresize

PROBED = 0.4  # seconds that a probe may take; larger windows are not tried then
MEASURED = 0.6  # seconds of runs whose median is taken
FIRST = 64  # pixels a side of the first probe
ENCODED = 1_000_000  # pixels that are encoded to see how long it takes
GRID = 4  # by as many pieces, from all over the image


@dataclass(frozen=True)
class Forecast:
    """What enlarging takes.

    `memory` is in bytes at the worst moment of the whole process, `disk` in bytes for the result
    and for temporary files. `seconds` counts reading, loading the network, computing and writing.
    """

    memory: int
    disk: int
    seconds: float

    def __str__(self) -> str:
        disk = f"{self.disk / 1e9:.2f} GB of disk"
        return f"{self.memory / 1e9:.1f} GB of memory, {disk}, {_time(self.seconds)}"


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def forecast_of(job: Job, worker: Worker) -> tuple[Result, Forecast | None]:
    """What making one image would take, or why it cannot be made. Nothing is downloaded for it."""
    read = worker.read(job)
    if isinstance(read, Result):
        return read, None
    predicted = attempted(read.result, _predicted, read, worker)
    if isinstance(predicted, Result):
        return predicted, None
    return read.result, predicted


def _predicted(read: Decoded, worker: Worker) -> Forecast:
    plan, upscalers = read.plan, worker.upscalers
    started = time.perf_counter()
    trained = upscalers.at_hand(plan.route)
    if trained:
        upscaler = upscalers(plan.route, plan.factor, pixels=plan.pixels)
    else:
        upscaler = upscalers.untrained(plan.route, plan.factor)
    loading = time.perf_counter() - started
    found = forecast(plan, upscaler, trained=trained)
    return replace(found, seconds=found.seconds + read.result.seconds + loading)


def process_age() -> float:
    """Seconds since this process was started; 0 where the system does not say."""
    try:
        started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return uptime - started / os.sysconf("SC_CLK_TCK")


def forecast(plan: Plan, upscaler: Upscaler, *, trained: bool = True) -> Forecast:
    """What enlarging the pages of a plan and writing them takes here and now.

    Memory counts what this process holds already, the pages among it. What an untrained network
    makes says nothing of how large the file will be: bicubic interpolation stands for it.
    """
    held, target = memory.resident(), plan.recipe.target
    image = max(plan.pages.images, key=lambda each: each.pixels.size)
    size = target.enlarged(image.size)
    exact = upscaler.is_exact(image.size, size)
    parts = _parts(upscaler, image, size, held)
    turns = len(ORIENTATIONS) if upscaler.self_ensemble else 1
    computing = turns * sum(part.seconds for part in parts)
    per_pixel = sum(part.seconds for part in parts) / math.prod(image.size)
    sampled = _sampled(upscaler if trained else None, image, plan, per_pixel)
    if not exact or not upscaler.native:
        computing += max(parts[-1].pixels, math.prod(size)) * sampled.resizing
    # the largest page was measured; others cost as their pixels do
    pages = sum(math.prod(each.size) for each in plan.pages.images) / math.prod(image.size)
    outputs = sum(math.prod(target.enlarged(each.size)) for each in plan.pages.images)
    return Forecast(
        memory=held + _worst(parts, plan, image, exact=exact, any_scale=not upscaler.native),
        disk=int(outputs * sampled.density) + max(part.footprint.disk for part in parts),
        seconds=sum(part.warm_up for part in parts) + pages * computing + outputs * sampled.writing,
    )


@dataclass(frozen=True)
class _Part:
    """What one network of a chain takes over its image.

    `workspace` is what work on windows takes, and `result` the network's own result, in bytes;
    `warm_up` what its first run takes longer than the others, in seconds.
    """

    image: MapSpec
    height: int  # of the network's own result, in pixels
    pixels: int
    result: int
    footprint: Footprint
    workspace: int
    warm_up: float
    seconds: float


def _parts(upscaler: Upscaler, image: Image, size: Size, held: int) -> list[_Part]:
    """What each of an upscaler's networks takes, over the image that the one before it made."""
    levels, grey = int(np.iinfo(image.pixels.dtype).max), image.pixels.shape[2] == 1
    exact, full = upscaler.is_exact(image.size, size), upscaler.in_full(image.pixels)
    conversions = upscaler.conversions(levels, grey=grey, exact=exact)
    colours: NDArray[Any] = image.pixels
    width, height = image.size
    if not upscaler.native:  # the network restores what was enlarged before
        (width, height), colours = size, image.pixels.astype(np.float32)
    found = []
    for program, conversion in zip(upscaler.programs, conversions, strict=True):
        probe = _Probe(upscaler, program, conversion, full, colours, height, width, held)
        found.append(probe.part())
        width, height = width * program.scale, height * program.scale
        # time does not depend on what is in the image
        colours = np.zeros((FIRST, FIRST, 3), np.float32)  # what a network made is not known here
    return found


@dataclass(frozen=True)
class _Probe:
    """One network over crops of its image, to see what work on windows takes."""

    upscaler: Upscaler
    program: Program
    conversion: Conversion
    full: bool
    colours: NDArray[Any]  # H×W×C
    height: int
    width: int
    held: int  # bytes that the process took before the first probe

    def part(self) -> _Part:
        """What the network takes over its image."""
        window = self._window()
        stages = self.program.stages(self.conversion, self.full)
        outlines = outlined(stages, self._crop(FIRST, FIRST))
        # a window of a stage that works on a smaller map covers more of the image
        shrunk, longest = least_ratio(outlines), max(self.height, self.width)
        largest = min(math.ceil((window or longest) / shrunk), longest)
        first, seconds = self._timed(FIRST, shrunk), self._timed(FIRST, shrunk)
        small = self._workspace(outlines, FIRST)
        side, runs = self._grown(largest, shrunk, seconds)
        large = self._workspace(outlines, side)
        probe = self._footprint(outlines, *self._sides(side), _tile(side, shrunk))
        real = self._footprint(outlines, self.height, self.width, window)
        sides = [math.prod(self._sides(each)) for each in (FIRST, side, largest)]
        rate = statistics.median(runs) / (sides[1] * probe.pixels)
        return _Part(
            image=self._spec(self.height, self.width),
            height=self.height * self.program.scale,
            pixels=self.height * self.width * self.program.scale**2,
            result=_result_bytes(outlines, self.height, self.width),
            footprint=real,
            workspace=_extrapolated([(sides[0], small), (sides[1], large)], sides[2]),
            warm_up=max(first - seconds, 0.0),
            seconds=rate * self.height * self.width * real.pixels,
        )

    def _window(self) -> int | None:
        """The side of the windows that the image will be computed in."""
        stages = self.program.stages(self.conversion, self.full)
        return window_size(self.program, stages, self.upscaler.tile, self.height, self.width)

    def _sides(self, side: int) -> tuple[int, int]:
        """The sides of a crop that has a window for each worker, as far as the image reaches."""
        window = self._window()
        workers = 1
        if window is not None and max(self.height, self.width) > window:
            workers = self.program.workers
        return min(side, self.height), min(side * workers, self.width)

    def _grown(self, largest: int, shrunk: Fraction, seconds: float) -> tuple[int, list[float]]:
        """The largest window that is tried, and how long several runs of it took."""
        side = FIRST
        while side < largest and seconds < PROBED:
            side = min(side * 2, largest)
            self._timed(side, shrunk)  # a new size is prepared once
            seconds = self._timed(side, shrunk)
        runs = [seconds]
        while sum(runs) < MEASURED:
            runs.append(self._timed(side, shrunk))
        return side, runs

    def _timed(self, side: int, shrunk: Fraction) -> float:
        """Seconds that windows of a side take, as many at a time as there are workers."""
        crop = self._crop(*self._sides(side))
        tile = _tile(side, shrunk)
        own = replace(self.upscaler, tile=tile, self_ensemble=False, tiling="exact")
        started = time.perf_counter()
        own.compute(self.program, crop, self.conversion, self.full, None)
        return time.perf_counter() - started

    def _crop(self, height: int, width: int) -> NDArray[Any]:
        """A crop 1×C×H×W of the image, which is repeated where it is too small."""
        have = self.colours.shape
        rows, columns = np.arange(height) % have[0], np.arange(width) % have[1]
        taken = np.ascontiguousarray(self.colours[rows][:, columns])
        return taken[None].transpose(0, 3, 1, 2)

    def _spec(self, height: int, width: int) -> MapSpec:
        shape = (1, self.colours.shape[2], height, width)
        return MapSpec(shape, self.colours.dtype, reusable=False)

    def _footprint(
        self, outlines: Sequence[Outline], height: int, width: int, window: int | None
    ) -> Footprint:
        budget = min(memory.available() // 4, self.upscaler.memory_budget)
        return footprint(outlines, self._spec(height, width), window, budget)

    def _workspace(self, outlines: Sequence[Outline], side: int) -> int:
        """Bytes that the process has grown by for windows of a side, without maps of the whole."""
        tile = _tile(side, least_ratio(outlines))
        maps = self._footprint(outlines, *self._sides(side), tile).memory
        return max(memory.resident() - self.held - maps, 0)


def _tile(side: int, shrunk: Fraction) -> int:
    """Windows that cover a side of the image in the stage that works on the smallest map."""
    return max(math.ceil(side * shrunk), 1)


def _extrapolated(points: Sequence[tuple[int, int]], pixels: int) -> int:
    """Bytes for so many pixels, by a line through what was measured at (pixels, bytes)."""
    (few, small), (many, large) = points
    if many <= few:
        return large
    return large + max(large - small, 0) * max(pixels - many, 0) // (many - few)


def _result_bytes(outlines: Sequence[Outline], height: int, width: int) -> int:
    """Bytes of the last map that stages make of an image."""
    made = MapSpec((1, 1, height, width), np.dtype(np.uint8))
    for outline in outlines:
        result = outline.results[-1]
        if isinstance(result, Made):
            made = result.whole(*made.shape[-2:])
    return made.nbytes


def _worst(
    parts: Sequence[_Part], plan: Plan, image: Image, *, exact: bool, any_scale: bool
) -> int:
    """Bytes at the worst moment of enlarging the pages of a plan, beside what is held before.

    A network of `any_scale` gets an image that was enlarged before, in floats.
    """
    own = _page_bytes(plan, image)
    others = sum(_page_bytes(plan, each) for each in plan.pages.images) - own
    moments = []
    for number, part in enumerate(parts):
        given = 0  # the first network's image is held before
        if number or any_scale:
            given = part.image.nbytes
        moments.append(given + part.footprint.memory + part.workspace)
    if any_scale:  # what was enlarged, and what was clipped of it
        moments.append(3 * parts[0].image.nbytes)
    if not exact:  # resized by columns first, then by rows
        height = plan.recipe.target.enlarged(image.size)[1]
        upright = parts[-1].result * height // parts[-1].height
        moments.append(parts[-1].result + upright + own)
    # freed memory lies in pieces, so an encoder's copy of the whole page is given new memory
    return others + max(moments) + _encoder_bytes(plan)


def _page_bytes(plan: Plan, image: Image) -> int:
    """Bytes of the result of one page."""
    channels = image.pixels.shape[2] + (image.alpha is not None)
    pixels = math.prod(plan.recipe.target.enlarged(image.size))
    return int(pixels * channels * image.pixels.dtype.itemsize)


def _encoder_bytes(plan: Plan) -> int:
    """Bytes that encoding a page takes beside it: a copy by Pillow, four bytes for a colour."""
    pixels = max(math.prod(plan.recipe.target.enlarged(each.size)) for each in plan.pages.images)
    coloured = plan.pages.images[0].pixels.shape[2] == 3
    copies = 1 if plan.recipe.target.crops else 0  # what is cut out is made contiguous first
    if not plan.name.endswith(".png") or plan.pages.animated:
        copies += 1
    return copies * pixels * (4 if coloured else 1)


@dataclass(frozen=True)
class _Sampled:
    """What is done once for each pixel of the result, seen on a sample: seconds and bytes for a
    pixel.
    """

    writing: float
    density: float
    resizing: float


def _sampled(upscaler: Upscaler | None, image: Image, plan: Plan, seconds: float) -> _Sampled:
    """Encodes, resizes and compares a sample of the result.

    The sample is made by the upscaler in about ENOUGH seconds, at `seconds` for a pixel of the
    input; by bicubic interpolation without one.
    """
    factor = plan.recipe.target.factor(image.size)
    affordable = math.inf if upscaler is None else math.sqrt(MEASURED / max(seconds, 1e-9))
    side = min(max(round(min(math.sqrt(ENCODED) / factor, affordable)), GRID), *image.size)
    sample = _pieces(image, side)
    size = Target(factor).size((sample.shape[1], sample.shape[0]))
    started = time.perf_counter()
    enlarged = imresize(sample, size=size)
    resizing = time.perf_counter() - started
    if upscaler is not None:
        enlarged = upscaler.colours(sample, size, None)
    part = replace(image, pixels=enlarged, alpha=None)
    with temporaries.folder() as folder:
        written = folder / plan.name
        started = time.perf_counter()
        write_pages(Pages((part,)), written, encoding=plan.recipe.encoding)
        consistency(sample, enlarged)
        writing = time.perf_counter() - started
        carried = [block for block in (image.icc, image.exif, image.xmp, image.iptc) if block]
        content = max(written.stat().st_size - sum(map(len, carried)), 0)
    pixels = math.prod(size)
    return _Sampled(writing / pixels, content / pixels, resizing / pixels)


def _pieces(image: Image, side: int) -> Pixels:
    """Pieces from all over the image, laid together to about `side` pixels a side."""
    piece = max(side // GRID, 1)
    tops, lefts = (
        np.linspace(0, length - piece, GRID).astype(int) for length in image.pixels.shape[:2]
    )
    rows = []
    for top in tops:
        strip = image.pixels[top : top + piece]
        rows.append(np.hstack([strip[:, left : left + piece] for left in lefts]))
    return np.vstack(rows)
