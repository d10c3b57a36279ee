"""How fast this machine is: networks in every precision and engine, and how large an image it takes in one piece.

Speeds do not depend on what a network has learned: weights are drawn at random, and nothing is downloaded. Every figure comes from
a process of its own, see `srup.isolate`.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from srup import memory
from srup.errors import EngineUnavailable, OutOfMemory
from srup.images import Pixels
from srup.inference.run_options import RunOptions
from srup.models import registry
from srup.models.registry import Model

YARDSTICK = 1280 * 720  # pixels of the output that multiply-adds are counted for
CHANNELS, CONVOLUTIONS = 64, 4  # of the ceiling
WARM = 64  # pixels a side of what is enlarged first
GROWTH = 2  # times as many pixels at a time, under pressure


@dataclass(frozen=True)
class SpeedTest:
    """A row of the registry, enlarging an image of `side` × `side` pixels; its random weights lie in `folder`."""

    model: Model
    scale: int
    run_options: RunOptions
    folder: Path
    side: int = 256
    runs: int = 5

    @property
    def weights(self) -> Path:
        return self.folder / "weights.pt"


@dataclass(frozen=True)
class Speed:
    """`seconds` is the median; `peak` in bytes is the most that its process (on CUDA, the device) held; `share` of the ceiling."""

    computed_by: str
    seconds: float
    pixels: int
    peak: int
    share: float | None = None

    @property
    def rate(self) -> float:
        """LR megapixels a second."""
        return self.pixels / 1e6 / self.seconds


def prepare(test: SpeedTest) -> Iterator[None]:
    """Makes the weights, and what an engine makes of them once."""
    import torch

    torch.manual_seed(0)
    torch.save(registry.build(test.model).state_dict(), test.weights)
    _load(test)
    yield None


def speed(test: SpeedTest) -> Iterator[Speed]:
    """The one measurement of a plan. The ceiling takes turns with it: both see the same machine."""
    enlarge, computed_by, peak = _load(test)
    enlarge(_noise(WARM))
    image = _noise(test.side)
    enlarge(image)
    held = peak()
    ceiling, multiply_adds = _ceiling(computed_by)
    rounds = [(_timed(partial(enlarge, image)), _timed(ceiling)) for _ in range(test.runs)]
    own, best = (statistics.median(times) for times in zip(*rounds, strict=True))
    work = test.model.multi_adds * 1e9 * (test.side * test.scale) ** 2 / YARDSTICK
    yield Speed(computed_by, own, test.side**2, held, (work / own) / (multiply_adds / best))


def pressure(test: SpeedTest, limit: int) -> Iterator[Speed]:
    """Larger and larger images, each in one window, until the memory is full: the pressure test of the IMDN paper
    (https://arxiv.org/abs/1909.11856). On a processor at most `limit` bytes are taken. Raises EngineUnavailable.
    """
    enlarge, computed_by, peak = _load(test)
    if ", cpu, " in computed_by:
        _confine(limit)
    side = float(test.side)
    while True:
        image = _noise(round(side))
        try:
            seconds = _timed(partial(enlarge, image))
        except (OutOfMemory, MemoryError):
            return
        yield Speed(computed_by, seconds, round(side) ** 2, peak())
        side *= math.sqrt(GROWTH)


def _load(test: SpeedTest) -> tuple[Callable[[Pixels], Pixels], str, Callable[[], int]]:
    """What enlarges pixels, what it is computed by, and what says the most memory it has taken."""
    os.environ["SRUP_CACHE"] = str(
        test.folder
    )  # of this process: the user's own holds no random weights
    from srup.inference.upscaler import load

    upscaler = load(
        test.model.name, scale=test.scale, weights=test.weights, **asdict(test.run_options)
    )
    program = upscaler.programs[-1]

    def enlarge(pixels: Pixels) -> Pixels:
        height, width = (side * test.scale for side in pixels.shape[:2])
        return upscaler.colours(pixels, (width, height), None)

    return enlarge, program.computed_by, _peak(program.device)


def _peak(device: str) -> Callable[[], int]:
    if not device.startswith("cuda"):
        return memory.peak
    import torch

    return lambda: torch.cuda.max_memory_allocated(device)


def _noise(side: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _ceiling(computed_by: str) -> tuple[Callable[[], object], int]:
    """Convolutions of 3×3 and 64 channels alone, where and as precisely as `computed_by` says, and how many multiply-adds they are."""
    import torch

    from srup.inference.engines.pytorch import TYPES

    _, device, precision = computed_by.split(", ")
    side = 256 if device == "cpu" else 1024
    kind = {"device": device, "dtype": TYPES[precision], "memory_format": torch.channels_last}
    layer = torch.nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1).to(**kind)  # type: ignore[call-overload]
    image = torch.rand(1, CHANNELS, side, side).to(**kind)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run() -> None:
        result = image
        for _ in range(CONVOLUTIONS):
            result = layer(result)
        result[0, 0, 0, 0].item()  # waits for a device

    run()
    return run, CONVOLUTIONS * CHANNELS**2 * 9 * side**2


def _confine(limit: int) -> None:
    """Lets this process take so many bytes more: beyond, it is told no, before the system would begin to kill others."""
    try:
        import resource

        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError) as error:
        raise EngineUnavailable(
            "only Linux can confine a process to its memory; leave --pressure, or take -d cuda"
        ) from error
    resource.setrlimit(resource.RLIMIT_AS, (taken + limit, taken + limit))
