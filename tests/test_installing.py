"""What documents and the Containerfile say of installing: files exist, versions are supported."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import srup

ROOT = Path(__file__).parents[1]
CONTAINERFILE = ROOT / ".github" / "Containerfile"
PYPROJECT = (ROOT / "pyproject.toml").read_text()
CHANGELOG = ROOT / ".github" / "CHANGELOG.md"


def steps() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, each a word and what stands after it."""
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if line]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def step(name: str) -> str:
    """What the only instruction of a name says."""
    (found,) = (rest for word, rest in steps() if word == name)
    return found


def test_a_container_is_made_of_what_pip_needs() -> None:
    """All that is there: a folder under its own name, files into the working folder."""
    needed = {"pyproject.toml", "srup"}
    for key in ("readme = ", "license-files = ", "packages = "):
        needed |= set(re.findall(rf'^{key}\[?"([^"]+)"', PYPROJECT, re.MULTILINE))
    copied: set[str] = set()
    for *sources, target in (shlex.split(rest) for word, rest in steps() if word == "COPY"):
        copied |= set(sources)
        for source in sources:
            assert target == (source if (ROOT / source).is_dir() else "./")
    assert copied == needed
    assert all((ROOT / source).exists() for source in copied)


def test_a_container_runs_srup_as_nobody_special() -> None:
    assert step("ENTRYPOINT") == '["srup"]'
    assert step("USER") not in ("", "root", "0")
    settings = dict(
        pair.split("=", 1) for word, rest in steps() if word == "ENV" for pair in shlex.split(rest)
    )
    assert settings["SRUP_CACHE"] == step("VOLUME")
    assert settings["PIP_EXTRA_INDEX_URL"].endswith("/whl/cpu")


def test_its_python_is_one_that_srup_supports() -> None:
    image = step("FROM")
    found = re.fullmatch(r"docker\.io/library/python:(\d+)\.(\d+)-slim", image)
    least = re.search(r'requires-python = ">=(\d+)\.(\d+)"', PYPROJECT)
    assert found and least
    version = tuple(map(int, found.groups()))
    assert tuple(map(int, least.groups())) <= version <= (3, 14)


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+), \d{4}-\d\d-\d\d$", CHANGELOG.read_text(), re.MULTILINE)
    assert versions[0] == srup.__version__
    assert versions == sorted(versions, reverse=True)


def test_extras_are_documented() -> None:
    section = PYPROJECT.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    extras = set(re.findall(r"^(\w+) = \[", section, re.MULTILINE)) - {"test"}
    assert "vips" in extras
    text = (ROOT / ".github" / "docs" / "installing.md").read_text()
    assert extras <= set(re.findall(r"`(\w+)`", text))
