"""How large a result is to be: asked for by scale or by size, decided per image."""

from __future__ import annotations

import re
from dataclasses import dataclass

from srup.errors import UsageError


@dataclass(frozen=True)
class Target:
    """A scale; or a width, a height, or both (the largest size of the image's shape that fits inside)."""

    scale: float | None = None
    width: int | None = None
    height: int | None = None

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (width, height) an image of `size` becomes: rounded, and exactly as asked on the side that was."""
        width, height = size
        factor = self.factor(size)
        wanted = self.width or round_half_up(width * factor), self.height or round_half_up(height * factor)
        if self.width and self.height:  # the side that limits is exact, the other follows
            limited = self.width / width <= self.height / height
            wanted = (self.width, round_half_up(height * factor)) if limited else (round_half_up(width * factor), self.height)
        return max(wanted[0], 1), max(wanted[1], 1)

    def factor(self, size: tuple[int, int]) -> float:
        """How many times larger the result is."""
        if self.scale is not None:
            return self.scale
        width, height = size
        return min(wanted / side for wanted, side in ((self.width, width), (self.height, height)) if wanted)


def target(*, scale: float | None, size: str | None, width: int | None, height: int | None) -> Target:
    """What the command line asks for, ×4 if nothing. Raises UsageError where the options contradict one another."""
    if size is not None and (width or height):
        raise UsageError("--size already says width and height; give --size WxH, or --width and --height")
    if size is not None:
        width, height = parse_size(size)
    if scale is not None and (width or height):
        raise UsageError("-s/--scale and a size contradict each other; give one of them")
    if scale is None and not (width or height):
        return Target(scale=4.0)
    return Target(scale, width, height)


def parse_size(text: str) -> tuple[int, int]:
    """ "1920x1080" → (1920, 1080). Raises UsageError."""
    match = re.fullmatch(r"([1-9]\d*)[xX×]([1-9]\d*)", text)
    if not match:
        raise UsageError(f"--size {text!r} is not of the form WIDTHxHEIGHT, as in --size 1920x1080")
    return int(match[1]), int(match[2])


def round_half_up(value: float) -> int:
    return int(value + 0.5)
