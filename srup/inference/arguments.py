"""Checks what a Python program gives to `load`, so that a mistake is told in one line."""

from __future__ import annotations

import os
from numbers import Integral, Real

from srup.errors import UsageError

TEXT = ((str,), "a text")
NUMBER = ((Real,), "a number")
KINDS: dict[str, tuple[tuple[type, ...], str]] = {  # argument → its types, and these in words
    "name": TEXT,
    "scale": NUMBER,
    "weights": ((str, os.PathLike, type(None)), "a path"),
    "device": TEXT,
    "engine": TEXT,
    "precision": TEXT,
    "tiling": TEXT,
    "self_ensemble": ((bool,), "True or False"),
    "strength": NUMBER,
}


def check_kinds(**arguments: object) -> None:
    """Raises UsageError for an argument of another type than `KINDS` says."""
    for name, value in arguments.items():
        types, words = KINDS[name]
        # True is a number to Python, and never meant as one
        confused = isinstance(value, bool) and bool not in types
        if confused or not isinstance(value, types):
            raise UsageError(f"{name} must be {words}, not {value!r}")


def check_pixels(size: tuple[int, int]) -> None:
    """Raises UsageError for the size of a picture that has no pixels."""
    if not all(size):
        raise UsageError("a picture of {}×{} pixels cannot be enlarged".format(*size))


def size_of(size: object) -> tuple[int, int]:
    """(width, height), each at least 1 pixel. Raises UsageError for what is none."""
    given = size if isinstance(size, (tuple, list)) else ()
    sides = [int(side) for side in given if isinstance(side, Integral)]
    if len(given) != 2 or len(sides) != 2 or min(sides) < 1:
        raise UsageError(f"size must be (width, height) in pixels, not {size!r}")
    return sides[0], sides[1]
