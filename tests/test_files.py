from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from srup import files
from srup.errors import AlreadyExists, WriteError
from srup.files import (
    TEMPORARY,
    NotRegular,
    check_folder,
    check_free,
    creating,
    hashed,
    make_folders,
    replacing,
    scratch,
)
from tests.conftest import few_calls

LONG = "é" * 120 + ".png"  # 244 bytes


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


def test_folders_are_made_to_any_depth(tmp_path: Path) -> None:
    deep = tmp_path / Path(*["d"] * 120)
    with few_calls():
        make_folders(deep)
    assert deep.is_dir()
    make_folders(deep)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folders(tmp_path / "file")


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
        temporary.unlink()
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


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with (
        pytest.raises(AlreadyExists, match="appeared while srup was at work; overwrite replaces"),
        creating(tmp_path / "a.txt") as temporary,
    ):
        temporary.write_text("ours")
        (tmp_path / "a.txt").write_text("theirs")
    assert (tmp_path / "a.txt").read_text() == "theirs"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "move", [files._rename_to_free, files._link_to_free, files._claim_and_replace]
)
def test_every_way_to_move_a_file_replaces_nothing(
    move: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    """Of these the first is taken that the file system has."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("ours")
    try:
        move(source, target)
    except OSError as error:
        pytest.skip(f"not on this system: {error}")
    assert (target.read_text(), source.exists()) == ("ours", False)
    source.write_text("again")
    with pytest.raises(FileExistsError):
        move(source, target)
    assert (target.read_text(), source.read_text()) == ("ours", "again")


def test_a_file_that_is_replaced_hands_on_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("before")
    path.chmod(0o640)
    with replacing(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600, "others could read it"
        temporary.write_text("after")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("after", 0o640)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away"
)
def test_a_file_that_is_replaced_hands_on_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "theirs.txt"
    path.write_text("before")
    os.chown(path, 1234, 4321)
    with replacing(path) as temporary:
        temporary.write_text("after")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


@pytest.mark.parametrize("way", [replacing, creating])
def test_a_long_name_has_a_temporary_name_that_fits(
    way: Callable[[Path], object], tmp_path: Path
) -> None:
    with way(tmp_path / LONG) as temporary:  # type: ignore[attr-defined]
        temporary.write_text("all")
        scratch(temporary).write_text("on the way")
        match = TEMPORARY.fullmatch(temporary.name)
        assert match and LONG.startswith(match[1])
    assert [path.name for path in tmp_path.iterdir()] == [LONG]


def test_a_name_that_is_too_long_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(WriteError, match="too long for this file system"),
        replacing(tmp_path / ("é" * 200)) as temporary,
    ):
        temporary.write_text("all")
    assert list(tmp_path.iterdir()) == []


def test_what_is_being_written_can_be_removed_at_once(tmp_path: Path) -> None:
    with pytest.raises(WriteError), creating(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        scratch(temporary).write_text("half")
        files.remove_unfinished()
        assert list(tmp_path.iterdir()) == []
