"""Makes a case smaller while the same goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

TRIES = 300


def shrunk(case: bytes, still_wrong: Callable[[bytes], bool], tries: int = TRIES) -> bytes:
    """The smallest case that was found within so many tries; `still_wrong` judges each."""
    left = iter(range(tries))
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(case):
            if next(left, None) is None:
                return case
            if still_wrong(smaller):
                case, progress = smaller, True
                break
    return case


def _smaller(case: bytes) -> Iterator[bytes]:
    """Cases that lack a part, the largest parts first."""
    try:
        value = json.loads(case)
    except (ValueError, RecursionError):
        yield from _cut(case)
        return
    for less in _less(value):
        yield json.dumps(less).encode()


def _cut(data: bytes) -> Iterator[bytes]:
    length = len(data) // 2
    while length:
        for start in range(0, len(data), length):
            yield data[:start] + data[start + length :]
        length //= 2


def _less(value: Any) -> Iterator[Any]:
    """Values of JSON that lack something."""
    if isinstance(value, str) and value:
        yield ""
        yield value[: len(value) // 2]
        yield value[len(value) // 2 :]
    elif isinstance(value, list):
        for place in range(len(value)):
            yield value[:place] + value[place + 1 :]
        for place, each in enumerate(value):
            yield from ([*value[:place], less, *value[place + 1 :]] for less in _less(each))
    elif isinstance(value, dict):
        for key in value:
            yield {name: each for name, each in value.items() if name != key}
        for key, each in value.items():
            yield from ({**value, key: less} for less in _less(each))
