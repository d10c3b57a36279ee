from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import pytest

from srup.errors import InternalError, OutOfMemory, ReadError
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


def processes() -> Iterator[int]:
    yield os.getpid()
    yield from run_isolated("counting", process)


def test_what_is_isolated_already_stays_where_it_is() -> None:
    first, second = run_isolated("counting", processes)
    assert first == second


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


def talkative() -> Iterator[int]:
    logging.getLogger("srup.somewhere").info("%d of %s", 1, "two")
    yield from range(2)
    raise ZeroDivisionError("nobody expected this")


def test_what_it_logs_is_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    """The traceback of a mistake, too, which is an error of srup and not one of memory."""
    caplog.set_level(logging.INFO, "srup")
    results = run_isolated("counting", talkative)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(InternalError, match=r"counting: an unexpected error .*ZeroDivisionError"):
        next(results)
    first, second = caplog.records
    assert (first.name, first.getMessage()) == ("srup.somewhere", "1 of two")
    assert "in talkative" in str(second.exc_text)


def test_nothing_is_sent_that_is_not_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "srup")
    with pytest.raises(InternalError):
        list(run_isolated("counting", talkative))
    assert caplog.records == []
