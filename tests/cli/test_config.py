"""Defaults of one's own: the file, the variables, what wins, and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from srup.cli import run, settings

FILE = """
model = "bicubic"
scale = 2

[batch]
jobs = 2
recursive = true

[evaluate]
degrade = ["clean", "jpeg:75"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of settings in use."""
    monkeypatch.chdir(tmp_path)
    path = Path("mine.toml")
    path.write_text(FILE)
    monkeypatch.setenv("SRUP_CONFIG", str(path))
    return path


def shown(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], tuple[object, str]]:
    """What `srup config` says: (command, option) → (value, where it is set)."""
    assert run(["config", "--json"]) == 0
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return {(each["command"], each["option"]): (each["value"], each["from"]) for each in lines}


def test_where_the_platform_keeps_it(tmp_path: Path) -> None:
    assert settings.path() == tmp_path / "settings" / "srup" / "config.toml"


def test_nothing_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config"]) == 0
    said = capsys.readouterr()
    assert "there is none" in said.err
    assert said.out == ""


@pytest.mark.usefixtures("file")
def test_it_shows_what_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: Path
) -> None:
    monkeypatch.setenv("SRUP_SCALE", "3x")
    monkeypatch.setenv("SRUP_BATCH_MODEL", "imdn")
    assert shown(capsys) == {
        ("upscale", "model"): (["bicubic"], str(file)),
        ("upscale", "scale"): ("3x", "SRUP_SCALE"),
        ("batch", "model"): (["imdn"], "SRUP_BATCH_MODEL"),
        ("batch", "scale"): ("3x", "SRUP_SCALE"),
        ("batch", "jobs"): ("2", f"{file} [batch]"),
        ("batch", "recursive"): (True, f"{file} [batch]"),
        ("evaluate", "degrade"): (["clean", "jpeg:75"], f"{file} [evaluate]"),
    }
    assert run(["config"]) == 0
    table = capsys.readouterr().out
    assert f"{file} [batch]" in table


@pytest.mark.parametrize(
    ("arguments", "variables", "width"),
    [
        ([], {}, 160),
        ([], {"SRUP_SCALE": "3"}, 240),
        ([], {"SRUP_SCALE": "3", "SRUP_UPSCALE_SCALE": "1"}, 80),
        (["-s", "1.5"], {"SRUP_SCALE": "3"}, 120),
        (["--width", "100"], {"SRUP_SCALE": "3"}, 100),  # or they would contradict each other
    ],
)
@pytest.mark.usefixtures("file")
def test_what_comes_first_wins(
    arguments: list[str],
    variables: dict[str, str],
    width: int,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = photo.with_name("result.png")
    assert run(["upscale", str(photo), "-o", str(result), *arguments]) == 0
    with Image.open(result) as image:
        assert image.width == width


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('modle = "imdn"', "no option is called 'modle'; did you mean model?"),
        ("[btach]\njobs = 1", "no command is called 'btach'; did you mean batch?"),
        ("[batch]\njbos = 1", "no option of srup batch is called 'jbos'; did you mean jobs?"),
        ("quality = 900", "quality = 900: "),
        ('format = "jpgg"', "did you mean jpeg?"),
        ("model = ", "is no TOML"),
        ("\xff", "is no TOML"),
        ("[config]\njson = true", "no command is called 'config'"),
    ],
)
def test_what_is_wrong_in_the_file(
    text: str, told: str, file: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text, encoding="latin-1" if text == "\xff" else "utf-8")
    if text == "\xff":
        told = "cannot read"
    for command in (["batch", str(photo), "out"], ["config"]):
        assert run(command) == 2
        (line,) = capsys.readouterr().err.splitlines()[-1:]
        assert told in line
        assert str(file) in line
    assert run(["batch", "--help"]) == 0  # which is how to find out


def test_what_is_wrong_in_a_variable(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SRUP_MODLE", "imdn")
    assert run(["upscale", str(photo)]) == 2
    assert "SRUP_MODLE is no setting of srup; did you mean model?" in capsys.readouterr().err


def test_a_file_that_was_named_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SRUP_CONFIG", str(tmp_path / "gone"))
    assert run(["config"]) == 2
    assert "there is no such file" in capsys.readouterr().err
