"""Finds which of a network's scales to run one after the other for a requested scale."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from srup.errors import ScaleError, UsageError
from srup.models.registry import AUTO, MODELS, Model, find, natural_scale

SMALLEST_SCALE, LARGEST_SCALE = 1, 32
CHAIN = " + "  # between names of networks that run one after the other
MOST_STEPS = 5  # enough to reach the largest scale with steps of ×2


def route(
    name: str, scale: float, *, own_weights: bool = False, strength: float = 1.0
) -> tuple[Model, ...]:
    """The rows of a network whose scales multiply to at least `scale`, in the order to run them.

    Networks that restore may stand before it, as in "restore.pth + lite". Of all chains it is the
    one with the smallest product, and of those the shortest. A network for any scale takes a single
    row. Rows without released weights are left out, unless the network has no others or the user
    brings `own_weights`. A `strength` below 1 mixes in the weights of the network's origin. Raises
    UnknownModel, UsageError for a network without one or a strength that is not 0 to 1, and
    ScaleError if `scale` is not between SMALLEST_SCALE and LARGEST_SCALE.
    """
    *before, last = name.split(CHAIN)
    if before:
        restoring = [_restoring(each) for each in before]
        return (*restoring, *route(last, scale, own_weights=own_weights, strength=strength))
    rows = find(name)
    if not 0 <= strength <= 1:
        raise UsageError(f"strength must be from 0 to 1, not {strength:g}")
    if strength < 1:
        rows = _mixed(rows, strength, own_weights)
    if not SMALLEST_SCALE <= scale <= LARGEST_SCALE:  # not a number is out of range, too
        raise ScaleError(
            f"scale {scale:g} is out of range: "
            f"srup enlarges {SMALLEST_SCALE} to {LARGEST_SCALE} times"
        )
    if 0 in rows:
        return (rows[0],)
    released = [row.scale for row in rows.values() if row.released]
    if max(rows) == 1 < scale:
        raise ScaleError(
            f"{name} restores pictures and enlarges none; run a network after it that does",
            "{model=lite} once more",
        )
    chain = _least_chain(rows if own_weights or not released else released, scale)
    return tuple(rows[step] for step in chain)


def chain(named: Sequence[tuple[str, int | None]]) -> tuple[str, int]:
    """The name of networks that run one after the other, and the scale where nobody says one.

    Each is named with the scale at the end of its name, as "imdn_x2" has it. Raises what
    `registry.find` raises.
    """
    name, scale = named[-1]
    # a network that is called imdn_x2 says how large, and so does a file
    scale = scale or (4 if name == AUTO else natural_scale(name))
    return CHAIN.join(name for name, _ in named), scale


def in_words(route: Sequence[Model]) -> str:
    """What runs one after the other: "imdn ×2 ×3", or "restore ×1, lite ×4"."""
    parts = []
    for name, rows in itertools.groupby(route, key=lambda row: row.name):
        parts.append(" ".join([name, *(f"×{row.scale}" for row in rows if row.scale)]))
    return ", ".join(parts)


def _restoring(name: str) -> Model:
    """The row of a network that works at an image's own size. Raises UsageError for others."""
    rows = find(name)
    if 1 not in rows:
        raise UsageError(f"{name} enlarges; only networks that restore may run before another one")
    return rows[1]


def _mixed(rows: Mapping[int, Model], strength: float, own_weights: bool) -> dict[int, Model]:
    """The rows with a share of their origin's weights."""
    if own_weights or not all(row.origin for row in rows.values()):
        with_origin = dict.fromkeys(row.name for row in MODELS if row.origin)
        raise UsageError(f"only {', '.join(with_origin)} has a strength", "leave out {strength}")
    return {scale: replace(row, strength=strength) for scale, row in rows.items()}


def _least_chain(steps: Iterable[int], scale: float) -> tuple[int, ...]:
    sufficient = [chain for chain in _chains(sorted(steps)) if math.prod(chain) >= scale - 1e-9]
    return min(sufficient, key=lambda chain: (math.prod(chain), len(chain)))


def _chains(steps: list[int]) -> Iterator[tuple[int, ...]]:
    for length in range(1, MOST_STEPS + 1):
        yield from itertools.combinations_with_replacement(steps, length)
