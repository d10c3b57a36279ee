from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from srup import memory


def test_available_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert 0 < memory.available() < 1 << 50


@pytest.mark.parametrize(("limit", "used", "left"), [("1000", "400", 600), ("1000", "1200", 0)])
def test_available_memory_within_a_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, used: str, left: int
) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    assert memory.available() == left


def test_available_memory_in_a_container_without_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1200")
    assert memory.available() > 0


def test_peak_memory() -> None:
    """A new process does not start at its parent's peak, and freed memory still counts."""
    code = (
        "from srup.memory import peak; before = peak(); "
        "bytes(b'x' * (64 << 20)); print(before, peak())"
    )
    held = b"x" * (256 << 20)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    before, after = map(int, done.stdout.split())
    assert memory.peak() >= len(held) > before
    assert after - before > 60 << 20
