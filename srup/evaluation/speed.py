"""Speed of this machine: networks in every precision and engine, and the largest image in one go.

Weights are random, since they do not change the speed, so nothing is downloaded. `prepare`,
`measure` and `pressure` are each meant to run in a process of their own (`srup.isolate`), so that
memory is measured separately and a crash is survivable.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from srup.errors import EngineUnavailable, OutOfMemory
from srup.evaluation.peak_memory import peak_of
from srup.images import Image, Pixels, read_image, write_image
from srup.inference.run_options import RunOptions
from srup.models import registry
from srup.models.registry import Model

CHANNELS, CONVOLUTIONS = 64, 4  # of the ceiling
WARM_UP_SIDE = 64  # pixels a side of what is enlarged first
GROWTH = 2  # times as many pixels at each step of the pressure test


@dataclass(frozen=True)
class SpeedTest:
    """A network that enlarges an image, timed `runs` times.

    The image is the file `picture`, or noise of `side` × `side` pixels. `folder` is for random
    weights, for the noise, and for what an engine caches.
    """

    model: Model
    scale: int
    run_options: RunOptions
    folder: Path
    side: int = 256
    runs: int = 5
    picture: Path | None = None

    @property
    def weights(self) -> Path:
        """The file of random weights, which `prepare` writes."""
        return self.folder / "weights.pt"


@dataclass(frozen=True)
class Speed:
    """The median time for an image of `pixels` input pixels.

    `peak` is the most memory in bytes that the process (on CUDA, the device) held, `share` the
    network's multiply-adds per second as a part of what plain convolutions reach here.
    """

    computed_by: str
    seconds: float
    pixels: int
    peak: int
    share: float | None = None

    @property
    def rate(self) -> float:
        """LR megapixels a second."""
        return self.pixels / 1e6 / self.seconds


@dataclass(frozen=True)
class _Loaded:
    """A network ready to enlarge pixels H×W×3; `peak()` is the most memory taken, in bytes."""

    enlarge: Callable[[Pixels], Pixels]
    computed_by: str
    peak: Callable[[], int]


def prepare(test: SpeedTest) -> Iterator[None]:
    """Writes random weights and fills the engine's cache, so that measuring need not."""
    import torch

    torch.manual_seed(0)
    torch.save(registry.build(test.model).state_dict(), test.weights)
    _load(test)
    yield None


def measure(test: SpeedTest) -> Iterator[Speed]:
    """Measures once. Runs alternate with the ceiling's, so that other load falls on both alike."""
    loaded = _load(test)
    image = _picture(test)
    loaded.enlarge(image[:WARM_UP_SIDE, :WARM_UP_SIDE])
    loaded.enlarge(image)
    peak = loaded.peak()  # before the ceiling takes memory too
    ceiling, multiply_adds = _ceiling(loaded.computed_by)
    seconds, shares = [], []
    pixels = image.shape[0] * image.shape[1]
    work = test.model.work(test.scale) * pixels
    for _ in range(test.runs):
        seconds.append(_timed(partial(loaded.enlarge, image)))
        # as long as the network, so that both see the same neighbours
        rounds, spent = 0, 0.0
        while spent < seconds[-1]:
            spent += _timed(ceiling)
            rounds += 1
        shares.append((work / seconds[-1]) / (rounds * multiply_adds / spent))
    share = statistics.median(shares)
    yield Speed(loaded.computed_by, statistics.median(seconds), pixels, peak, share)


def pressure(test: SpeedTest, limit: int) -> Iterator[Speed]:
    """Enlarges larger and larger images in one window each, until the memory is full.

    This is the pressure test of the IMDN paper (https://arxiv.org/abs/1909.11856). On a processor
    at most `limit` bytes are taken. Raises EngineUnavailable where memory cannot be limited.
    """
    loaded = _load(test)
    if ", cpu, " in loaded.computed_by:
        _limit_memory(limit)
    side = float(test.side)
    while True:
        try:
            image = _picture(replace(test, side=round(side)))
            seconds = _timed(partial(loaded.enlarge, image))
        except (OutOfMemory, MemoryError):
            return
        yield Speed(loaded.computed_by, seconds, round(side) ** 2, loaded.peak())
        side *= math.sqrt(GROWTH)


def _load(test: SpeedTest) -> _Loaded:
    # The user's own cache must not keep what engines make of random weights.
    os.environ["SRUP_CACHE"] = str(test.folder)
    from srup.inference.loading import load

    upscaler = load(
        test.model.known_as, scale=test.scale, weights=test.weights, **asdict(test.run_options)
    )
    program = upscaler.programs[-1]

    def enlarge(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[0] * test.scale, pixels.shape[1] * test.scale
        return upscaler.colours(pixels, (width, height), None)

    return _Loaded(enlarge, program.computed_by, peak_of(program.device))


def _picture(test: SpeedTest) -> Pixels:
    """The pixels H×W×3 of the picture, read from a file as those of users are."""
    path = test.picture
    if path is None:
        path = test.folder / f"{test.side}.png"
        noise = np.random.default_rng(0).integers(0, 256, (test.side, test.side, 3), np.uint8)
        write_image(Image(noise), path)
    return read_image(path).pixels


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _ceiling(computed_by: str) -> tuple[Callable[[], object], int]:
    """3×3 convolutions with 64 channels and nothing else, and how many multiply-adds they are.

    They run on the device and in the precision that `computed_by` names.
    """
    import torch

    from srup.inference.engines.pytorch import TYPES

    _, device, precision = computed_by.split(", ")
    side = 256 if device == "cpu" else 1024
    kind = {"device": device, "dtype": TYPES[precision], "memory_format": torch.channels_last}
    plain = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
    layer = plain.to(**kind)  # type: ignore[call-overload]
    image = torch.rand(1, CHANNELS, side, side).to(**kind)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run() -> None:
        result = image
        for _ in range(CONVOLUTIONS):
            result = layer(result)
        result[0, 0, 0, 0].item()  # waits until an asynchronous device is done

    run()
    return run, CONVOLUTIONS * CHANNELS**2 * 9 * side**2


def _limit_memory(limit: int) -> None:
    """Lets this process take at most `limit` bytes more.

    An allocation beyond fails, before the system would begin to kill processes. Raises
    EngineUnavailable where there is no such limit.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        total = pages * resource.getpagesize() + limit
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            "only Linux can limit the memory of a process",
            "leave out {pressure}",
            "take {device=cuda}",
        ) from error
    resource.setrlimit(resource.RLIMIT_AS, (total, total))
