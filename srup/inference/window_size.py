"""How large windows are, by the image, the network, the engine and the free memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

from srup import processor
from srup.inference.engines import Program
from srup.inference.run_options import (
    Tile,
)
from srup.inference.windows import SMALLEST, windows
from srup.networks.stages import Array, Stage

# Pixels a side of a window on a processor. From 384 on little is gained: 6 % up to 512, for a tenth
# more memory (12 megapixels with `lite` through PyTorch).
LARGEST = {"pytorch": 512, "openvino": 384}  # OpenVINO holds more for each window
# With AMX convolutions are so fast that maps must come from the cache: then a window's largest map
# takes at most so many times a core's cache of level 2.
CACHES = 4
LEAST_MARGINS = 8  # the least side of a window, in margins, where the memory allows
LEAST_SHARED = 128  # pixels a side of windows that are made smaller so that no core is idle
WORKSPACE = 2 << 30  # bytes that a stage may take on a processor
MAPS = 8  # like the largest one: about what a stage holds at once, with what the allocator keeps


def window_size(
    program: Program, stages: Sequence[Stage[Array]], tile: Tile, height: int, width: int
) -> int | None:
    """The side of the windows that an image is computed in, in pixels; None for one window.

    It is what was asked for. With "auto" it is the fastest for this image, of those that a share of
    the free memory allows.
    """
    if tile == "none":
        return None
    if isinstance(tile, int):
        return tile
    on_processor = program.device == "cpu"
    free = program.free() // 2
    if on_processor:
        free = min(program.free() // 8, WORKSPACE)
    per_pixel = program.largest * 4 * MAPS  # bytes
    # multiples of 32 keep the number of window sizes small, which engines prepare for each
    side = max(SMALLEST, math.isqrt(int(free / program.workers / per_pixel)) // 32 * 32)
    if program.overlap and height * width * per_pixel <= program.free() // 2:
        return None  # there is no seam in one window
    if not on_processor:
        return side
    margin = max(stage.margin for stage in stages)
    # a network that sees far would spend most of its time on what surrounds small windows
    side = min(side, max(_fastest(program), LEAST_MARGINS * margin // 32 * 32))
    sides = range(side, min(side, LEAST_SHARED) - 1, -32)
    return min(sides, key=lambda each: _work(height, width, each, margin, program.workers))


def _work(height: int, width: int, size: int, margin: int, workers: int) -> float:
    """The pixels that the busiest of `workers` computes, margins included, in windows of a size."""
    largest = windows(height, width, size)[0]
    count = math.ceil(height / size) * math.ceil(width / size)
    if count == 1:  # operators share the cores then, about as well
        return height * width / workers
    return math.ceil(count / workers) * (largest.height + margin) * (largest.width + margin)


def _fastest(program: Program) -> int:
    """The side in pixels of the windows that a processor computes fastest."""
    largest, cache = LARGEST[program.engine], processor.level_2_cache()
    if program.precision != "bf16" or processor.instructions() != "AMX" or cache is None:
        return largest
    return min(largest, math.isqrt(int(CACHES * cache / (program.largest * 2))) // 32 * 32)
