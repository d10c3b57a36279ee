"""The surface: what starts at once, and what is said when something goes wrong."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

import srup
from srup.cli import COMMANDS, run

WITH_SRUP = {**os.environ, "PYTHONPATH": str(Path(srup.__file__).parents[1])}


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("upscale - -o out.png <&-", 1, "cannot read standard input: it is closed"),
        ("batch --from - out <&-", 1, "cannot read standard input: it is closed"),
        ("upscale photo.png -o - -f png >&-", 2, "standard output is closed; name a file with -o"),
        ("upscale photo.png -s 2 -o - > /dev/full", 1, "standard output: No space left on device"),
        ("score photo.png photo.png > /dev/full", 1, "output cannot be written: No space left"),
        ("models --json > /dev/full", 1, "output cannot be written: No space left on device"),
        ("score photo.png photo.png >&-", 0, ""),
        ("score photo.png none.png 2> /dev/full", 1, ""),
        ("score photo.png none.png 2>&-", 1, ""),
    ],
)
def test_streams_that_are_closed_or_full(photo: Path, command: str, code: int, says: str) -> None:
    line = f"exec {sys.executable} -m srup {command}"
    done = subprocess.run(
        ["sh", "-c", line], cwd=photo.parent, env=WITH_SRUP, capture_output=True, text=True
    )
    errors = done.stderr.splitlines()
    assert done.returncode == code, done.stderr
    wanted = [each for each in errors if not each.startswith("warning: ")]
    assert len(wanted) == (1 if says else 0), done.stderr
    assert says in "".join(wanted)


def test_no_warning_is_written_into_a_result(photo: Path) -> None:
    """Where standard error is closed, the next file that is opened would get its number."""
    script = "import os, sys; from srup.cli import main; sys.argv = ['srup', '--version']\n"
    script += "try: main()\nexcept SystemExit: pass\n"
    script += "print(os.open('probe', os.O_CREAT | os.O_WRONLY))"
    line = f'exec {sys.executable} -c "$0" 2>&-'
    done = subprocess.run(
        ["sh", "-c", line, script], cwd=photo.parent, env=WITH_SRUP, capture_output=True, text=True
    )
    assert int(done.stdout.splitlines()[-1]) > 2


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
