"""Checks what programs and people give, so that a mistake is told in one line."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
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


def word_of(value: str, words: Sequence[str], also: Mapping[str, str]) -> str:
    """The one of `words` that a text means, in any case; `also` are other words for some of them.

    Raises UsageError, which suggests the nearest.
    """
    word = also.get(value.lower(), value.lower())
    if word in words:
        return word
    near = difflib.get_close_matches(word, words, n=1)
    advice = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"{value!r} is none of {', '.join(words)}{advice}")


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
