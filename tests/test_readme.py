"""The README and the documents: commands parse, links lead somewhere, tables are what is printed.

The table of formats is held by `tests/images/test_contract.py`.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import torch

from srup.cli import run, srup
from srup.errors import SrupError
from srup.images import carried, chunks, metadata, reading
from srup.models import costs, registry
from srup.networks.base import Network
from tests.conftest import in_windows

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
DOCS = ROOT / ".github" / "docs"
SECURITY = ROOT / ".github" / "SECURITY.md"
DOCUMENTS = [README, CONTRIBUTING, SECURITY, *sorted(DOCS.glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LONGEST = 100  # characters of a line

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 160


@every_document
def test_lines_are_short(document: Path) -> None:
    lines = document.read_text().splitlines()
    assert [line for line in lines if len(line) > LONGEST and not line.startswith("|")] == []


def test_the_table_of_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--markdown"]) == 0
    assert capsys.readouterr().out.strip() in (DOCS / "networks.md").read_text()


def blocks(document: Path, *languages: str) -> list[str]:
    """The fenced blocks of a document in these languages."""
    found = FENCED.findall(document.read_text())
    return [text for language, text in found if language in languages]


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return FENCED.sub("", document.read_text())


def command_lines() -> list[str]:
    """The `srup …` lines in the shell blocks of every document."""
    found: set[str] = set()
    for document in DOCUMENTS:
        for block in blocks(document, "sh"):
            found |= set(re.findall(r"(?:^|\| )(srup .*)$", block, re.MULTILINE))
    return sorted(found)


def mentions() -> list[str]:
    """The `srup …` code spans of every document that leave nothing out."""
    found: set[str] = set()
    for document in DOCUMENTS:
        for span in re.findall(r"`(srup\s[^`]+)`", prose(document)):
            found.add(" ".join(span.split()))
    return sorted(line for line in found if "…" not in line)


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_parse(line: str) -> None:
    """The commands and options exist, and values are of the right type."""
    parse(line)


@pytest.mark.parametrize("line", mentions())
def test_mentions_of_commands_parse(line: str) -> None:
    """The same, where prose may name a command without its arguments."""
    try:
        parse(line)
    except click.MissingParameter:
        return


def parse(line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if ">" in words:
        words = words[: words.index(">")]
    command: click.Command = srup
    context = click.Context(srup)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, within, words = command.resolve_command(context, words)
        assert within is not None, f"{command.name} has no command {name}"
        command = within
    if "--help" in words:
        return
    try:
        with command.make_context(command.name, list(words)):
            pass
    except SrupError as error:
        pytest.fail(str(error))


@every_document
def test_modules_that_are_run_exist(document: Path) -> None:
    for module in re.findall(r"python -m (tests[\w.]*)", document.read_text()):
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


@every_document
def test_python_examples_are_python(document: Path) -> None:
    for block in blocks(document, "python"):
        ast.parse(block)


def test_the_limits_are_those_of_the_code() -> None:
    text = " ".join(SECURITY.read_text().split())
    assert f"{reading.MAX_PIXELS // 10**6} megapixels are allowed" in text
    assert f"and {reading.MAX_PAGES:,} pages" in text
    assert carried.MAX_BYTES == chunks.MAX_BYTES
    assert f"{carried.MAX_BYTES >> 20} MB of it are read" in text
    assert f"{metadata.MAX_TAGS:,} tags of an EXIF block" in text


def test_security_is_short() -> None:
    assert len(SECURITY.read_text().splitlines()) <= 60


def links() -> Iterator[tuple[Path, str]]:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
            if not target.startswith("https://"):
                yield document, target


def anchors(document: Path) -> set[str]:
    """What a link writes after # for each heading: GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("document", "target"),
    [pytest.param(*link, id=f"{link[0].name}-{link[1]}") for link in links()],
)
def test_links_lead_somewhere(document: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (document.parent / path).resolve() if path else document
    assert file.is_file()
    assert not anchor or anchor in anchors(file)


def test_the_readme_links_to_every_document() -> None:
    linked = {
        (README.parent / target).resolve() for document, target in links() if document == README
    }
    assert set(DOCUMENTS) - linked == {README}


def executed(name: str, **given: object) -> dict[str, Any]:
    """What the code of CONTRIBUTING's worked example that is marked with this name defines."""
    pattern = rf"<!-- example: {name} -->\n```python\n(.*?)^```$"
    found = re.search(pattern, CONTRIBUTING.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    exec(compile(found[1], name, "exec", dont_inherit=True), given)
    return given


def test_the_worked_example(noise: Callable[[int, int], torch.Tensor]) -> None:
    """The network that CONTRIBUTING adds is exact under tiling, and costs what its row says."""
    module = executed("network", __name__="espcn")
    table = executed("rows", Model=registry.Model, _github=registry._github)
    _, row = table["MODELS"]
    network: Network = module["ESPCN"](**row.options).eval()
    parameters, multi_adds = costs.cost(network)
    assert (row.parameters, row.multi_adds) == (parameters, round(multi_adds, 1))
    assert row.largest == costs.largest_map(network)
    image = noise(61, 50)
    with torch.no_grad():
        expected = network(image)
        result = in_windows(network.stages(), image, 16)
    assert torch.linalg.norm(result - expected) / torch.linalg.norm(expected) < 3e-6
