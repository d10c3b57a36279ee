"""The layers: a file imports only from lower lines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import srup

ROOT = Path(srup.__file__).parent
LAYERS = (  # lowest first; a folder stands for all its files
    ("errors", "memory", "processor", "how"),
    ("files", "apart"),
    (
        "networks.stages",
        "networks.base",
        "images",
        "resize",
        "metrics",
        "weights",
        "sizes",
        "storage",
        "canvas",
        "curve",
        "ensemble",
    ),
    ("networks", "costs", "jobs", "journal", "scores"),
    ("pairs", "tiling", "registry"),
    ("engines",),
    ("upscaler", "patches"),
    ("forecast",),
    ("training", "batch", "report", "evaluate", "features", "bench"),
    ("processes", "cluster", "compare"),
    ("cli",),
)
MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py") if path.name not in ("__main__.py",))


def layer(module: str) -> int:
    """The layer of a module "networks.imdn" below srup."""
    for level, names in enumerate(LAYERS):
        if module in names:
            return level
    package = module.partition(".")[0]
    return next(level for level, names in enumerate(LAYERS) if package in names)


def imports(path: Path) -> set[str]:
    """The modules below srup that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" if node.module == "srup" else node.module for alias in node.names}
    inside = {name.removeprefix("srup.") for name in found if name.startswith("srup.")}
    return {name for name in inside if name != "__version__"}


@pytest.mark.parametrize("path", [path for path in MODULES if str(path) != "__init__.py"], ids=str)
def test_imports_point_down(path: Path) -> None:
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    own = layer(module)
    package = module.partition(".")[0]
    for other in imports(ROOT / path):
        assert layer(other) < own or other.partition(".")[0] == package, f"{module} imports {other}, which is above it"
