"""What enlarging will take, found by enlarging a little: memory, disk and time."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from srup import memory
from srup.images import Encoding, Image, Pages, Pixels, write_pages
from srup.inference.engines import Conversion
from srup.inference.target import Target
from srup.inference.tiling import LEAST, MEMORY, Window, windows, windows_until_safe
from srup.inference.upscaler import Upscaler, window_size
from srup.models import registry
from srup.models.registry import Model
from srup.networks.stages import Array, Stage
from srup.pipeline import Decoded, Job, Result, Worker, attempted
from srup.resize import imresize

ENOUGH = 1.0  # seconds that a probe takes
FIRST = 96  # pixels a side of the first probe
ENCODED = 1_000_000  # pixels that are encoded to see how long it takes
GRID = 4  # by as many pieces
META = 64  # pixels a side of the image that canvases are counted on
FLOAT, HALF = 4, 2  # bytes


@dataclass(frozen=True)
class Forecast:
    """`memory` in bytes at the worst moment, `disk` in bytes for the result and what is parked meanwhile, and `seconds`."""

    memory: int
    disk: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.memory / 1e9:.1f} GB of memory, {self.disk / 1e9:.2f} GB of disk, {_time(self.seconds)}"


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def forecast(
    upscaler: Upscaler,
    pages: Pages,
    target: Target,
    *,
    path: Path,
    encoding: Encoding,
    decoding: float,
    trained: bool = True,
) -> Forecast:
    """What enlarging `pages` and writing them as `path` will take here and now; reading them took `decoding` seconds.

    What an untrained network makes says nothing of how large the file will be: bicubic interpolation stands for it.
    """
    before = memory.resident()
    first = max(pages.images, key=lambda image: image.pixels.size)
    rate, workspace, per_pixel = _computed(upscaler, first, target)
    enlarge = partial(upscaler.colours, progress=None) if trained else _bicubic
    encoding_rate, density = _encoded(
        enlarge, ENOUGH / rate if trained else math.inf, first, target, path, encoding
    )
    pixels = [math.prod(target.enlarged(image.size)) for image in pages.images]
    program, window = upscaler.programs[-1], window_size(upscaler.programs[-1], upscaler.tile)
    stages = program.stages(Conversion(), False)
    height, width = (length * upscaler.native // program.scale for length in first.pixels.shape[:2])
    sides = (min(window or max(height, width), length) for length in (height, width))
    reach = max((stage.margin for stage in stages), default=0)
    at_a_time = program.workers if window and max(height, width) > window else 1
    workspace += int(
        at_a_time * per_pixel * math.prod(max(one + 2 * reach, LEAST) for one in sides)
    )
    resident, parked, held = _canvases(upscaler, first, target, window)
    turns = 8 if upscaler.self_ensemble else 1
    area = sum(image.pixels.shape[0] * image.pixels.shape[1] for image in pages.images)
    result = sum(_result_bytes(image, target) for image in pages.images)
    copies = 2 if target.crops else 1  # of what is cut out, Pillow makes bytes first
    encoder = copies * max(pixels) * (4 if first.pixels.shape[2] == 3 else 1)  # Pillow's own copy
    return Forecast(
        memory=before + result + max(workspace + resident + held, encoder),
        disk=int(sum(pixels) * density) + parked,
        seconds=decoding
        + turns * area * rate * _overlap(stages, height, width, window)
        + sum(pixels) * encoding_rate,
    )


def _computed(upscaler: Upscaler, image: Image, target: Target) -> tuple[float, int, float]:
    """Seconds per input pixel in one window; bytes that any window takes, and bytes for each pixel its last network sees."""
    upscaler = replace(upscaler, tile="none", self_ensemble=False)
    factor, before = target.factor(image.size), memory.resident()
    most = min(window_size(upscaler.programs[-1], "auto") or FIRST, *image.size)

    def timed(side: int) -> float:
        started = time.perf_counter()
        upscaler.colours(_cut(image, side), _scaled((side, side), factor), None)
        return time.perf_counter() - started

    side = small = min(FIRST // 2, most)
    seconds = timed(side)
    fixed = memory.resident()
    while side < most and seconds < ENOUGH / 4:
        side = min(side * 2, most)
        seconds = timed(side)
    runs = [timed(side) for _ in range(round(2 * ENOUGH / max(seconds, 0.01)))] or [seconds]
    mean = sum(runs) / len(runs)
    own = max(upscaler.native // upscaler.programs[-1].scale, 1) ** 2
    per_pixel = max(memory.resident() - fixed, 0) / max(side**2 - small**2, 1) / own
    return mean / side**2, max(fixed - before, 0), per_pixel


def _cut(image: Image, side: int) -> Pixels:
    """The middle of the image."""
    top, left = ((length - side) // 2 for length in image.pixels.shape[:2])
    return np.ascontiguousarray(image.pixels[top : top + side, left : left + side])


def _sampled(image: Image, side: int) -> Pixels:
    """Pieces from all over the image, laid together."""
    piece = max(side // GRID, 1)
    places = [np.linspace(0, length - piece, GRID).astype(int) for length in image.pixels.shape[:2]]
    rows = [
        np.hstack([image.pixels[top : top + piece, left : left + piece] for left in places[1]])
        for top in places[0]
    ]
    return np.vstack(rows)


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    return Target(factor).size(size)


def _bicubic(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    return imresize(pixels, size=size)


def _encoded(
    enlarge: Callable[[Pixels, tuple[int, int]], Pixels],
    most: float,
    image: Image,
    target: Target,
    path: Path,
    encoding: Encoding,
) -> tuple[float, float]:
    """Seconds and bytes per output pixel, seen on a part of the result, of at most so many input pixels."""
    factor = target.factor(image.size)
    side = min(max(round(min(math.sqrt(ENCODED) / factor, math.sqrt(most))), GRID), *image.size)
    sample = _sampled(image, side)
    size = _scaled(sample.shape[1::-1], factor)
    part = replace(image, pixels=enlarge(sample, size), alpha=None)
    with tempfile.TemporaryDirectory(prefix="srup-") as folder:
        written = Path(folder) / path.name
        started = time.perf_counter()
        write_pages(Pages((part,)), written, encoding=encoding)
        seconds = time.perf_counter() - started
        carried = sum(
            len(block) for block in (image.icc, image.exif, image.xmp, image.iptc) if block
        )
        return seconds / math.prod(size), max(written.stat().st_size - carried, 0) / math.prod(size)


def _result_bytes(image: Image, target: Target) -> int:
    channels = image.pixels.shape[2] + (image.alpha is not None)
    return int(math.prod(target.enlarged(image.size)) * channels * image.pixels.dtype.itemsize)


def _overlap(stages: Sequence[Stage[Array]], height: int, width: int, window: int | None) -> float:
    """How much more is computed than there is, for the margins of windows: the mean over the stages."""
    bounds = Window(0, 0, height, width)
    factors = []
    for stage in stages:
        around = [
            part.grown(stage.margin, bounds)
            for part in windows(height, width, window, stage.stride)
        ]
        factors.append(sum(one.height * one.width for one in around) / (height * width))
    return sum(factors) / len(factors)


def _canvases(
    upscaler: Upscaler, image: Image, target: Target, window: int | None
) -> tuple[int, int, int]:
    """Bytes of maps between the stages in memory, on disk, and of results held back before they are placed."""
    width, height = image.size
    last = upscaler.programs[-1]
    before = (upscaler.native // last.scale) if upscaler.native else target.factor(image.size)
    pixels = width * height * before**2
    sizes, piece, reused = _maps(
        upscaler.models[-1], FLOAT if upscaler.in_full(image.pixels) else HALF
    )
    exact = not upscaler.native or target.enlarged(image.size) == (
        width * upscaler.native,
        height * upscaler.native,
    )
    if not exact:
        sizes.append(image.pixels.shape[2] * last.scale**2 * FLOAT)
        sizes.append(
            image.pixels.shape[2]
            * last.scale
            * FLOAT
            * target.enlarged(image.size)[1]
            / (height * before)
        )  # upright
    budget, resident, parked = min(memory.available() // 4, MEMORY), 0, 0
    for size in sorted(int(size * pixels) for size in sizes):
        fits = resident + size <= budget
        resident, parked = (resident + size, parked) if fits else (resident, parked + size)
    todo = windows(round(height * before), round(width * before), window)
    margin = max((stage.margin for stage in last.stages(Conversion(), False)), default=0)
    held = (
        min(windows_until_safe(todo, max(margin, LEAST)), len(todo))
        * (todo[0].height * todo[0].width)
        if reused
        else 0
    )
    return resident, parked, int(held * piece)


def _maps(model: Model, item: int) -> tuple[list[float], float, bool]:
    """Bytes per input pixel, `item` a value: of each canvas at worst, of what a stage adds; and whether any is written over."""
    with torch.device("meta"):
        network = registry.build(model)
    state: Sequence[torch.Tensor] = [torch.empty(1, 3, META, META, device="meta")]
    reusable: list[torch.Tensor] = []
    context, worst, piece, reused = None, list[float](), 0.0, False
    for stage in network.stages()[:-1]:
        following = stage.run(list(state), context)
        new = [tensor for tensor in following if not any(tensor is old for old in state)]
        free = [old for old in reusable if not any(old is tensor for tensor in following)]
        taken = reusable.copy()
        for tensor in new:
            fitting = next((old for old in free if old.shape == tensor.shape), None)
            if fitting is None:
                taken.append(tensor)
            else:
                free, reused = [old for old in free if old is not fitting], True
        worst = max(worst, [_bytes(tensor, item) for tensor in taken], key=sum)
        piece = max(piece, sum(_bytes(tensor, item) for tensor in new))
        reusable = [
            tensor
            for tensor in following
            if not any(tensor is old for old in state) or any(tensor is own for own in reusable)
        ]
        context = stage.summary([following[-1]]) if stage.summary else None
        state = following
    return worst, piece, reused


def _bytes(tensor: torch.Tensor, item: int) -> float:
    """Per input pixel."""
    return tensor.numel() * item / META**2


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
    plan, upscalers, recipe = read.plan, worker.upscalers, worker.recipe
    trained = upscalers.at_hand(plan.factor)
    upscaler = upscalers(plan.factor) if trained else upscalers.untrained(plan.factor)
    return forecast(
        upscaler,
        plan.pages,
        recipe.target,
        path=Path(plan.name),
        encoding=recipe.encoding,
        decoding=read.result.seconds,
        trained=trained,
    )
