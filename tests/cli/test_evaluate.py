from __future__ import annotations

import json
from pathlib import Path

import pytest

from srup.cli import run
from tests.conftest import json_lines
from tests.data.draw import draw


@pytest.fixture
def hr(tmp_path: Path) -> Path:
    folder = tmp_path / "Set5" / "HR"
    folder.mkdir(parents=True)
    draw(64, 48).save(folder / "one.png")
    draw(51, 45).save(folder / "two.png")
    return folder


def test_measured_beside_published(
    hr: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "evaluate",
        str(hr),
        "-m",
        "lite",
        "-s",
        "2",
        "--save",
        str(tmp_path / "kept"),
        "--per-image",
        "-o",
        str(tmp_path / "r.html"),
    ]
    assert run([*arguments, "-f", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["network"] for row in found["rows"]] == [
        f"{name}{image}" for name in ("bicubic", "lite") for image in ("", ", one.png", ", two.png")
    ]
    bicubic, lite = found["rows"][0], found["rows"][3]
    assert (bicubic["paper PSNR"], lite["paper PSNR"]) == (33.66, None)
    assert bicubic["Δ PSNR"] == pytest.approx(bicubic["PSNR"] - 33.66)
    assert lite["PSNR"] > bicubic["PSNR"]
    assert lite["MB"] > bicubic["MB"] > 1
    assert any("--protocol y-only" in note for note in found["notes"])
    assert "<table>" in (tmp_path / "r.html").read_text()

    assert (
        run(["score", str(tmp_path / "kept" / "bicubic"), str(hr), "--json"]) == 1
    )  # HR is not cropped to multiples there
    (one, *_) = json_lines(capsys.readouterr().out)
    assert one["PSNR"] == found["rows"][1]["PSNR"]


def test_y_only_scores_bicubic_alone(hr: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(hr), "-s", "2", "--protocol", "y-only", "--json"]) == 0
    assert [row["network"] for row in json_lines(capsys.readouterr().out)] == ["bicubic"]


def test_a_network_without_weights_does_not_end_the_others(
    hr: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRUP_OFFLINE", "1")
    assert (
        run(["evaluate", str(hr), "-s", "2", "-m", "imdn", "-m", "bicubic", "-m", "rdn", "--json"])
        == 1
    )
    rows = json_lines(capsys.readouterr().out)
    assert [(row["network"], "error" in row) for row in rows] == [
        ("bicubic", False),
        ("imdn", True),
        ("rdn", True),
    ]
    assert run(["evaluate", str(hr), "-s", "2", "-m", "imdn"]) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["Set5/HR", "-m", "imbn"], 2, "did you mean imdn"),
        (["Set5", "-m", "lite"], 1, "no images in"),
        (["Set5/HR", "-m", "lite", "--protocol", "y-only"], 2, "needs colours"),
        (["Set5/HR", "-m", "lite", "-m", "imdn", "--weights", "x.pth"], 2, "one network"),
        (["Set5/HR", "--lr", "nowhere"], 1, "no such file or folder"),
        (["Set5/HR", "--save", "Set5/HR/one.png/inside"], 1, "is a file, not a folder"),
    ],
)
def test_errors_are_one_line_that_helps(
    hr: Path,
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(hr.parents[1])
    assert run(["evaluate", *arguments]) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
