"""`srup photo.jpg` means `srup upscale photo.jpg`, and so does `srup -s 2 photo.jpg`."""

from __future__ import annotations

import difflib
import glob
from collections.abc import Callable, Collection
from pathlib import Path

from srup.errors import UsageError

UPSCALE = "upscale"


def completed(arguments: list[str], commands: Collection[str]) -> list[str]:
    """The arguments, with `upscale` before those that begin with an image.

    Raises UsageError if the first word is neither a command nor a file.
    """
    if not arguments or arguments[0] in commands:
        return arguments
    word = arguments[0]
    if word == "-" or _is_file(word):
        return [UPSCALE, *arguments]
    if word.startswith("-"):
        return [UPSCALE, *arguments] if any(map(_is_file, arguments)) else arguments
    raise UsageError(_what_instead(word, commands))


def _is_file(word: str) -> bool:
    return "://" in word or _is(Path.is_file, word)


def _is(kind: Callable[[Path], bool], word: str) -> bool:
    try:
        return kind(Path(word))
    except (OSError, ValueError):  # no name of a file at all
        return False


def _what_instead(word: str, commands: Collection[str]) -> str:
    """What to say of a word that is neither a command nor a file."""
    if _is(Path.is_dir, word):
        return f"{word} is a folder; srup batch {word} larger/ enlarges the images in it"
    near = difflib.get_close_matches(word, commands, n=1)
    if near:
        return f"no command and no file is called {word}; did you mean srup {near[0]}?"
    if glob.has_magic(word):
        return f"no file matches {word}; check the name"
    return f"no command and no file is called {word}; srup --help lists the commands"
