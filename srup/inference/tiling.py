"""Large images window by window, with the result of the whole.

Each stage of a network runs over windows cut with the stage's margin; the middles are put together
on canvases before the next stage begins, and what a stage tells the next about the whole image is
computed from the finished canvas. One window is the untiled case: the same loop.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srup.errors import OutOfMemory
from srup.inference.canvas import Canvas, MapSpec, canvas, given
from srup.networks.stages import Stage
from srup.parallel import OrderedMap, Pool, ordered_map
from srup.progress import Progress, ignore, share

Array = NDArray[Any]

MEMORY = 2 << 30  # bytes of canvases kept in memory unless told otherwise
SMALLEST = 64  # the side at which a window is not halved any more
# pixels a side that are cut at least: 3·84² is past the 20,480 values below which PyTorch
# convolves by other sums, whose results differ in the last bits
LEAST = 84
SHAVE = 32  # pixels by which the paper's crops overlap


@dataclass(frozen=True)
class Window:
    """A rectangle of pixels, half open."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def of(self, image: Array) -> Array:
        return image[..., self.top : self.bottom, self.left : self.right]

    def grown(self, margin: int, bounds: Window) -> Window:
        """Larger by `margin` on each side, inside `bounds`."""
        return Window(
            max(self.top - margin, bounds.top),
            max(self.left - margin, bounds.left),
            min(self.bottom + margin, bounds.bottom),
            min(self.right + margin, bounds.right),
        )

    def at_least(self, side: int, bounds: Window, stride: int) -> Window:
        """No shorter than `side` where `bounds` allow, beginning on a multiple of `stride`."""
        bottom, right = (
            min(max(end, start + side), most) for end, start, most in self._ends(bounds)
        )
        top, left = (max(end - side, 0) // stride * stride for end in (bottom, right))
        return Window(min(self.top, top), min(self.left, left), bottom, right)

    def _ends(self, bounds: Window) -> tuple[tuple[int, int, int], ...]:
        return (self.bottom, self.top, bounds.bottom), (self.right, self.left, bounds.right)

    def within(self, outer: Window) -> Window:
        """In coordinates that begin at the corner of `outer`."""
        return Window(
            self.top - outer.top,
            self.left - outer.left,
            self.bottom - outer.top,
            self.right - outer.left,
        )

    def scaled(self, ratio: Fraction) -> Window:
        """In the pixels of a map `ratio` times as large; ends of the image that do not divide are
        rounded up.
        """
        return Window(
            *(math.ceil(side * ratio) for side in (self.top, self.left, self.bottom, self.right))
        )

    def quarters(self, stride: int) -> list[Window]:
        """Two by two parts (one by two where a side is no longer than `stride`)."""
        rows = _cuts(self.top, self.bottom, math.ceil(self.height / 2), stride)
        columns = _cuts(self.left, self.right, math.ceil(self.width / 2), stride)
        return [Window(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def windows(height: int, width: int, size: int | None, stride: int = 1) -> list[Window]:
    """Windows of at most `size` pixels a side that make up height×width, row by row, as even as
    multiples of `stride` allow.
    """
    rows, columns = (_cuts(0, length, size or length, stride) for length in (height, width))
    return [Window(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def _cuts(start: int, stop: int, size: int, stride: int) -> list[tuple[int, int]]:
    count = math.ceil((stop - start) / max(size, 1))
    step = math.ceil(math.ceil((stop - start) / count) / stride) * stride
    edges = [*range(start, stop, step), stop]
    return list(itertools.pairwise(edges))


@dataclass(frozen=True)
class Made:
    """What a stage makes of a window, as far as it decides what the whole map takes.

    `ratio` is how much larger the map is than the stage's input: a whole number, or one over a
    stride.
    """

    batch: int
    channels: int
    ratio: Fraction
    dtype: np.dtype[Any]

    def whole(self, height: int, width: int) -> MapSpec:
        """The map of a whole image whose stage input has these sides."""
        sides = (math.ceil(height * self.ratio), math.ceil(width * self.ratio))
        return MapSpec((self.batch, self.channels, *sides), self.dtype)


Result = Made | int  # a new map, or the number of the map in the state that was only handed through


@dataclass(frozen=True)
class Allocation:
    """Where the maps of the next state lie.

    `maps` are their specs in order, and `kept[i]` is the number of the map in the state before
    whose canvas map i is kept on or written over; None for a new canvas. `overwrites` says whether
    any map of the state before is written over while it is still read, so that results must be held
    back.
    """

    maps: tuple[MapSpec, ...]
    kept: tuple[int | None, ...]
    overwrites: bool


def allocation(
    results: Sequence[Result], state: Sequence[MapSpec], memory_budget: int
) -> Allocation:
    """Where to put the maps that a stage makes of a state.

    A map that was handed through stays where it is. A new one is written over an old one of the
    same shape that nothing needs any more, which halves what is held; else it gets memory while all
    maps together take no more than `memory_budget` bytes, else disk.
    """
    height, width = state[0].shape[-2:]
    # what is handed through is still needed, and the image is not ours to write over
    free = [
        number
        for number, old in enumerate(state)
        if old.reusable and number not in [result for result in results if isinstance(result, int)]
    ]
    maps: list[MapSpec] = []
    kept: list[int | None] = []
    overwrites = False
    for result in results:
        if isinstance(result, int):
            maps.append(state[result])
            kept.append(result)
            continue
        wanted = result.whole(height, width)
        fitting = _fitting(wanted, state, free)
        kept.append(fitting)
        if fitting is not None:
            free.remove(fitting)
            maps.append(state[fitting])
            overwrites = True
            continue
        # old maps count too: they are there until the stage is done
        left = memory_budget - resident((*state, *maps))
        maps.append(replace(wanted, on_disk=wanted.nbytes > left))
    return Allocation(tuple(maps), tuple(kept), overwrites)


def _fitting(wanted: MapSpec, state: Sequence[MapSpec], free: Sequence[int]) -> int | None:
    """The number of a free map of the wanted shape and type, if there is one."""
    for number in free:
        if state[number].shape == wanted.shape and state[number].dtype == wanted.dtype:
            return number
    return None


def resident(maps: Sequence[MapSpec]) -> int:
    """Bytes of memory that maps take together, each counted once."""
    return sum(each.resident for each in {id(each): each for each in maps}.values())


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
        runner = _Runner(stage, state, context)
        (piece,) = runner.run(runner.bounds)
        found.append(Outline(piece.results, runner.margin, stage.stride))
        state = _advanced(stage, state, context, None, sys.maxsize, map, ignore)
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


def tiled(
    stages: Sequence[Stage[Array]],
    image: Array,
    size: int | None = None,
    *,
    memory: int = MEMORY,
    workers: int = 1,
    pool: Pool = ThreadPoolExecutor,
    progress: Progress | None = None,
) -> Array:
    """What the stages make of the whole image N×C×H×W, computed in windows of `size` pixels a side.

    With `size` None there is one window. Maps beyond `memory` bytes lie on disk. With several
    `workers` so many windows are computed at a time, each by a thread of `pool`. `progress(done,
    total)` hears of every window, in stages. Where a window does not fit into memory it is halved,
    down to 64 px a side. Raises OutOfMemory.
    """
    state, context = [given(image)], None
    # one window needs no threads of its own: operators use all cores then
    several = size is not None and max(image.shape[-2:]) > size
    with ordered_map(workers if several else 1, pool) as mapped:
        for number, stage in enumerate(stages):
            within = share(progress, number, len(stages))
            state = _advanced(stage, state, context, size, memory, mapped, within)
            context = stage.summary(state[-1].strips()) if stage.summary else None
    return state[-1].array


def _advanced(
    stage: Stage[Array],
    state: list[Canvas],
    context: Array | None,
    size: int | None,
    memory: int,
    mapped: OrderedMap,
    progress: Progress,
) -> list[Canvas]:
    """The state after a stage.

    Where old maps are written over, a result is held back until every window that reads the old
    values under it has been run.
    """
    height, width = state[0].array.shape[-2:]
    todo = windows(height, width, size, stage.stride)
    runner = _Runner(stage, state, context)
    held: deque[list[_Piece]] = deque()
    following: list[Canvas] = []
    wait = 0
    for done, pieces in enumerate(mapped(runner.run, todo), 1):
        held.append(pieces)
        # what the first window came to says what the map of the whole takes
        if not following:
            decided = allocation(held[0][0].results, [old.spec for old in state], memory)
            following = _canvases(decided, state)
            if decided.overwrites:
                wait = windows_until_safe(todo, max(runner.margin, LEAST))
        while len(held) > wait:
            _place(held.popleft(), following)
        progress(done, len(todo))
    for _ in mapped(lambda pieces: _place(pieces, following), list(held)):
        pass
    return following


def windows_until_safe(todo: list[Window], margin: int) -> int:
    """How many windows later a window's old pixels have been read for the last time.

    `todo` are windows in row order, each of which reads up to `margin` pixels beyond its own.
    """
    columns = sum(window.top == 0 for window in todo)
    rows_seen = math.ceil(margin / min(window.height for window in todo))
    columns_seen = math.ceil(margin / min(window.width for window in todo))
    return rows_seen * columns + columns_seen


@dataclass(frozen=True)
class _Piece:
    """What a stage made of a window: the arrays of the next state, None for one that was handed
    through.
    """

    window: Window
    arrays: list[Array | None]
    results: tuple[Result, ...]
    ratio: Fraction


class _Runner:
    """Runs a stage on windows, in parts where a whole one does not fit into memory."""

    def __init__(self, stage: Stage[Array], state: list[Canvas], context: Array | None) -> None:
        self.stage, self.state, self.context = stage, state, context
        height, width = state[0].array.shape[-2:]
        self.bounds = Window(0, 0, height, width)
        self.margin = math.ceil(stage.margin / stage.stride) * stage.stride
        self.limit, self.lowering = max(height, width), Lock()

    def run(self, window: Window) -> list[_Piece]:
        """What the stage makes of a window, in one piece or several. Raises OutOfMemory."""
        if max(window.height, window.width) > self.limit:
            parts = window.quarters(self.stage.stride)
            return [piece for part in parts for piece in self.run(part)]
        try:
            return [self._piece(window)]
        except OutOfMemory:
            if not self.lower(max(window.height, window.width) // 2):
                raise
            return self.run(window)
        finally:
            # what was read of a mapped file would count as memory of the process
            for old in self.state:
                old.release_pages()

    def lower(self, side: int) -> bool:
        """Lowers the limit of a window's side, never raises it; whether there is a limit left to
        try.
        """
        with (
            self.lowering
        ):  # several threads find out at once, and the larger windows' may come last
            self.limit = min(self.limit, side)
            return bool(self.limit >= SMALLEST)

    def _piece(self, window: Window) -> _Piece:
        stride = self.stage.stride
        least = math.ceil(LEAST / stride) * stride  # so that it ends on a multiple, too
        around = window.grown(self.margin, self.bounds).at_least(least, self.bounds, stride)
        cut = [around.of(old.array) for old in self.state]
        ratio = Fraction(1)
        arrays: list[Array | None] = []
        results: list[Result] = []
        for made in self.stage.run(cut, self._context(around)):
            source = next((number for number, array in enumerate(cut) if array is made), None)
            # the same object came back, so the map behind it stays where it is
            if source is not None:
                arrays.append(None)
                results.append(source)
                continue
            ratio = _ratio(made, around, stride)
            # the margin was cut to be seen, not to be kept
            arrays.append(window.scaled(ratio).within(around.scaled(ratio)).of(made))
            results.append(Made(made.shape[0], made.shape[1], ratio, made.dtype))
        return _Piece(window, arrays, tuple(results), ratio)

    def _context(self, around: Window) -> Array | None:
        """The context of a window: a map is cut as the state is, a number per channel holds for
        all.
        """
        if self.context is None or self.context.shape[-2:] == (1, 1):
            return self.context
        return around.of(self.context)


def _ratio(result: Array, window: Window, stride: int) -> Fraction:
    """How much larger a result is than the window it was made of: a whole number, or one over the
    stride.
    """
    rows, columns = result.shape[-2:]
    ratio = Fraction(rows, window.height)
    if rows < window.height or columns < window.width:
        ratio = Fraction(1, stride)
    expected = (math.ceil(window.height * ratio), math.ceil(window.width * ratio))
    assert (rows, columns) == expected, "a stage with an uneven ratio"
    return ratio


def _canvases(decided: Allocation, state: list[Canvas]) -> list[Canvas]:
    """The canvases of the next state, as was decided."""
    following = []
    for spec, kept in zip(decided.maps, decided.kept, strict=True):
        following.append(canvas(spec) if kept is None else state[kept])
    return following


def _place(pieces: list[_Piece], following: list[Canvas]) -> None:
    """Copies what was made of windows to where it belongs."""
    for piece in pieces:
        place = piece.window.scaled(piece.ratio)
        for array, new in zip(piece.arrays, following, strict=True):
            if array is not None:
                place.of(new.array)[...] = array
    for new in following:
        new.release_pages()


def cropped(
    enlarge: Callable[[Array], Array],
    image: Array,
    *,
    size: int | None = None,
    multiple: int = 1,
    progress: Progress | None = None,
) -> Array:
    """The IMDN paper's adaptive cropping: overlapping crops enlarged one by one, each with its own
    statistics, the middles joined.

    Four crops, as in the paper, or more where they would exceed `size` pixels a side; sides are
    multiples of `multiple`. The result differs from that of the whole image; `tiled` gives the
    same.
    """
    height, width = image.shape[-2:]
    crops = list(itertools.product(_crops(height, size, multiple), _crops(width, size, multiple)))
    result: Array | None = None
    for done, ((top, bottom, rows), (left, right, columns)) in enumerate(crops, 1):
        crop, keep = (
            Window(top, left, bottom, right),
            Window(rows[0], columns[0], rows[1], columns[1]),
        )
        enlarged = enlarge(crop.of(image))
        ratio = Fraction(enlarged.shape[-2], crop.height)
        if result is None:
            shape = (*enlarged.shape[:2], int(height * ratio), int(width * ratio))
            result = canvas(MapSpec(shape, enlarged.dtype)).array
        keep.scaled(ratio).of(result)[...] = keep.within(crop).scaled(ratio).of(enlarged)
        if progress:
            progress(done, len(crops))
    assert result is not None
    return result


def _crops(length: int, size: int | None, multiple: int) -> list[tuple[int, int, tuple[int, int]]]:
    """Along one side: where each crop starts and stops, and the part of it that is kept."""
    parts = max(2, math.ceil(length / max(size - 2 * SHAVE, SMALLEST))) if size else 2
    edges = [round(length * part / parts) for part in range(parts + 1)]
    crops = []
    for start, stop in itertools.pairwise(edges):
        crop_start, crop_stop = max(start - SHAVE, 0), min(stop + SHAVE, length)
        excess = (crop_stop - crop_start) % multiple
        if stop == length:
            crop_start += excess
        else:
            crop_stop -= excess
        crops.append((crop_start, crop_stop, (start, stop)))
    return crops


def blended(
    enlarge: Callable[[Array], Array],
    image: Array,
    size: int,
    overlap: int,
    multiple: int = 1,
    progress: Progress = ignore,
) -> NDArray[np.float32]:
    """Windows of an image N×C×H×W enlarged one by one and blended where they overlap.

    For networks that look at the whole image and tell no one what they saw. Windows of about `size`
    pixels a side, no less than twice `overlap`, begin on multiples of `multiple` and are cut with
    `overlap` pixels more on every side. There each gives way to its neighbour linearly. The result
    differs from that of the whole image.
    """
    height, width = image.shape[-2:]
    bounds = Window(0, 0, height, width)
    overlap = math.ceil(overlap / multiple) * multiple
    rows, columns = (_blended_cuts(side, size, overlap, multiple) for side in (height, width))
    result: NDArray[np.float32] | None = None
    for done, ((top, bottom), (left, right)) in enumerate(itertools.product(rows, columns), 1):
        window = Window(top, left, bottom, right)
        around = window.grown(overlap, bounds)
        enlarged = enlarge(around.of(image))
        ratio = enlarged.shape[-1] // around.width
        if result is None:
            shape = (*enlarged.shape[:2], height * ratio, width * ratio)
            result = np.zeros(shape, np.float32)
        down = _weights((around.top, around.bottom), (top, bottom), height, overlap, ratio)
        across = _weights((around.left, around.right), (left, right), width, overlap, ratio)
        around.scaled(Fraction(ratio)).of(result)[...] += enlarged * down[:, None] * across
        progress(done, len(rows) * len(columns))
    assert result is not None, "an image has pixels"
    return result


def _blended_cuts(length: int, size: int, overlap: int, multiple: int) -> list[tuple[int, int]]:
    """Where windows start and stop along one side; all but the last are no shorter than twice
    `overlap`, so that no more than two give way to each other.
    """
    count = math.ceil(length / size)
    if overlap:
        count = max(1, min(count, length // (2 * overlap)))
    return _cuts(0, length, math.ceil(length / count), multiple)


def _weights(
    cut: tuple[int, int], window: tuple[int, int], length: int, overlap: int, ratio: int
) -> NDArray[np.float32]:
    """How much each pixel of a window that was `cut` counts along one side, enlarged by `ratio`.

    Within `overlap` pixels of the window's ends the weight falls to 0, but at the ends of the
    image. Weights of neighbours add up to 1.
    """
    place = (np.arange(cut[0] * ratio, cut[1] * ratio) + 0.5) / ratio
    weights = np.ones(len(place))
    if overlap and window[0] > 0:
        weights *= ((place - window[0] + overlap) / (2 * overlap)).clip(0, 1)
    if overlap and window[1] < length:
        weights *= ((window[1] + overlap - place) / (2 * overlap)).clip(0, 1)
    return weights.astype(np.float32)
