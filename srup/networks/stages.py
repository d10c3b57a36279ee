"""A network as a list of stages: what makes tiling exact.

Inside a stage an output pixel depends only on input pixels within `margin`, so a stage can run
window by window. What depends on the whole image (the pooled statistics of IMDN's attention, for
example) is computed between stages: `summary` reads the finished map, and the next stage receives
the result as its `context`. Run over one window or over many, the arithmetic is the same.

Networks are stages over tensors, `Stage[Tensor]`. The tiler and the engines see the same stages
over NumPy arrays, `Stage[Array]`. This module does not import PyTorch, so that an engine which
runs without it starts in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

T = TypeVar("T")  # a map N×C×H×W: a tensor or an array


@dataclass(frozen=True)
class Stage(Generic[T]):
    """A part of a network that depends only on what lies within `margin` pixels.

    `run(state, context)` maps the tensors of a window (N×C×H×W, all of one height and width) to
    the tensors of the next state, which again share one height and width: the same, or larger or
    smaller by a fixed ratio. A tensor that a stage only passes on is returned as the same object.
    `margin` is how far an output pixel sees, in pixels of the stage's input; windows start at
    multiples of `stride`. `summary(strips)` computes the next stage's context from the last
    tensor of the finished state, given as full-width strips from top to bottom: N×C×1×1, or a map
    of the state's height and width.
    """

    run: Callable[[list[T], T | None], list[T]]
    margin: int
    summary: Callable[[Iterable[T]], T] | None = None
    stride: int = 1


class Sides(Protocol):
    """What a network requires of its input's sides, and by how much it enlarges them."""

    @property
    def scale(self) -> int:
        """How many times longer the output's sides are."""

    @property
    def multiple(self) -> int:
        """The input's sides must be multiples of this many pixels."""

    @property
    def smallest(self) -> int:
        """The input's sides must have at least this many pixels."""


class Spatial(Protocol):
    """A map N×C×H×W that can be sliced: a tensor or an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths N, C, H and W."""

    def __getitem__(self, index: Any, /) -> Any:
        """A part of the map."""


M = TypeVar("M", bound=Spatial)


def whole(stages: Sequence[Stage[T]], image: T) -> T:
    """Runs the stages over the whole image at once and returns the last map; differentiable."""
    state = [image]
    for state in states(stages, image):  # noqa: B007
        pass
    return state[-1]


def states(stages: Sequence[Stage[T]], image: T) -> Iterator[list[T]]:
    """Yields the state after each stage, run over the whole image at once."""
    state, context = [image], None
    for stage in stages:
        state = stage.run(state, context)
        context = stage.summary([state[-1]]) if stage.summary else None
        yield state


def local(run: Callable[[T], T], margin: int) -> list[Stage[T]]:
    """The single stage of a network that sees no further than `margin` pixels throughout."""
    return [Stage(lambda state, _: [run(state[0])], margin)]


def pad_to_multiple(sides: Sides, image: M, run: Callable[[M], M]) -> M:
    """Runs `run` on an image N×C×H×W of any size, extended to one that suits `sides`.

    The image is extended by reflection at the right and the bottom; the result is cropped to
    scale·H×scale·W.
    """
    height, width = image.shape[-2:]
    rows, columns = _padded_side(height, sides), _padded_side(width, sides)
    if (rows, columns) != (height, width):
        image = image[..., _reflection(height, rows), :][..., _reflection(width, columns)]
    cropped: M = run(image)[..., : height * sides.scale, : width * sides.scale]
    return cropped


def _padded_side(length: int, sides: Sides) -> int:
    return -(-max(length, sides.smallest) // sides.multiple) * sides.multiple


def _reflection(length: int, target: int) -> NDArray[np.int64]:
    """`target` indices that count up and down again: 0 … length-1, length-2 … 0, 1 …

    Torch and NumPy reflect at most length-1 pixels; this works from a single pixel up.
    """
    period = max(2 * (length - 1), 1)
    index = np.arange(target) % period
    return np.minimum(index, period - index)
