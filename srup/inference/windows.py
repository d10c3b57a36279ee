"""Windows: the rectangles that an image is cut into, in pixels."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

from srup.networks.stages import Array

SMALLEST = 64  # the side at which a window is not halved any more
# pixels a side that are cut at least: 3·84² is past the 20,480 values below which PyTorch
# convolves by other sums, whose results differ in the last bits
LEAST = 84


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
        rows = cuts(self.top, self.bottom, math.ceil(self.height / 2), stride)
        columns = cuts(self.left, self.right, math.ceil(self.width / 2), stride)
        return [Window(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def windows(height: int, width: int, size: int | None, stride: int = 1) -> list[Window]:
    """Windows of at most `size` pixels a side that make up height×width, row by row, as even as
    multiples of `stride` allow.
    """
    rows, columns = (cuts(0, length, size or length, stride) for length in (height, width))
    return [Window(top, left, bottom, right) for top, bottom in rows for left, right in columns]


def cuts(start: int, stop: int, size: int, stride: int) -> list[tuple[int, int]]:
    """Where parts of about `size` pixels begin and end, even, on multiples of `stride`."""
    count = math.ceil((stop - start) / max(size, 1))
    step = math.ceil(math.ceil((stop - start) / count) / stride) * stride
    edges = [*range(start, stop, step), stop]
    return list(itertools.pairwise(edges))


def windows_until_safe(todo: list[Window], margin: int) -> int:
    """How many windows later a window's old pixels have been read for the last time.

    `todo` are windows in row order, each of which reads up to `margin` pixels beyond its own.
    """
    columns = sum(window.top == 0 for window in todo)
    rows_seen = math.ceil(margin / min(window.height for window in todo))
    columns_seen = math.ceil(margin / min(window.width for window in todo))
    return rows_seen * columns + columns_seen
