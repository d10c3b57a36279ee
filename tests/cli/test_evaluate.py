from __future__ import annotations

import json
from pathlib import Path

import pytest

from srup.cli import run
from srup.images import read_image
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


def test_results_that_were_kept_are_not_replaced_unasked(
    hr: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept" / "bicubic" / "two_x2.png"
    kept.parent.mkdir(parents=True)
    kept.write_text("an earlier result")
    arguments = [
        "evaluate",
        str(hr),
        "-s",
        "2",
        "--protocol",
        "rgb",
        "--save",
        str(tmp_path / "kept"),
    ]
    assert run([*arguments, "-m", "bicubic"]) == 1
    said = capsys.readouterr().err
    assert f"{kept} exists; -y replaces it, --save names another folder" in said
    assert kept.read_text() == "an earlier result"
    assert [path.name for path in kept.parent.iterdir()] == [kept.name], "nothing was run"
    assert run([*arguments, "-m", "bicubic", "-y"]) == 0
    assert read_image(kept).size == (50, 44)


def test_a_row_for_each_network_and_degradation(
    hr: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    specs = ("clean", "jpeg:40", "jpeg:90", "noise:20+jpeg:40")
    degrade = [word for spec in specs for word in ("--degrade", spec)]
    page = tmp_path / "r.html"
    arguments = ["evaluate", str(hr), "-m", "lite", "-s", "2", *degrade, "-o", str(page)]
    assert run([*arguments, "--save", str(tmp_path / "kept"), "-f", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = found["rows"]
    assert [(row["degraded by"], row["network"]) for row in rows] == [
        (spec, name) for spec in specs for name in ("bicubic", "lite")
    ]
    psnr = {(row["degraded by"], row["network"]): row["PSNR"] for row in rows}
    for name in ("bicubic", "lite"):
        assert psnr["clean", name] > psnr["jpeg:90", name] > psnr["jpeg:40", name]
        assert psnr["jpeg:40", name] > psnr["noise:20+jpeg:40", name]
    # papers print figures of clean LR
    assert [row["paper PSNR"] for row in rows[::2]] == [33.66, None, None, None]
    assert "degraded as the table says" in found["notes"][0]
    assert (tmp_path / "kept" / "lite" / "noise20+jpeg40" / "one_x2.png").exists()
    html = page.read_text()
    # one series has two qualities, the other a single one
    assert html.count('<figure class="plot">') == 1
    assert "quality: N of jpeg:N" in html and f"lite: 40, {psnr['jpeg:40', 'lite']:.2f}" in html


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
        (["Set5/HR", "--degrade", "clean", "--degrade", "jpg:75"], 2, "there are blur:N (σ in"),
        (["Set5/HR", "-m", "lite", "--weights", "Set5"], 3, "it is a folder"),
        (["Set5/HR", "--degrade", "noise:5+jpeg:0"], 2, "'jpeg:0' needs a whole number from 1"),
        (["Set5/HR", "--protocol", "y-only", "--degrade", "jpeg:9"], 2, "--protocol paper"),
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
