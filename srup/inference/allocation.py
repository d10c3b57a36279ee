"""Where the maps between stages lie: in memory or on disk, new or written over old ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from srup.inference.canvas import MapSpec


@dataclass(frozen=True)
class Made:
    """What a stage makes of a window, as far as it decides what the whole map takes.

    `ratio` is how much larger the map is than the stage's input: a whole number, or one over a
    stride.
    """

    batch: int
    channels: int
    ratio: Fraction
    dtype: np.dtype[Any]

    def whole(self, height: int, width: int) -> MapSpec:
        """The map of a whole image whose stage input has these sides."""
        sides = (math.ceil(height * self.ratio), math.ceil(width * self.ratio))
        return MapSpec((self.batch, self.channels, *sides), self.dtype)


Result = Made | int  # a new map, or the number of the map in the state that was only handed through


@dataclass(frozen=True)
class Allocation:
    """Where the maps of the next state lie.

    `maps` are their specs in order, and `kept[i]` is the number of the map in the state before
    whose canvas map i is kept on or written over; None for a new canvas. `overwrites` says whether
    any map of the state before is written over while it is still read, so that results must be held
    back.
    """

    maps: tuple[MapSpec, ...]
    kept: tuple[int | None, ...]
    overwrites: bool


def allocation(
    results: Sequence[Result], state: Sequence[MapSpec], memory_budget: int
) -> Allocation:
    """Where to put the maps that a stage makes of a state.

    A map that was handed through stays where it is. A new one is written over an old one of the
    same shape that nothing needs any more, which halves what is held; else it gets memory while all
    maps together take no more than `memory_budget` bytes, else disk.
    """
    height, width = state[0].shape[-2:]
    # what is handed through is still needed, and the image is not ours to write over
    free = [
        number
        for number, old in enumerate(state)
        if old.reusable and number not in [result for result in results if isinstance(result, int)]
    ]
    maps: list[MapSpec] = []
    kept: list[int | None] = []
    overwrites = False
    for result in results:
        if isinstance(result, int):
            maps.append(state[result])
            kept.append(result)
            continue
        wanted = result.whole(height, width)
        fitting = _fitting(wanted, state, free)
        kept.append(fitting)
        if fitting is not None:
            free.remove(fitting)
            maps.append(state[fitting])
            overwrites = True
            continue
        # old maps count too: they are there until the stage is done
        left = memory_budget - resident((*state, *maps))
        maps.append(replace(wanted, on_disk=wanted.nbytes > left))
    return Allocation(tuple(maps), tuple(kept), overwrites)


def _fitting(wanted: MapSpec, state: Sequence[MapSpec], free: Sequence[int]) -> int | None:
    """The number of a free map of the wanted shape and type, if there is one."""
    for number in free:
        if state[number].shape == wanted.shape and state[number].dtype == wanted.dtype:
            return number
    return None


def resident(maps: Sequence[MapSpec]) -> int:
    """Bytes of memory that maps take together, each counted once."""
    return sum(each.resident for each in {id(each): each for each in maps}.values())
