from __future__ import annotations

import json
from pathlib import Path

import pytest

from srup.batch.journal import NAME, journal
from srup.errors import UsageError, WriteError


def test_the_last_line_about_a_result_counts(tmp_path: Path) -> None:
    with journal(str(tmp_path)) as lines:
        lines.append([{"settings": {"scale": 4}}, {"name": "a.png", "status": "claimed"}])
        lines.append([{"name": "a.png", "status": "done"}])
    with journal(str(tmp_path)) as lines:
        assert lines.last == {"a.png": {"name": "a.png", "status": "done"}}
        assert lines.settings == {"scale": 4}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_line_cut_off_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"name": "a.png", "status": "done"}\n{"name": "b.p')
    with journal(str(tmp_path)) as lines:
        assert list(lines.last) == ["a.png"]
        lines.append([{"name": "c.png", "status": "done"}])
    assert json.loads((tmp_path / NAME).read_text().splitlines()[-1])["name"] == "c.png"


def test_one_batch_at_a_time(tmp_path: Path) -> None:
    with (
        journal(str(tmp_path)),
        pytest.raises(UsageError, match="another srup batch"),
        journal(str(tmp_path)),
    ):
        pass


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="not a folder"), journal(str(tmp_path / "file" / "out")):
        pass


def test_for_a_url_it_is_kept_here_and_copied_there() -> None:
    pytest.importorskip("fsspec", reason="needs the extra srup[remote]")
    with journal("memory://somewhere/out") as lines:
        lines.append([{"name": "a.png", "status": "done"}])
        lines.copy()
    lines.path.unlink()  # as on another machine
    with journal("memory://somewhere/out") as lines:
        assert list(lines.last) == ["a.png"]
