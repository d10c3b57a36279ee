"""Large images window by window, with the result of the whole.

Each stage of a network runs over windows cut with the stage's margin; the middles are put together on canvases before the next
stage begins, and what a stage tells the next about the whole image is computed from the finished canvas. One window is the
untiled case: the same loop.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray

from srup.errors import OutOfMemory
from srup.inference.canvas import Canvas, canvas
from srup.networks.stages import Stage
from srup.progress import Progress, share

T = TypeVar("T")
R = TypeVar("R")
Array = NDArray[Any]
Pool = Callable[[int], AbstractContextManager[Executor]]

MEMORY = 2 << 30  # bytes of canvases kept in memory unless told otherwise
SMALLEST = 64  # the side at which a window is not halved any more
LEAST = 84  # pixels a side that are cut at least: 3·84² is past the 20,480 values below which PyTorch convolves by other sums
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
        """In the pixels of a map `ratio` times as large; ends of the image that do not divide are rounded up."""
        return Window(
            *(math.ceil(side * ratio) for side in (self.top, self.left, self.bottom, self.right))
        )

    def quarters(self, stride: int) -> list[Window]:
        """Two by two parts (one by two where a side is no longer than `stride`)."""
        rows = _cuts(self.top, self.bottom, math.ceil(self.height / 2), stride)
        columns = _cuts(self.left, self.right, math.ceil(self.width / 2), stride)
        return [Window(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def windows(height: int, width: int, size: int | None, stride: int = 1) -> list[Window]:
    """Windows of at most `size` pixels a side that make up height×width, row by row, as even as multiples of `stride` allow."""
    rows, columns = (_cuts(0, length, size or length, stride) for length in (height, width))
    return [Window(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def _cuts(start: int, stop: int, size: int, stride: int) -> list[tuple[int, int]]:
    count = math.ceil((stop - start) / max(size, 1))
    step = math.ceil(math.ceil((stop - start) / count) / stride) * stride
    edges = [*range(start, stop, step), stop]
    return list(itertools.pairwise(edges))


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
    """What the stages make of the whole image N×C×H×W, computed in windows of `size` pixels a side (None: one window).

    Canvases beyond `memory` bytes lie on disk. With several `workers` so many windows are computed at a time, each by a thread
    of `pool`. `progress(done, total)` hears of every window, in stages. Where a window does not fit, it is halved, down to 64 px a
    side. Raises OutOfMemory.
    """
    state, context = [Canvas(image, reusable=False)], None
    with _spread(workers if size and max(image.shape[-2:]) > size else 1, pool) as spread:
        for number, stage in enumerate(stages):
            state = _advance(
                stage, state, context, size, memory, spread, share(progress, number, len(stages))
            )
            context = stage.summary(state[-1].strips()) if stage.summary else None
    return state[-1].array


class Spread(Protocol):
    """A `map`."""

    def __call__(self, run: Callable[[T], R], items: list[T], /) -> Iterator[R]: ...


@contextmanager
def _spread(workers: int, pool: Pool) -> Iterator[Spread]:
    """A `map`, in order, at most `workers` at a time; with one worker the plain one."""
    if workers == 1:
        yield map
        return
    with pool(workers) as threads:

        def spread(run: Callable[[T], R], items: list[T], /) -> Iterator[R]:
            ahead: deque[Future[R]] = deque()
            try:
                for item in items:
                    ahead.append(threads.submit(run, item))
                    if len(ahead) > workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()

        yield spread


def _advance(
    stage: Stage[Array],
    state: list[Canvas],
    context: Array | None,
    size: int | None,
    memory: int,
    spread: Spread,
    progress: Progress,
) -> list[Canvas]:
    """The state after a stage.

    Old canvases are written over by new ones of the same kind, which halves what is parked. A result is therefore held back until
    every window that reads the old values under it has been run.
    """
    height, width = state[0].array.shape[-2:]
    todo = windows(height, width, size, stage.stride)
    runner = _Runner(stage, state, context)
    held: deque[list[_Piece]] = deque()
    following: list[Canvas] = []
    wait = 0
    for done, pieces in enumerate(spread(runner.run, todo), 1):
        held.append(pieces)
        if not following:
            following = _canvases(held[0][0], state, memory)
            wait = (
                windows_until_safe(todo, max(runner.margin, LEAST))
                if any(new in state and new.reusable for new in _changed(following, held[0][0]))
                else 0
            )
        while len(held) > wait:
            _place(held.popleft(), following)
        progress(done, len(todo))
    for _ in spread(lambda pieces: _place(pieces, following), list(held)):
        pass
    return following


def windows_until_safe(todo: list[Window], margin: int) -> int:
    """How many windows later, in row order, the last one comes that reads a given window's pixels, `margin` px away at most."""
    columns = sum(window.top == 0 for window in todo)
    rows_seen = math.ceil(margin / min(window.height for window in todo))
    columns_seen = math.ceil(margin / min(window.width for window in todo))
    return rows_seen * columns + columns_seen


