"""Timing several things alternately in one process, so that other load falls on all alike."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Turn = Callable[[], float]  # does something; the seconds that it took


def of_a_photo() -> argparse.Namespace:
    """The arguments PHOTO [MODEL...] [--scale 4] [--runs 5] of a benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("photo", type=Path)
    parser.add_argument("models", nargs="*", default=["lite"])
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


def timed(run: Callable[[], object]) -> float:
    """The seconds that a call takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def medians(turns: Mapping[str, Turn], runs: int) -> dict[str, float]:
    """The median seconds of each over `runs` rounds, after one to warm up."""
    rounds = [{name: turn() for name, turn in turns.items()} for _ in range(runs + 1)]
    return {name: statistics.median(each[name] for each in rounds[1:]) for name in turns}
