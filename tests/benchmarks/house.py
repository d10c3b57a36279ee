"""How the house is built, in figures: sizes of files, functions and lines, comments, docstrings.

`python -m tests.benchmarks.house [srup]`: the figures that CONTRIBUTING holds the code to.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

WIDTH = 100  # characters of a line
LONG = 40  # lines of a function
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.ClassDef, *FUNCTIONS)


def main() -> None:
    """Prints the figures of the package in a folder."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("srup")
    sources = {path: path.read_text() for path in sorted(root.rglob("*.py"))}
    trees = {path: ast.parse(source) for path, source in sources.items()}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, FUNCTIONS)]
    lines = [line for source in sources.values() for line in source.splitlines()]
    code = sum(map(_code_lines, sources.values()))
    comments = sum(map(_comments, sources.values()))
    outside = {"__init__.py", "__main__.py"}
    rows = {
        "modules at the root": sum(
            path.parent == root and path.name not in outside for path in sources
        ),
        "lines of code": code,
        f"functions over {LONG} lines": sum(map(_is_long, functions)),
        f"lines over {WIDTH} characters": sum(len(line) > WIDTH for line in lines),
        "longest argument list": max(map(_arguments, functions)),
        "lines of code to a comment": round(code / max(comments, 1), 1),
        "ternaries in 1,000 lines": _share(nodes, (ast.IfExp,), code),
        "comprehensions in 1,000 lines": _share(nodes, COMPREHENSIONS, code),
        "public docstrings": f"{_documented(trees):.1%}",
    }
    for name, value in rows.items():
        print(f"{name:<32} {value}")


def _is_long(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return (function.end_lineno or 0) - function.lineno + 1 > LONG


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many arguments a function takes, its own object left out."""
    names = [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def _share(nodes: list[ast.AST], kinds: tuple[type[ast.AST], ...], code: int) -> float:
    return round(sum(isinstance(node, kinds) for node in nodes) * 1000 / code, 1)


def _code_lines(source: str) -> int:
    """Lines that are neither empty, nor comments, nor docstrings."""
    counted: set[int] = set()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        starts_statement = before in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
        is_docstring = token.type == tokenize.STRING and starts_statement
        if token.type not in (*skipped, tokenize.ENDMARKER) and not is_docstring:
            counted.update(range(token.start[0], token.end[0] + 1))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            before = token.type
    return len(counted)


def _comments(source: str) -> int:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


def _documented(trees: dict[Path, ast.Module]) -> float:
    """The share of public modules, classes, functions and methods that have a docstring."""
    found = []
    for tree in trees.values():
        if tree.body:
            found.append(ast.get_docstring(tree) is not None)
        found += [ast.get_docstring(node) is not None for node in _public(tree.body)]
    return sum(found) / len(found)


def _public(body: list[ast.stmt]) -> list[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """The public definitions of a module or class, and those of public classes in it."""
    found = []
    for node in body:
        if not isinstance(node, DOCUMENTED) or node.name.startswith("_"):
            continue
        found.append(node)
        if isinstance(node, ast.ClassDef):
            found += _public(node.body)
    return found


if __name__ == "__main__":
    main()
