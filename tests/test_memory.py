from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from srup import memory


def test_what_the_machine_has_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert 0 < memory.available() < 1 << 50


@pytest.mark.parametrize(("limit", "used", "left"), [("1000", "400", 600), ("1000", "1200", 0)])
def test_a_container_s_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, used: str, left: int
) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    assert memory.available() == left


def test_a_container_without_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1200")
    assert memory.available() > 0


def test_the_most_that_a_process_has_held() -> None:
    """A new process does not begin with the figure of the one that started it, and counts what was
    freed again.
    """
    code = "from srup.memory import peak; before = peak(); bytes(b'x' * (64 << 20)); print(before, peak())"
    held = b"x" * (256 << 20)
    before, after = map(
        int,
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split(),
    )
    assert memory.peak() >= len(held) > before
    assert after - before > 60 << 20
