from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from srup.errors import OutOfMemory, ReadError
from srup.isolate import run_isolated


def counted(end: int, error: str = "") -> Iterator[int]:
    yield from range(end)
    if error == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if error:
        raise ReadError(error, "{overwrite} helps")


def process() -> Iterator[int]:
    yield os.getpid()


def test_results_come_from_another_process() -> None:
    assert list(run_isolated("counting", counted, 3)) == [0, 1, 2]
    assert list(run_isolated("counting", process)) != [os.getpid()]


def test_results_before_an_error_arrive_and_the_error_keeps_its_hints() -> None:
    results = run_isolated("counting", counted, 2, error="no such number")
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ReadError, match="no such number") as raised:
        next(results)
    assert raised.value.hints == ("{overwrite} helps",)


def test_a_killed_process_counts_as_out_of_memory() -> None:
    results = run_isolated("counting", counted, 1, error="killed")
    assert next(results) == 0
    with pytest.raises(OutOfMemory, match=r"counting: its process ended .*tile=128"):
        next(results)
