"""The private folder, and what pictures may be called."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from srup.serve.problems import StorageFull
from srup.serve.store import LONGEST, NAMELESS, Store, label_of


def test_what_is_kept_is_counted(tmp_path: Path) -> None:
    store = Store(tmp_path, limit=1000)
    first, second = store.create(), store.create()
    first.grow(600)
    with pytest.raises(StorageFull, match="keeps at most"):
        second.grow(401)
    assert store.used == 600
    (first.path / "file").write_bytes(bytes(300))
    first.measure()
    second.grow(401)
    assert store.used == 701
    first.remove()
    assert (store.used, first.path.exists()) == (401, False)


def test_what_was_written_too_late_is_swept(tmp_path: Path) -> None:
    store = Store(tmp_path, limit=1000)
    kept, gone = store.create(), store.create()
    gone.remove()
    gone.path.mkdir()
    (gone.path / "late").touch()
    store.sweep()
    assert [path.name for path in tmp_path.iterdir()] == [kept.name]


def test_names_cannot_be_guessed(tmp_path: Path) -> None:
    store = Store(tmp_path, limit=0)
    names = {store.create().name for _ in range(100)}
    assert len(names) == 100
    assert min(map(len, names)) >= 22  # 128 bits in 6 bits a letter
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


@given(some.text())
def test_a_label_is_a_plain_file_name(name: str) -> None:
    label = label_of(name)
    assert 0 < len(label) <= LONGEST
    assert Path(label).name == label
    assert label.isprintable() or not label.isascii()
    assert label_of(label) == label


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("photo.jpg", "photo.jpg"),
        ("C:\\holidays\\photo.jpg", "photo.jpg"),
        ("../../etc/passwd", "passwd"),
        ("Übung 1.png", "Übung 1.png"),
        ("..", NAMELESS),
        ("a/", "a"),
        ("", NAMELESS),
    ],
)
def test_labels(name: str, expected: str) -> None:
    assert label_of(name) == expected
