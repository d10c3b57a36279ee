"""Help: on one screen, in groups, without broken words, as it was when somebody last looked at it.

`python -m tests.cli.test_help` writes the snapshots anew; look at what changed before you commit.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from srup.cli.commands import COMMANDS, FIRST, GROUPS, group_of
from srup.cli.commands import REST as OTHER
from tests.cli.test_errors import commands

SNAPSHOTS = Path(__file__).parent / "help"
WIDTHS = (80, 140)
SCREEN = 40  # lines
PAGES = ["--help", *COMMANDS, *(f"{name} --all" for name in FIRST), "models-table"]


def page(name: str, width: int) -> str:
    """What a terminal of a width shows of a page of help."""
    command, *more = name.split()
    words = [command, "--help", *more] if command in COMMANDS else [command]
    if name == "models-table":
        words = ["models"]
    environment = {**os.environ, "COLUMNS": str(width), "SRUP_CACHE": "nowhere"}
    done = subprocess.run(
        [sys.executable, "-m", "srup", *words],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def snapshot(name: str, width: int) -> Path:
    return SNAPSHOTS / f"{name.replace(' --', '-').strip('-')}-{width}.txt"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_pages(name: str, width: int) -> None:
    told = page(name, width)
    assert told == snapshot(name, width).read_text(encoding="utf-8")
    assert max(map(len, told.splitlines())) <= width
    assert "…" not in told
    assert not re.search(r"[a-z]\.\.\.", told)  # what click cut off


@pytest.mark.parametrize("name", ["--help", *COMMANDS])
def test_one_screen(name: str) -> None:
    assert len(snapshot(name, 80).read_text(encoding="utf-8").splitlines()) <= SCREEN


def test_every_option_is_on_the_full_page_once() -> None:
    for name, command in commands():
        if name not in FIRST:
            continue
        told = snapshot(f"{name} --all", 80).read_text(encoding="utf-8")
        lines = [line.split()[0].rstrip(",") for line in told.splitlines() if line[:3] == "  -"]
        flags = [each.opts[0] for each in command.params if isinstance(each, click.Option)]
        assert sorted(lines) == sorted([*flags, "-h"])


def test_tables_name_options_that_there_are() -> None:
    """A group or a first screen that names an option that went would be empty one day."""
    names: dict[str, set[str]] = {}
    for name, command in commands():
        names[name] = {str(each.name) for each in command.params}
    every = set[str]().union(*names.values())
    assert {option for group in GROUPS.values() for option in group} <= every
    for name, first in FIRST.items():
        assert set(first) <= names[name]


def test_the_group_of_an_option() -> None:
    assert group_of(click.Option(["--scale"])) == "Size"
    assert group_of(click.Option(["--nothing"])) == OTHER


if __name__ == "__main__":
    SNAPSHOTS.mkdir(exist_ok=True)
    for each in PAGES:
        for columns in WIDTHS:
            snapshot(each, columns).write_text(page(each, columns), encoding="utf-8")
