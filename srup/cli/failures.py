"""Failures as rows: what one image or network fails with becomes a row of the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from srup.errors import SrupError
from srup.report import Row


@contextmanager
def failures_as_rows(
    rows: list[Row], name: str, *, caught: type[SrupError] = SrupError, label: str = ""
) -> Iterator[None]:
    """Appends a row `name` with the error where the block raises one of the kind `caught`.

    The error is told after `label`, if there is one.
    """
    try:
        yield
    except caught as error:
        rows.append(Row(name, error=f"{label}: {told(error)}" if label else told(error)))


def told(error: SrupError) -> str:
    """An error as a row of a report tells it."""
    return str(error)
