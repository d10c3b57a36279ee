"""How large a result is to be: asked for by scale or by size, decided per image."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

from srup.errors import ScaleError, UsageError

Fit = Literal["inside", "fill", "stretch"]

LONGEST = 10**9  # pixels a side that can be asked for
SCALE = re.compile(r"[x×]?(\d+(?:\.\d+)?|\.\d+)(?:[x×]|(%))?", re.IGNORECASE)
DIGITS = 12  # of a number that are read, more than LONGEST has: Python refuses thousands


@dataclass(frozen=True)
class Target:
    """A scale; or a width, a height, or both; or the length of the longer edge; or megapixels.

    With both sides `fit` decides: the largest size of the image's shape that fits inside, the
    smallest that covers them, cropped, or both sides as they are, whatever becomes of the shape.
    Raises ScaleError and UsageError for numbers that cannot be.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    long_edge: int | None = None
    megapixels: float | None = None
    fit: Fit = "inside"

    def __post_init__(self) -> None:
        # not a number is out of range, too
        if self.scale is not None and not 0 < self.scale <= LONGEST:
            raise ScaleError(f"scale {self.scale:g} is out of range: srup enlarges 1 to 32 times")
        if self.megapixels is not None and not 0 < self.megapixels <= LONGEST:
            raise UsageError(f"{self.megapixels:g} megapixels are no size; give a number above 0")
        for side in (self.width, self.height, self.long_edge):
            if side is not None and not (isinstance(side, Integral) and 1 <= side <= LONGEST):
                raise UsageError(f"{side} pixels are no side of a picture; give 1 to {LONGEST}")

    @property
    def crops(self) -> bool:
        """Whether a result shows less than its input."""
        return self.fit == "fill"

    @property
    def words(self) -> str:
        """What stands after "enlarged": "4 times", "to a width of 1920 pixels"."""
        if self.scale is not None:
            return f"{self.scale:g} times"
        if self.width and self.height:
            how = {"inside": "to fit into", "fill": "to cover", "stretch": "to exactly"}[self.fit]
            return f"{how} {self.width}×{self.height} pixels"
        if self.long_edge:
            return f"to a longer side of {self.long_edge} pixels"
        if self.megapixels:
            return f"to {self.megapixels:g} megapixels"
        side, pixels = ("width", self.width) if self.width else ("height", self.height)
        return f"to a {side} of {pixels} pixels"

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) of the result for an image of `size`; never less by rounding."""
        if self.width and self.height and self.fit != "inside":
            return self.width, self.height
        return self.enlarged(size)

    def enlarged(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) before anything is cropped."""
        width, height = self._sides(size)
        return max(width, 1), max(height, 1)

    def _sides(self, size: tuple[int, int]) -> tuple[int, int]:
        width, height = size
        factor = self.factor(size)
        if self.width and self.height:
            return self._both_sides(size)
        if self.long_edge:
            short = round_half_up(min(size) * factor)
            return (self.long_edge, short) if width >= height else (short, self.long_edge)
        if self.megapixels:  # at least so many
            return round_up(width * factor), round_up(height * factor)
        across = self.width or round_half_up(width * factor)
        return across, self.height or round_half_up(height * factor)

    def _both_sides(self, size: tuple[int, int]) -> tuple[int, int]:
        """The sides where both were asked for: one is exact, the other follows unless it is
        stretched.
        """
        assert self.width and self.height, "a side is missing"
        width, height = size
        factor = self.factor(size)
        if self.fit == "stretch":
            return self.width, self.height
        inside = self.fit == "inside"
        rounded = round_half_up if inside else round_up
        if (self.width / width <= self.height / height) == inside:
            return self.width, rounded(height * factor)
        return rounded(width * factor), self.height

    def factor(self, size: tuple[int, int]) -> float:
        """How many times larger the result is; the larger of two where it is stretched."""
        if self.scale is not None:
            return self.scale
        width, height = size
        if self.long_edge:
            return self.long_edge / max(size)
        if self.megapixels:
            return math.sqrt(self.megapixels * 1e6 / (width * height))
        ratios = []
        if self.width:
            ratios.append(self.width / width)
        if self.height:
            ratios.append(self.height / height)
        return min(ratios) if self.fit == "inside" else max(ratios)


def target(
    *,
    scale: float | None = None,
    size: str | None = None,
    width: int | None = None,
    height: int | None = None,
    long_edge: int | None = None,
    megapixels: float | None = None,
    fill: bool = False,
    stretch: bool = False,
) -> Target:
    """The target that options ask for, ×4 if none does.

    Raises UsageError where options contradict each other, and what `Target` raises.
    """
    if size is not None and (width is not None or height is not None):
        raise UsageError("size already says width and height; give one or the other")
    if size is not None:
        width, height = parse_size(size)
    asked = {
        "a scale": scale,
        "a width or height": height if width is None else width,
        "a long edge": long_edge,
        "megapixels": megapixels,
    }
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} contradict each other; give one of them")
    both_sides = width is not None and height is not None
    fit = _fit(fill=fill, stretch=stretch, both_sides=both_sides)
    if not given:
        return Target(scale=4.0)
    return Target(scale, width, height, long_edge, megapixels, fit)


def _fit(*, fill: bool, stretch: bool, both_sides: bool) -> Fit:
    if fill and stretch:
        raise UsageError("fill and stretch contradict each other; give one of them")
    if not fill and not stretch:
        return "inside"
    if not both_sides:
        raise UsageError("to fill or to stretch takes both sides", "as in {size=1920x1080}")
    return "fill" if fill else "stretch"


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of a text like "1920x1080". Raises UsageError."""
    match = re.fullmatch(r"([1-9]\d*)[xX×]([1-9]\d*)", text)
    if not match:
        form = "is not of the form WIDTHxHEIGHT"
        raise UsageError(f"the size {text!r} {form}", "as in {size=1920x1080}")
    return int(match[1][:DIGITS]), int(match[2][:DIGITS])


def parse_scale(text: str) -> float:
    """How many times larger a text like "4", "2.5x", "×4" or "400%" says. Raises UsageError."""
    match = SCALE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no scale; write 4, 2.5, 4x or 400%")
    return float(match[1]) / (100 if match[2] else 1)


EPSILON = 1e-9  # 1.1 · 10 is 11.000000000000002, and 1.15 · 10 is 11.499999999999998


def round_half_up(value: float) -> int:
    """The nearest whole number; halves go up."""
    return math.floor(value + 0.5 + EPSILON)


def round_up(value: float) -> int:
    """The next whole number, but for what floating point adds to one."""
    return math.ceil(value - EPSILON)
