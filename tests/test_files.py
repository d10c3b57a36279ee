from __future__ import annotations

from pathlib import Path

import pytest

from srup.errors import WriteError
from srup.files import check_folder, replacing


def test_appears_whole(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("all")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "all"
    assert len(list(tmp_path.iterdir())) == 1


def test_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_the_system_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="does not exist; create it"):
        check_folder(tmp_path / "nowhere" / "a.txt")
    with pytest.raises(WriteError, match="not a folder"):
        check_folder(tmp_path / "file" / "a.txt")


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match="disk is full"),
        replacing(tmp_path / "a.txt") as temporary,
    ):
        temporary.symlink_to("/dev/full")
        with temporary.open("w") as file:
            file.write("x")
    assert list(tmp_path.iterdir()) == []