@dataclass(frozen=True)
class _Piece:
    """What a stage made of a window: the arrays of the next state, None for one that was only handed through from `sources`."""

    window: Window
    arrays: list[Array | None]
    sources: list[int]
    ratio: Fraction


class _Runner:
    """Runs a stage on windows, in parts where a whole one does not fit."""

    def __init__(self, stage: Stage[Array], state: list[Canvas], context: Array | None) -> None:
        self.stage, self.state, self.context = stage, state, context
        height, width = state[0].array.shape[-2:]
        self.bounds = Window(0, 0, height, width)
        self.margin = math.ceil(stage.margin / stage.stride) * stage.stride
        self.limit = max(height, width)

    def run(self, window: Window) -> list[_Piece]:
        if max(window.height, window.width) > self.limit:
            return [
                piece for part in window.quarters(self.stage.stride) for piece in self.run(part)
            ]
        try:
            return [self._piece(window)]
        except OutOfMemory:
            self.limit = max(window.height, window.width) // 2
            if self.limit < SMALLEST:
                raise
            return self.run(window)
        finally:
            for parked in self.state:
                parked.release_pages()

    def _piece(self, window: Window) -> _Piece:
        around = window.grown(self.margin, self.bounds).at_least(
            LEAST, self.bounds, self.stage.stride
        )
        cut = [around.of(parked.array) for parked in self.state]
        results = self.stage.run(cut, self._context(around))
        ratio = Fraction(1)
        arrays: list[Array | None] = []
        sources = []
        for result in results:
            source = next((index for index, array in enumerate(cut) if array is result), -1)
            sources.append(source)
            if source < 0:
                ratio = _ratio(result, around, self.stage.stride)
            arrays.append(
                None
                if source >= 0
                else window.scaled(ratio).within(around.scaled(ratio)).of(result)
            )
        return _Piece(window, arrays, sources, ratio)

    def _context(self, around: Window) -> Array | None:
        """A map is cut as the state is; a number per channel holds for all."""
        if self.context is None or self.context.shape[-2:] == (1, 1):
            return self.context
        return around.of(self.context)


def _ratio(result: Array, window: Window, stride: int) -> Fraction:
    """How much larger a result is than the window it was made of: a whole number, or one over the stride."""
    rows, columns = result.shape[-2:]
    ratio = (
        Fraction(1, stride)
        if rows < window.height or columns < window.width
        else Fraction(rows, window.height)
    )
    assert (rows, columns) == (math.ceil(window.height * ratio), math.ceil(window.width * ratio)), (
        "a stage with an uneven ratio"
    )
    return ratio


def _canvases(piece: _Piece, state: list[Canvas], memory: int) -> list[Canvas]:
    """Canvases for the next state, those of this one where they can be kept or written over."""
    free = [old for index, old in enumerate(state) if old.reusable and index not in piece.sources]
    height, width = (math.ceil(side * piece.ratio) for side in state[0].array.shape[-2:])
    following: list[Canvas] = []
    for array, source in zip(piece.arrays, piece.sources, strict=True):
        if array is None:
            following.append(state[source])
            continue
        shape = (*array.shape[:2], height, width)
        fitting = next(
            (old for old in free if old.array.shape == shape and old.array.dtype == array.dtype),
            None,
        )
        if fitting is not None:
            free.remove(fitting)
        taken = sum(
            parked.resident
            for parked in {id(parked): parked for parked in (*state, *following)}.values()
        )
        following.append(fitting or canvas(shape, array.dtype, memory_budget=memory - taken))
    return following


def _changed(following: list[Canvas], piece: _Piece) -> list[Canvas]:
    return [new for new, source in zip(following, piece.sources, strict=True) if source < 0]


def _place(pieces: list[_Piece], following: list[Canvas]) -> None:
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
    """The IMDN paper's adaptive cropping: overlapping crops enlarged one by one, each with its own statistics, the middles joined.

    Four crops, as in the paper, or more where they would exceed `size` pixels a side; sides are multiples of `multiple`. The result
    differs from that of the whole image; `tiled` gives the same.
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
            result = canvas(shape, enlarged.dtype, memory_budget=sys.maxsize).array
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
