from __future__ import annotations

from pathlib import Path

import pytest

from srup import memory


def test_what_the_machine_has_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert 0 < memory.available() < 1 << 50


@pytest.mark.parametrize(("limit", "used", "left"), [("1000", "400", 600), ("1000", "1200", 0)])
def test_a_container_s_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, used: str, left: int) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(used)
    assert memory.available() == left


def test_a_container_without_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1200")
    assert memory.available() > 0
