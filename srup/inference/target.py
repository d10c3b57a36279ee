"""How large a result is to be: asked for by scale or by size, decided per image."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from srup.errors import UsageError

FITS = ("inside", "fill", "stretch")


@dataclass(frozen=True)
class Target:
    """A scale; or a width, a height, or both; or the length of the longer edge; or megapixels.

    With both sides `fit` decides: the largest size of the image's shape that fits inside, the
    smallest that covers them, cropped, or both sides as they are, whatever becomes of the shape.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None
    long_edge: int | None = None
    megapixels: float | None = None
    fit: str = "inside"

    @property
    def crops(self) -> bool:
        """Whether a result shows less than its input."""
        return self.fit == "fill"

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) of the result for an image of `size`: exactly what was asked, never
        less by rounding.
        """
        return (
            (self.width, self.height)
            if self.width and self.height and self.fit != "inside"
            else self.enlarged(size)
        )

    def enlarged(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) before anything is cropped."""
        width, height = size
        factor = self.factor(size)
        if self.width and self.height and self.fit == "stretch":
            return self.width, self.height
        if self.width and self.height:  # one side is exact, the other follows
            by_width = (self.width / width <= self.height / height) == (self.fit == "inside")
            rounded = round_half_up if self.fit == "inside" else round_up
            sides = (
                (self.width, rounded(height * factor))
                if by_width
                else (rounded(width * factor), self.height)
            )
        elif self.long_edge:
            short = round_half_up(min(size) * factor)
            sides = (self.long_edge, short) if width >= height else (short, self.long_edge)
        elif self.megapixels:
            sides = round_up(width * factor), round_up(height * factor)
        else:
            sides = (
                self.width or round_half_up(width * factor),
                self.height or round_half_up(height * factor),
            )
        return max(sides[0], 1), max(sides[1], 1)

    def factor(self, size: tuple[int, int]) -> float:
        """How many times larger the result is; the larger of two where it is stretched."""
        if self.scale is not None:
            return self.scale
        width, height = size
        if self.long_edge:
            return self.long_edge / max(size)
        if self.megapixels:
            return math.sqrt(self.megapixels * 1e6 / (width * height))
        ratios = [
            wanted / side for wanted, side in ((self.width, width), (self.height, height)) if wanted
        ]
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
    """What the command line asks for, ×4 if nothing.

    Raises UsageError where the options contradict one another.
    """
    if size is not None and (width or height):
        raise UsageError(
            "--size already says width and height; give --size WxH, or --width and --height"
        )
    if size is not None:
        width, height = parse_size(size)
    asked = {
        "-s/--scale": scale,
        "a width or height": width or height,
        "--long-edge": long_edge,
        "--megapixels": megapixels,
    }
    given = [name for name, value in asked.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} contradict each other; give one of them")
    if (fill or stretch) and not (width and height):
        raise UsageError("--fill and --stretch need both sides, as in --size 1920x1080 --fill")
    if fill and stretch:
        raise UsageError("--fill and --stretch contradict each other; give one of them")
    fit = "fill" if fill else "stretch" if stretch else "inside"
    return Target(scale, width, height, long_edge, megapixels, fit) if given else Target(scale=4.0)


def parse_size(text: str) -> tuple[int, int]:
    """ "1920x1080" → (1920, 1080). Raises UsageError."""
    match = re.fullmatch(r"([1-9]\d*)[xX×]([1-9]\d*)", text)
    if not match:
        raise UsageError(f"--size {text!r} is not of the form WIDTHxHEIGHT, as in --size 1920x1080")
    return int(match[1]), int(match[2])


EPSILON = 1e-9  # 1.1 · 10 is 11.000000000000002, and 1.15 · 10 is 11.499999999999998


def round_half_up(value: float) -> int:
    return math.floor(value + 0.5 + EPSILON)


def round_up(value: float) -> int:
    return math.ceil(value - EPSILON)
