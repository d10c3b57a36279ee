"""What tiling takes, told without computing: memory, disk, and the pixels of margins."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from srup.inference.allocation import Made, Result, allocation, resident
from srup.inference.canvas import MapSpec, given
from srup.inference.tiling import Runner, advanced
from srup.inference.windows import LEAST, Window, windows, windows_until_safe
from srup.networks.stages import Array, Stage
from srup.progress import ignore


@dataclass(frozen=True)
class Outline:
    """A stage as it shows itself on a small image: what it makes, and how far it sees."""

    results: tuple[Result, ...]
    margin: int
    stride: int


def outlined(stages: Sequence[Stage[Array]], image: Array) -> list[Outline]:
    """The outlines of stages, found by running them over a small image N×C×H×W in one window."""
    found = []
    state, context = [given(image)], None
    for stage in stages:
        runner = Runner(stage, state, context)
        (piece,) = runner.run(runner.bounds)
        found.append(Outline(piece.results, runner.margin, stage.stride))
        state = advanced(stage, state, context, None, sys.maxsize, map, ignore)
        context = stage.summary(state[-1].strips()) if stage.summary else None
    return found


def least_ratio(outlines: Sequence[Outline]) -> Fraction:
    """How large the smallest map that a stage works on is, beside the image: 1/4 for a quarter of a
    side.
    """
    ratio, least = Fraction(1), Fraction(1)
    for outline in outlines[:-1]:
        made = [result.ratio for result in outline.results if isinstance(result, Made)]
        ratio *= made[0] if made else 1
        least = min(least, ratio)
    return least


@dataclass(frozen=True)
class Footprint:
    """What tiling takes at its worst moment beside the image itself and the work on windows.

    `memory` counts maps in memory and results that are held back, `disk` maps in temporary files,
    in bytes. `pixels` is the mean, over the stages, of the input pixels that are computed for each
    pixel of the image: more than 1 for the margins of windows.
    """

    memory: int
    disk: int
    pixels: float


def footprint(
    outlines: Sequence[Outline], image: MapSpec, size: int | None, memory_budget: int
) -> Footprint:
    """What `tiled` takes for an image, decided as it decides it, without computing anything."""
    # the image is the caller's, who knows what it takes
    state: Sequence[MapSpec] = [image]
    memory = disk = 0
    shares = []
    for outline in outlines:
        height, width = state[0].shape[-2:]
        todo = windows(height, width, size, outline.stride)
        following = allocation(outline.results, state, memory_budget)
        maps = [*state, *following.maps]
        bounds = Window(0, 0, height, width)
        cut = [window.grown(outline.margin, bounds) for window in todo]
        held = 0
        if following.overwrites:  # results wait where windows to come still read the old values
            waiting = min(windows_until_safe(todo, max(outline.margin, LEAST)), len(todo))
            # what waits is a view of what was computed, so the margins stay in memory with it
            held = waiting * max(_piece_bytes(outline, each) for each in cut)
        memory = max(memory, resident(maps) - resident([image]) + held)
        disk = max(disk, sum({id(each): each.nbytes for each in maps if each.on_disk}.values()))
        shares.append(sum(each.height * each.width for each in cut) / (height * width))
        state = following.maps
    return Footprint(memory, disk, sum(shares) / len(shares))


def _piece_bytes(outline: Outline, window: Window) -> int:
    """Bytes of what a stage makes of a window."""
    made = [result for result in outline.results if isinstance(result, Made)]
    return sum(result.whole(window.height, window.width).nbytes for result in made)
