"""`srup photo.jpg`, and what is said of first words that are nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from srup.cli import run
from srup.cli.commands import COMMANDS
from srup.cli.first_word import completed
from srup.errors import UsageError


@pytest.mark.parametrize(
    "words",
    [["{photo}"], ["{photo}", "-s", "2"], ["-s", "2", "{photo}"], ["-"], ["s3://bucket/a.png"]],
)
def test_an_image_is_upscaled(words: list[str], photo: Path) -> None:
    words = [word.format(photo=photo) for word in words]
    assert completed(words, COMMANDS) == ["upscale", *words]


@pytest.mark.parametrize("words", [[], ["upscale"], ["--help"], ["-V"], ["models", "info"]])
def test_commands_stay(words: list[str]) -> None:
    assert completed(words, COMMANDS) == words


def test_a_command_comes_before_a_file_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("score").write_text("")
    assert completed(["score"], COMMANDS) == ["score"]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("{folder}", "srup batch {folder} larger/"),
        ("upscal", "did you mean srup upscale?"),
        ("gone.jpg", "no file is called gone.jpg"),
        ("*.jpeg", "no file matches *.jpeg"),
        ("a" * 5000, "no file is called"),
        ("nul\0byte", "no file is called"),
    ],
)
def test_other_words_say_what_to_type_instead(word: str, told: str, tmp_path: Path) -> None:
    word, told = word.format(folder=tmp_path), told.format(folder=tmp_path)
    with pytest.raises(UsageError) as error:
        completed([word], COMMANDS)
    assert told in str(error.value)


def test_it_makes_the_picture(photo: Path) -> None:
    assert run([str(photo), "-s", "2x"]) == 0
    assert photo.with_name("photo_x2.png").exists()
