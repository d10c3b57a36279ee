"""The manual page: it says what the commands say, and troff has nothing to complain of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from srup.cli import COMMANDS, run, srup
from srup.cli.man import ENVIRONMENT, page

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def printed(capfd: pytest.CaptureFixture[str]) -> str:
    """What `srup man` prints."""
    assert run(["man"]) == 0
    return capfd.readouterr().out


def rendered(page: str) -> str:
    """A page as `man` shows it, which may have no warnings."""
    if shutil.which("man") is None or shutil.which("nroff") is None:
        pytest.skip("needs man: apt-get install man-db")
    settings = {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    done = subprocess.run(
        ["man", "--warnings", "--local-file", "-"],
        input=page,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return re.sub(r".\x08", "", done.stdout)


def test_it_shows_every_command_with_its_options_and_examples(printed: str) -> None:
    shown = rendered(printed)
    for name in COMMANDS:
        assert re.search(rf"^SRUP {name.upper()}$", shown, re.MULTILINE)
    assert "SRUP MODELS DOWNLOAD" in shown
    assert re.search(r"^ +-s, --scale N$", shown, re.MULTILINE)
    assert "find . -name '*.jpg' | srup batch --from - larger/" in shown
    assert "×" in shown


def test_groff_has_nothing_to_complain_of(printed: str) -> None:
    if shutil.which("groff") is None:
        pytest.skip("needs groff: apt-get install groff")
    command = ["groff", "-man", "-ww", "-z", "-Tutf8"]
    done = subprocess.run(command, input=printed, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_plain_ascii_and_the_same_each_time(
    printed: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert printed.isascii()
    assert run(["man"]) == 0
    assert capfd.readouterr().out == printed


def test_texts_say_nothing_to_troff() -> None:
    @click.command("strange", epilog="")
    @click.option(
        "--back\\slash", "back", help=".TH is no macro here, nor is 'this'; \\fB stays. ~^`"
    )
    @click.option("--hidden", hidden=True)
    def strange() -> None:
        """Begin.

        \b
        .SH not a heading
        'br
        """

    shown = rendered(page(click.Context(strange, info_name="strange")))
    assert ".TH is no macro here, nor is 'this'; \\fB stays. ~^`" in " ".join(shown.split())
    assert ".SH not a heading" in shown
    assert "'br" in shown
    assert "--back\\slash" in shown
    assert "--hidden" not in shown


def test_options_stand_under_their_groups() -> None:
    """Of commands that have many; and all of them, not those of the first screen alone."""
    shown = rendered(page(click.Context(srup, info_name="srup")))
    upscale = shown[shown.index("\nSRUP UPSCALE") : shown.index("\nSRUP BATCH")]
    assert re.search(r"Size\n +-s, --scale N\n(.*\n)* +Network\n +-m, --model", upscale)
    assert "--max-pixels" in upscale


def test_it_names_the_variables_that_the_documents_name() -> None:
    table = (README.parent / ".github" / "docs" / "settings.md").read_text()
    assert set(re.findall(r"^\| `([A-Z_]+)`", table, re.MULTILINE)) == set(ENVIRONMENT)
