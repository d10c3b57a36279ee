from __future__ import annotations

from pathlib import Path

import pytest

from srup.errors import ReadError, UsageError
from srup.evaluation.pairing import base_name, called, images_in, pair, scale_in


def folder(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).touch()
    return path


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("baby", "baby"),
        ("baby_x4", "baby"),
        ("babyx4", "baby"),
        ("0801x4", "0801"),
        ("baby_x2.5", "baby"),
        ("baby_x4_out", "baby"),
        ("baby-SR", "baby"),
        ("photo_800x600", "photo"),
        ("photo@2x", "photo"),
        ("x4", "x4"),
        ("img_003", "img_003"),
    ],
)
def test_base_names_have_no_endings(stem: str, expected: str) -> None:
    assert base_name(stem) == expected


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("baby_x4.png", 4),
        ("0801x2.png", 2),
        ("baby_x3_out.png", 3),
        ("photo_800x600.png", None),
        ("baby.png", None),
    ],
)
def test_scale_in_a_name(name: str, scale: int | None) -> None:
    assert scale_in(Path(name)) == scale


def test_folders_are_paired_by_name(tmp_path: Path) -> None:
    sr = folder(
        tmp_path / "sr",
        "baby_x4.png",
        "bird_out.png",
        "head.jpg",
        "extra.png",
        "notes.txt",
        ".hidden.png",
    )
    hr = folder(tmp_path / "hr", "baby.png", "bird.png", "head.png", "woman.png")
    paired = pair(sr, hr)
    assert [(one.name, other.name) for one, other in paired.pairs] == [
        ("baby_x4.png", "baby.png"),
        ("bird_out.png", "bird.png"),
        ("head.jpg", "head.png"),
    ]
    assert [path.name for path in paired.unpaired] == ["extra.png", "woman.png"]


def test_equal_names_are_paired_first(tmp_path: Path) -> None:
    sr, hr = (
        folder(tmp_path / "sr", "cat.png", "cat_x2.png"),
        folder(tmp_path / "hr", "cat.png", "cat_x2.png"),
    )
    assert [(one.name, other.name) for one, other in pair(sr, hr).pairs] == [
        ("cat.png", "cat.png"),
        ("cat_x2.png", "cat_x2.png"),
    ]


def test_errors_for_what_cannot_be_paired(tmp_path: Path) -> None:
    sr, hr = folder(tmp_path / "sr", "cat_x2.png", "cat_x4.png"), folder(tmp_path / "hr", "cat.png")
    with pytest.raises(UsageError, match="both belong to one image"):
        pair(sr, hr)
    with pytest.raises(UsageError, match="is a folder and"):
        pair(sr, hr / "cat.png")
    with pytest.raises(UsageError, match="no image in"):
        pair(folder(tmp_path / "other", "dog.png"), hr)
    with pytest.raises(ReadError, match="no such file or folder"):
        pair(tmp_path / "nowhere", hr)
    with pytest.raises(ReadError, match="no images in"):
        images_in(folder(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/tmp/data/Set5/HR", "Set5"),
        ("/data/Set5/GTmod12_x4", "GTmod12_x4"),
        ("/data/Set5/hr_x4", "Set5"),
        ("photos/holiday.jpg", "holiday.jpg"),
        ("/data/HR.png", "HR.png"),
        ("/", "/"),
    ],
)
def test_what_folders_are_called_in_titles(path: str, name: str) -> None:
    assert called(Path(path)) == name


def test_a_folder_that_one_is_in_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert called(Path()) == tmp_path.name
