"""The layers: a file imports only from lower lines of the list in CONTRIBUTING."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import srup

ROOT = Path(srup.__file__).parent
CONTRIBUTING = ROOT.parent / ".github" / "CONTRIBUTING.md"
OUTERMOST = ("cli", "__main__")  # chapters that may import `srup` itself, which imports all others


def layers() -> tuple[tuple[str, ...], ...]:
    """The names on each line of CONTRIBUTING's list, lowest line first.

    A chapter stands for all its files that no other line names. Names are separated by " · " or by
    two or more spaces.
    """
    pattern = r"<!-- layers -->\n```text\n(.*?)^```\n<!-- /layers -->"
    found = re.search(pattern, CONTRIBUTING.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{CONTRIBUTING} has no list of layers"
    lines = [re.split(r" · |\s{2,}", line.strip()) for line in found[1].splitlines()]
    return tuple(tuple(names) for names in reversed(lines))


LAYERS = layers()
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path != ROOT / "__init__.py"
)


def chapter_of(module: str) -> str:
    return module.partition(".")[0]


def layer_of(module: str) -> int:
    """The number of the line that names a module below srup, as "networks.imdn", or its chapter."""
    for name in (module, chapter_of(module)):
        for number, names in enumerate(LAYERS):
            if name in names:
                return number
    raise AssertionError(f"{module} has no place in the layers of {CONTRIBUTING}")


def source_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imported(module: str) -> set[str]:
    """The modules below srup that a module imports anywhere in it; "" is the package itself."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source_of(module).read_text())):
        for name in _names(node):
            if name == "srup" or name.startswith("srup."):
                found.add(name.removeprefix("srup").removeprefix("."))
    return found


def _names(node: ast.AST) -> Iterator[str]:
    """The full names of the modules that a statement imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    if isinstance(node, ast.ImportFrom):
        assert node.module and not node.level, "srup has no relative imports"
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            yield name if _is_module(name) else node.module


def _is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    chapter, layer = chapter_of(module), layer_of(module)
    for other in imported(module):
        if not other:
            assert chapter in OUTERMOST, f"{module} imports srup itself"
            continue
        below = layer_of(other) < layer
        beside = chapter_of(other) == chapter and layer_of(other) == layer
        assert below or beside, f"{module} imports {other}, which is above it"


def test_no_name_is_in_two_layers() -> None:
    names = [name for line in LAYERS for name in line]
    assert len(names) == len(set(names))
