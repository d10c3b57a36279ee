"""Library errors name things; each command spells them in options that it has."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import srup
from srup.cli import COMMANDS, console, options, run
from srup.cli import srup as root
from srup.cli.errors import command_of, spelling
from srup.errors import OPTION, OutOfMemory, ReadError, SrupError, WriteError

PACKAGE = Path(srup.__file__).parent
FLAG = re.compile(r"(?:(?<=[\s(])|^(?=--))(--[a-z][a-z-]+|-[a-z](?=[ ,;)]|$))")
FOREIGN = ("--extra-index-url",)  # options of other programs


def library_strings() -> Iterator[tuple[Path, str]]:
    """Every string of the library that is no docstring; parts of f-strings one by one."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "cli"):
            continue
        tree = ast.parse(path.read_text())
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            is_markup = is_text and ("var(--" in node.value or "<html" in node.value)
            if is_text and id(node) not in docstrings and not is_markup:
                yield path.relative_to(PACKAGE), node.value


def hints() -> set[str]:
    """Every hint that the library gives with an error: an option in braces says so."""
    names = {name.rstrip("_") for name in options_of_all()}
    found = set()
    for _, text in library_strings():
        if any(name in names for name, _ in OPTION.findall(text)):
            found.add(text)
    return found


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command: click.Command = importlib.import_module(f"srup.cli.{name}").command
        yield name, command
        if isinstance(command, click.Group):
            for below in command.commands.values():
                yield f"{name} {below.name}", below


def options_of_all() -> set[str]:
    """The names that a hint may have: of every option, and of every command."""
    return {*COMMANDS} | {
        parameter.name
        for _, command in commands()
        for parameter in command.params
        if isinstance(parameter, click.Option) and parameter.name
    }


def test_the_library_quotes_no_flags() -> None:
    quoted = {
        (str(path), text)
        for path, text in library_strings()
        for flag in FLAG.findall(text)
        if flag not in FOREIGN and not text.startswith("http")
    }
    assert quoted == set()


def test_every_thing_in_a_hint_is_an_option_of_some_command() -> None:
    names = {name.rstrip("_") for name in options_of_all()}
    assert len(hints()) > 10
    for _, text in library_strings():
        for name, _ in OPTION.findall(text):
            assert name in names, f"no command has an option for {{{name}}} in {text!r}"


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda value: str(value))
def test_hints_are_spelled_in_options_that_the_command_has(
    name: str, command: click.Command
) -> None:
    """Or are not shown."""
    spelled, own = spelling(command), {flag for each in command.params for flag in each.opts}
    for hint in hints():
        told = SrupError("x", hint).told(spelled)
        for flag in FLAG.findall(told):
            assert flag in own, f"srup {name} advises {flag}: {told}"
        assert "{" not in told


def test_python_shows_the_keyword() -> None:
    error = OutOfMemory("the memory is full", "take smaller windows with {tile=128}")
    assert str(error) == "the memory is full; take smaller windows with tile=128"
    several = WriteError("a.png exists", "{overwrite} replaces it", "{output} names another")
    assert str(several) == "a.png exists; overwrite replaces it, output names another"
    assert str(ReadError("no such file")) == "no such file"


def test_the_command_of_a_command_line() -> None:
    assert command_of(root, ["upscale", "photo.jpg"]).name == "upscale"
    assert command_of(root, ["models", "download", "imdn"]).name == "download"
    assert command_of(root, []).name == "srup"


@pytest.mark.parametrize(
    ("arguments", "told", "not_told"),
    [
        (["upscale", "{photo}", "-o", "{photo}"], "-y replaces it, -o names another", "overwrite"),
        (["upscale", "{photo}", "--max-pixels", "9"], "--max-pixels raises this limit", "max_"),
        (["batch", "{folder}", "{folder}/out", "-f", "gif"], "--palette", "palette accepts"),
    ],
)
def test_commands_show_their_own_options(
    arguments: list[str],
    told: str,
    not_told: str,
    photo: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").write_bytes(photo.read_bytes())
    places = {"photo": photo, "folder": folder}
    assert run([word.format(**places) for word in arguments]) in (1, 2)
    said = capsys.readouterr().err
    assert told in said
    assert not_told not in said


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that has a mistake."""

    @click.command("broken")
    @options.verbose
    def command(verbose: bool) -> None:
        console.start_logging(verbose)
        raise ZeroDivisionError("nobody expected this")

    module = types.ModuleType("srup.cli.broken")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "broken", "")


@pytest.mark.usefixtures("broken")
def test_a_mistake_of_srups_own_is_a_line_that_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["broken"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "Traceback" not in said
    assert "srup broken: an unexpected error in srup (ZeroDivisionError: nobody" in said
    assert "please report it; -v shows where it was raised" in said
    assert run(["broken", "-v"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said and "in command" in said
