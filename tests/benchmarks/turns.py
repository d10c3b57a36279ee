"""Timing several things fairly: turn by turn in one process, so that what else the machine does
falls on all alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Turn = Callable[[], float]  # does something, and says how many seconds it took


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def medians(turns: Mapping[str, Turn], runs: int) -> dict[str, float]:
    """The median of each, in seconds, over so many rounds after one that warms up."""
    rounds = [{name: turn() for name, turn in turns.items()} for _ in range(runs + 1)]
    return {name: statistics.median(each[name] for each in rounds[1:]) for name in turns}
