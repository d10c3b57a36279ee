"""Which of a network's scales are run one after the other to reach the scale that was asked for."""

from __future__ import annotations

import itertools
import math

from srup.errors import ScaleError
from srup.models.registry import Model, find

SMALLEST_SCALE, LARGEST_SCALE = 1, 32


def route(name: str, scale: float, *, own_weights: bool = False) -> tuple[Model, ...]:
    """The rows to run one after the other for an enlargement of at least `scale`: the least that suffices, in the fewest steps.

    A model of any scale is its own route. Scales that were never released count only with `own_weights`, or where there are no
    others. Raises UnknownModel, ScaleError.
    """
    rows = find(name)
    if not own_weights and any(row.released for row in rows.values()):
        rows = {native: row for native, row in rows.items() if row.released}
    if not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
        raise ScaleError(
            f"scale {scale:g} is out of range: srup enlarges {SMALLEST_SCALE} to {LARGEST_SCALE} times"
        )
    if 0 in rows:
        return (rows[0],)
    chains = (
        chain
        for steps in range(1, 6)
        for chain in itertools.combinations_with_replacement(sorted(rows), steps)
    )
    best = min(
        (chain for chain in chains if math.prod(chain) >= scale - 1e-9),
        key=lambda chain: (math.prod(chain), len(chain)),
    )
    return tuple(rows[step] for step in best)
