"""The layers: a file imports only from lower lines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import srup

ROOT = Path(srup.__file__).parent
LAYERS = (  # lowest first; a chapter stands for all its files that no other line names
    ("errors", "memory", "processor", "progress"),
    ("files", "isolate"),
    ("storage", "resize", "images", "networks.stages"),
    ("networks",),
    ("evaluation.metrics",),
    ("evaluation.consistency", "models"),
    ("inference",),
    ("forecast",),
    ("pipeline",),
    ("report",),
    ("evaluation", "training"),
    ("batch",),
    ("cli",),
    ("__main__",),
)
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if path != ROOT / "__init__.py"
)


def line(module: str) -> int:
    """The number of the line that names a module "networks.imdn" below srup, or its chapter."""
    for level, names in enumerate(LAYERS):
        if module in names:
            return level
    chapter = module.partition(".")[0]
    return next(level for level, names in enumerate(LAYERS) if chapter in names)


def imports(module: str) -> set[str]:
    """The modules below srup that a module imports anywhere in it; "" for the package itself."""
    path = ROOT.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if _is_module(name) else node.module for name in within}
    names = {name for name in found if name == "srup" or name.startswith("srup.")}
    return {name.removeprefix("srup").removeprefix(".") for name in names}


def _is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    chapter = module.partition(".")[0]
    for other in imports(module):
        if (
            not other
        ):  # the package imports everything there is, so only its outermost files may want it
            assert chapter in ("cli", "__main__"), f"{module} imports srup itself"
            continue
        same = other.partition(".")[0] == chapter and line(other) == line(module)
        assert line(other) < line(module) or same, f"{module} imports {other}, which is above it"
