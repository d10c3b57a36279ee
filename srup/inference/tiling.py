"""Large images window by window, with the result of the whole.

Each stage of a network runs over windows cut with the stage's margin; the middles are put together
on canvases before the next stage begins, and what a stage tells the next about the whole image is
computed from the finished canvas. One window is the untiled case: the same loop.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from threading import Lock

from srup.errors import OutOfMemory
from srup.inference.allocation import Allocation, Made, Result, allocation
from srup.inference.canvas import Canvas, canvas, given
from srup.inference.windows import LEAST, SMALLEST, Window, windows, windows_until_safe
from srup.networks.stages import Array, Stage
from srup.parallel import OrderedMap, Pool, ordered_map
from srup.progress import Progress, share

MEMORY = 2 << 30  # bytes of canvases kept in memory unless told otherwise


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
            state = advanced(stage, state, context, size, memory, mapped, within)
            context = stage.summary(state[-1].strips()) if stage.summary else None
    return state[-1].array


def advanced(
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
    runner = Runner(stage, state, context)
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


@dataclass(frozen=True)
class _Piece:
    """What a stage made of a window: the arrays of the next state, None for one that was handed
    through.
    """

    window: Window
    arrays: list[Array | None]
    results: tuple[Result, ...]
    ratio: Fraction


class Runner:
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
