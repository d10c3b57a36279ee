"""What the README says is what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from srup.cli import COMMANDS, run, srup
from srup.errors import SrupError

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_table_of_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--markdown"]) == 0
    assert capsys.readouterr().out.strip() in README


def examples() -> list[str]:
    return sorted(
        {
            line.strip()
            for block in re.findall(r"```sh\n(.*?)```", README, re.S)
            for line in re.findall(r"^srup .*$", block, re.M)
        }
    )


@pytest.mark.parametrize("example", examples())
def test_examples_are_understood(example: str) -> None:
    """Every `srup …` line parses: commands and options exist."""
    words = shlex.split(example, comments=True)[1:]
    words = words[: words.index(">")] if ">" in words else words
    context = click.Context(srup)
    name, command, rest = srup.resolve_command(context, words)
    assert name in COMMANDS and command
    try:
        with command.make_context(name, rest):
            pass
    except SrupError as error:  # what it names need not exist here
        pytest.fail(str(error))
