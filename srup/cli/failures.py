"""Failures as rows: what one image or network fails with becomes a row of the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from srup.cli import console
from srup.errors import ImageError, OutOfMemory, SrupError
from srup.report import Row

OF_ONE_IMAGE = (ImageError, OutOfMemory)  # the next image may do


@contextmanager
def failures_as_rows(
    rows: list[Row],
    name: str,
    *,
    caught: tuple[type[SrupError], ...] = (SrupError,),
    label: str = "",
) -> Iterator[None]:
    """Appends a row `name` with the error where the block raises one of the kinds `caught`.

    The error is told after `label`, if there is one.
    """
    try:
        yield
    except caught as error:
        about = console.told(error)
        if label:
            about = f"{label}: {about}"
        rows.append(Row(name, error=about))
