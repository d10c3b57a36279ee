"""The package as a program sees it that imports it."""

from __future__ import annotations

import subprocess
import sys

import srup


def test_dir_lists_what_there_is() -> None:
    assert set(srup.__all__) == set(dir(srup))
    for name in dir(srup):
        assert getattr(srup, name) is not None
    assert {"load", "batch", "read_pages", "UsageError"} <= set(dir(srup))


def test_modules_are_there_without_importing_them() -> None:
    """And neither `dir` nor the import of srup brings torch, which takes seconds."""
    code = """
import sys, srup
assert "batch" in dir(srup) and "torch" not in sys.modules
print(srup.batch.find.__name__, len(sys.modules) > 100)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "find True\n"
