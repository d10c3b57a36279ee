"""A network as a list of stages: what makes tiling exact.

Inside a stage an output pixel depends only on input pixels within `margin`, so a stage may run window by window. What looks at
the whole image (the pooled statistics of IMDN's attention, say) happens between stages: `summary` reads the finished map and
the next stage is told the result as its `context`. Run over one window or over many, the arithmetic is the same.

Nothing here imports PyTorch: an engine that does without it starts in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Map = (
    Any  # N×C×H×W: a tensor inside a network, a NumPy array where windows are cut and put together
)
Run = Callable[[list[Map], "Map | None"], list[Map]]
Summary = Callable[[Iterable[Map]], Map]


@dataclass(frozen=True)
class Stage:
    """A stretch of a network that is local.

    `run(state, context)` maps the tensors of a window (N×C×H×W, all of one size) to those of the next state, of one size again
    (the same, or larger or smaller by a fixed ratio). A tensor that is only handed through is returned as the same object.
    `margin` is how far, in pixels of its input, an output pixel sees; windows start on multiples of `stride`.
    `summary(strips)` turns the last tensor of the finished state, given as full-width strips from top to bottom, into the next
    stage's context: N×C×1×1, or a map of the state's size.
    """

    run: Run
    margin: int
    summary: Summary | None = None
    stride: int = 1


class Sides(Protocol):
    """What a network needs of an input's sides, and how much longer they come out."""

    @property
    def scale(self) -> int: ...
    @property
    def multiple(self) -> int: ...
    @property
    def smallest(self) -> int: ...


def whole(stages: Sequence[Stage], image: Map) -> Map:
    """The stages over the whole image at once, differentiable: what `forward` is."""
    state = [image]
    for state in states(stages, image):  # noqa: B007
        pass
    return state[-1]


def states(stages: Sequence[Stage], image: Map) -> Iterator[list[Map]]:
    """The state after each stage, run over the whole image at once."""
    state, context = [image], None
    for stage in stages:
        state = stage.run(state, context)
        context = stage.summary([state[-1]]) if stage.summary else None
        yield state


def local(run: Callable[[Map], Map], margin: int) -> list[Stage]:
    """The one stage of a network, or a part of one, that never looks further than `margin`."""
    return [Stage(lambda state, _: [run(state[0])], margin)]


def pad_to_multiple(sides: Sides, image: Map, run: Callable[[Map], Map]) -> Map:
    """`run` on the image, its right and bottom continued by reflection to the sides that are needed; the result cropped."""
    height, width = image.shape[-2:]
    rows, columns = (_side(length, sides) for length in (height, width))
    if (rows, columns) != (height, width):
        image = image[..., _reflection(height, rows), :][..., _reflection(width, columns)]
    return run(image)[..., : height * sides.scale, : width * sides.scale]


def _side(length: int, sides: Sides) -> int:
    return -(-max(length, sides.smallest) // sides.multiple) * sides.multiple


def _reflection(length: int, target: int) -> NDArray[np.int64]:
    """Indices 0 … length-1, length-2 … 0, 1 … up to `target` of them: reflection that works from one pixel up."""
    period = max(2 * (length - 1), 1)
    index = np.arange(target) % period
    return np.minimum(index, period - index)
