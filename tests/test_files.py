from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from srup.errors import WriteError
from srup.files import NotRegular, check_folder, check_free, hashed, replacing


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("all")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "all"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_stays_as_it_was_when_the_block_raises(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(RuntimeError), replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a.txt").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="does not exist; create it first; output names another"):
        check_folder(tmp_path / "nowhere" / "a.txt")
    with pytest.raises(WriteError, match="not a folder; output names another"):
        check_folder(tmp_path / "file" / "a.txt")


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match="disk is full; free some space; output names another"),
        replacing(tmp_path / "a.txt") as temporary,
    ):
        temporary.symlink_to("/dev/full")
        with temporary.open("w") as file:
            file.write("x")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(WriteError, match="exists; overwrite replaces it, output names another"):
        check_free(path, overwrite=False)
    check_free(path, overwrite=True)
    assert path.read_text() == "before"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with FIFOs")
@pytest.mark.usefixtures("ends")
def test_only_regular_files_are_hashed(tmp_path: Path) -> None:
    """Opening a pipe would wait for a writer, and /dev/zero has no end."""
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(NotRegular, match="a pipe, a socket or a device"):
            hashed(place)
    with pytest.raises(IsADirectoryError):
        hashed(tmp_path)
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("file")
    assert hashed(tmp_path / "link") == hashlib.sha256(b"abc").hexdigest()
