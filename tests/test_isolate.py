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
        raise ReadError(error)


def process() -> Iterator[int]:
    yield os.getpid()


def test_what_is_yielded_arrives_from_another_process() -> None:
    assert list(run_isolated("counting", counted, 3)) == [0, 1, 2]
    assert list(run_isolated("counting", process)) != [os.getpid()]


def test_an_error_arrives_after_what_came_before_it() -> None:
    came = []
    with pytest.raises(ReadError, match="no such number"):
        came += run_isolated("counting", counted, 2, error="no such number")
    results = run_isolated("counting", counted, 2, error="no such number")
    assert [next(results), next(results)] == [0, 1]


def test_a_process_that_is_killed_ran_out_of_memory() -> None:
    results = run_isolated("counting", counted, 1, error="killed")
    assert next(results) == 0
    with pytest.raises(OutOfMemory, match="counting: its process ended"):
        next(results)
