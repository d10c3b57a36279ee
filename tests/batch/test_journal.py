from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

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


@pytest.mark.parametrize(
    "damage",
    [
        b"5",
        b"null",
        b'"name"',
        b"[]",
        b'{"name": [1]}',
        b'{"name": "a.png"}',
        b'{"name": "a.png", "status": "archived"}',
        b'{"name": "a.png", "status": "done", "before": 5}',
        b'{"name": "a.png", "status": "done", "after": [[9], 9]}',
        b'{"name": "a.png", "status": "done", "bytes": "12"}',
        b'{"name": "a.png", "status": "done", "seconds": [1]',
        b'{"settings": 5}',
        b'{"settings": {"scale": {"more": 4}}}',
        b'{"report": 5}',
        b'{"report": "a.html"}',
        b"[" * 100_000,
        b'{"name": "a.png", "x": ' + b"[" * 100_000,
        b'{"name": "\\ud8", "status": "done"}',
        b"9" * 10_000,
        b"\x00\xff\xfe\x89PNG",
    ],
    ids=lambda damage: repr(damage[:40]),
)
def test_damage_is_passed_over_and_nothing_counts_as_done_by_it(
    damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = [
        b'{"settings": {"scale": 4}, "key": "0"}',
        b'{"name": "a.png", "status": "done", "before": [4, 3], "bytes": 12}',
        b'{"name": "b.png", "status": "failed", "error": "damaged"}',
    ]
    (tmp_path / NAME).write_bytes(b"\n".join([*whole, damage, damage, b""]))
    with journal(str(tmp_path)) as lines:
        assert lines.settings == {"scale": 4}
        assert lines.last["b.png"]["error"] == "damaged"
        spoken_of = b'"a.png"' in damage
        assert lines.last["a.png"]["status"] == ("claimed" if spoken_of else "done")
        assert lines.last.keys() == {"a.png", "b.png"}
    assert [record.getMessage()[-14:] for record in caplog.records] == ["2, passed over"]


def test_of_a_result_that_was_refused_damage_makes_none_that_is_ours(tmp_path: Path) -> None:
    lines = b'{"name": "a.png", "status": "refused"}\n{"name": "a.png", "stat\n'
    (tmp_path / NAME).write_bytes(lines)
    with journal(str(tmp_path)) as read:
        assert read.last["a.png"]["status"] == "refused"


def test_names_that_are_not_utf8_come_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe \xc3\xa9.png")
    with journal(str(tmp_path)) as lines:
        lines.append([{"name": name, "status": "done"}])
    (tmp_path / NAME).read_text(encoding="utf-8")
    with journal(str(tmp_path)) as lines:
        assert lines.last.keys() == {name}


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


names = some.sampled_from(["a.png", "below/ä.png", "b\udcff.png", 'c"{}.png'])
statuses = some.sampled_from(["claimed", "done", "failed", "refused"])
facts = some.fixed_dictionaries({}, optional={"bytes": some.integers(), "error": some.text()})


@given(some.lists(some.tuples(names, statuses, facts), max_size=8), some.data())
def test_a_journal_that_is_cut_anywhere_counts_nothing_as_done_that_was_not(
    written: list[tuple[str, str, dict[str, object]]], data: some.DataObject
) -> None:
    """Nor anything that was done, and then begun again, by an earlier line."""
    with tempfile.TemporaryDirectory() as folder:
        path, ends = Path(folder) / NAME, [0]
        with journal(folder) as lines:
            for name, status, more in written:
                lines.append([{"name": name, "status": status, **more}])
                ends.append(path.stat().st_size)
        cut = data.draw(some.integers(0, ends[-1]))
        whole = path.read_bytes() if path.exists() else b""
        path.write_bytes(whole[:cut])
        before = {}
        for (name, status, _), end in zip(written, ends[1:], strict=True):
            if end - 1 <= cut:  # all of it is there but maybe the end of its line
                before[name] = status
        with journal(folder) as lines:
            done = {name for name, line in lines.last.items() if line["status"] == "done"}
            known = set(lines.last)
            lines.append([{"name": "new.png", "status": "done"}])
        assert done <= {name for name, status in before.items() if status == "done"}
        assert known <= before.keys()
        with journal(folder) as lines:
            assert lines.last["new.png"]["status"] == "done", "a line that is cut ends there"


def test_lines_that_were_replaced_are_left_out_if_they_are_many(tmp_path: Path) -> None:
    """What is known afterwards is what was known before, and lines are still found."""
    count, report = 600, tmp_path / "report.csv"
    report.write_text("")
    with journal(str(tmp_path)) as lines:
        lines.append([{"settings": {"scale": 4}, "key": "0"}])
        for status in ("claimed", "failed", "done"):
            lines.append([{"name": f"{n}.png", "status": status} for n in range(count)])
        lines.add_reports([report])
    for _ in range(2):
        with journal(str(tmp_path)) as lines:
            assert dict(lines.last) == {
                f"{n}.png": {"name": f"{n}.png", "status": "done"} for n in range(count)
            }
            assert (lines.settings, lines.wrote(report)) == ({"scale": 4}, True)
            lines.append([{"name": "0.png", "status": "done", "bytes": 1}])
            assert lines.last["0.png"]["bytes"] == 1
            lines.append([{"name": "0.png", "status": "done"}])
        kept = (tmp_path / NAME).read_text().splitlines()
        assert len(kept) < count + 10


def test_with_damage_nothing_is_left_out(tmp_path: Path) -> None:
    content = b'{"name": "a.png", "status": "done"}\n' * 3000 + b'{"name": "b.png", "new": 1}\n'
    (tmp_path / NAME).write_bytes(content)
    with journal(str(tmp_path)) as lines:
        assert list(lines.last) == ["a.png"]
    assert (tmp_path / NAME).read_bytes() == content


def test_thousands_of_lines_are_found_by_name(tmp_path: Path) -> None:
    """More than wait to be sorted in."""
    count = 120_000
    with journal(str(tmp_path)) as lines:
        for status in ("claimed", "done"):
            lines.append([{"name": f"{n}.png", "status": status} for n in range(count)])
        assert len(lines.last) == count
        for n in (0, 1, 49_999, 50_000, count - 1):
            assert lines.last[f"{n}.png"]["status"] == "done"
        assert "none.png" not in lines.last
