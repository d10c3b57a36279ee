from __future__ import annotations

import logging

import pytest

from srup.cli import console
from srup.report import Report, Row

NASTY = "[bold]\\[dim]\x1b[2J:cat:\n\u202e[/].png"
SHOWN = r"[bold]\[dim]\x1b[2J:cat:\n\u202e[/].png"


def test_names_are_shown_as_they_are_and_obeyed_by_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.error(NASTY)
    console.warning(NASTY)
    console.line(NASTY)
    assert capsys.readouterr().err == f"error: {SHOWN}\nwarning: {SHOWN}\n{SHOWN}\n"
    console.show(Report("all", [Row(NASTY, {"note": NASTY})], [NASTY]))
    table = capsys.readouterr().out
    assert table.count(SHOWN) == 3
    assert "\x1b" not in table


def test_a_traceback_is_shown_to_who_asks(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("srup.test")
    for verbose in (False, True):
        console.start_logging(verbose)
        try:
            raise KeyError(NASTY)
        except KeyError as error:
            log.info("unexpected", exc_info=error)
        said = capsys.readouterr().err
        assert ("Traceback (most recent call last)" in said, "raise KeyError" in said) == (
            verbose,
            verbose,
        )


def test_a_message_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    console.start_logging(True)
    log = logging.getLogger("srup.test")
    for _ in range(8):
        log.info("lite: exact tiling")
    log.warning("another")
    said = capsys.readouterr().err
    assert said.count("lite: exact tiling") == 1
    assert "another" in said
    console.start_logging(True)  # the next command says it again
    log.info("lite: exact tiling")
    assert "exact tiling" in capsys.readouterr().err
