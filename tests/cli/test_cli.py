"""The surface: what starts at once, and what is said when something goes wrong."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

import srup
from srup.cli import COMMANDS, run


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_a_command_says_of_itself(name: str) -> None:
    command: click.Command = importlib.import_module(f"srup.cli.{name}").command
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[name]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["models"], ["--version"], *([name, "--help"] for name in COMMANDS)]
)
def test_starts_without_torch(arguments: list[str]) -> None:
    code = f"import sys; from srup.cli import run; assert run({arguments!r}) == 0"
    code += "; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_scores_without_torch(photo: Path) -> None:
    test_starts_without_torch(["score", str(photo), str(photo)])


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "srup", "--version"], check=True, capture_output=True, text=True
    )
    assert done.stdout == f"srup {srup.__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert "Usage: srup" in capsys.readouterr().out


def test_what_the_package_exports() -> None:
    assert all(getattr(srup, name) for name in srup.__all__)
    with pytest.raises(AttributeError):
        srup.nothing  # noqa: B018


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["upscale"], ["upscale", "--nothing"], ["upscale", "a.png", "-t", "3"]],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert run(arguments) == 2
