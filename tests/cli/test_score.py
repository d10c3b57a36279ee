from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srup.cli import console, run
from srup.resize import imresize
from tests.conftest import json_lines
from tests.data.draw import draw
from tests.data.hostile import tiff_without_a_width


@pytest.fixture
def results(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of two results and their HR images; the second result is perfect."""
    sr, hr = tmp_path / "sr", tmp_path / "hr"
    sr.mkdir()
    hr.mkdir()
    for name, size in (("one", (64, 48)), ("two", (48, 36))):
        clean = np.asarray(draw(*size))
        Image.fromarray(clean).save(hr / f"{name}.png")
        result = imresize(imresize(clean, scale=1 / 2), scale=2) if name == "one" else clean
        Image.fromarray(result).save(sr / f"{name}_x2.png")
    return sr, hr


def test_the_table(results: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    sr, hr = results
    assert run(["score", str(sr), str(hr)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["image", "PSNR", "SSIM"]
    assert lines[2] == ["two_x2.png", "inf", "1.0000"]
    assert lines[3][:2] == ["mean", "inf"]
    assert "2 px left out at each border" in " ".join(map(" ".join, lines))


def test_what_a_decoder_raises_is_the_failure_of_one_pair(
    results: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it is the LR image, which tells the scale too."""
    sr, hr = results
    lr = tmp_path / "lr"
    lr.mkdir()
    for path in hr.iterdir():
        draw(32, 24).save(lr / path.name)
    (lr / "one.png").write_bytes(tiff_without_a_width())
    assert run(["score", str(sr), str(hr), "--lr", str(lr), "--json"]) == 1
    rows = {row["image"]: row.get("error", "") for row in json_lines(capsys.readouterr().out)}
    assert "TypeError: Missing dimensions" in str(rows["one_x2.png"])
    assert rows["two_x2.png"] == ""


@pytest.mark.parametrize("protocol", ["paper", "rgb", "y-rounded"])
def test_formats_agree(
    results: tuple[Path, Path], capsys: pytest.CaptureFixture[str], protocol: str, tmp_path: Path
) -> None:
    arguments = ["score", *map(str, results), "--protocol", protocol, "--border", "3"]
    assert run([*arguments, "--json"]) == 0
    rows = json_lines(capsys.readouterr().out)
    assert run([*arguments, "-f", "json", "-o", str(tmp_path / "scores.json")]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed)["rows"] == rows
    assert (tmp_path / "scores.json").read_text() == printed
    assert "3 px left out" in json.loads(printed)["notes"][0]


def test_lr_gives_the_scale_and_consistency(
    results: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sr, hr = results
    (tmp_path / "lr").mkdir()
    for path in hr.iterdir():
        Image.fromarray(imresize(np.asarray(Image.open(path)), scale=1 / 2)).save(
            tmp_path / "lr" / path.name
        )
    (sr / "one_x2.png").rename(sr / "one.png")
    (sr / "two_x2.png").rename(sr / "two.png")
    assert run(["score", str(sr), str(hr), "--lr", str(tmp_path / "lr"), "-f", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "2 px left out" in found["notes"][0]
    assert [row["consistency"] for row in found["rows"]][1] == "inf"


def test_files_without_a_partner_are_listed(
    results: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sr, hr = results
    (hr / "two.png").unlink()
    assert run(["score", str(sr), str(hr), "-f", "md"]) == 0
    captured = capsys.readouterr()
    assert f"Without a partner: {sr / 'two_x2.png'}" in captured.out
    assert "two_x2.png has no partner" in captured.err


def test_different_sizes_are_an_error_that_names_both(
    results: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sr, hr = results
    draw(64, 47).save(hr / "one.png")
    assert run(["score", str(sr), str(hr)]) == 1
    captured = capsys.readouterr()
    assert "one_x2.png is 64×48 and" in captured.err
    assert "one.png is 64×47" in captured.err
    assert "mean of 1" in captured.out


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["sr", "nowhere"], 1, "no such file or folder"),
        (["sr", "hr/one.png"], 2, "two files or two folders"),
        (["sr", "hr", "-o", "report.pdf"], 2, "names no format"),
        (["sr", "hr", "-o", "nowhere/report.csv"], 1, "create it first"),
        (["sr", "hr", "-o", "there.csv"], 1, "-y replaces it"),
    ],
)
def test_errors_are_one_line_that_helps(
    results: tuple[Path, Path],
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(results[0].parent)
    Path("there.csv").touch()
    assert run(["score", *arguments]) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_an_unknown_scale_warns(
    results: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    sr, hr = results
    (sr / "one_x2.png").rename(sr / "one.png")
    assert run(["score", str(sr / "one.png"), str(hr / "one.png")]) == 0
    captured = capsys.readouterr()
    assert "no scale is known" in captured.err
    assert "0 px left out" in captured.out


@pytest.mark.parametrize("columns", [40, 80, 140])
def test_figures_are_never_cut(
    results: tuple[Path, Path],
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = results[0] / f"one{'_out' * 20}.png"
    (results[0] / "one_x2.png").rename(long)
    monkeypatch.setattr(
        console, "out", type(console.out)(width=columns, soft_wrap=True, highlight=False)
    )
    assert run(["score", *map(str, results), "-s", "2"]) == 0
    out = capsys.readouterr().out
    assert "inf  1.0000" in out or "inf 1.0000" in out
    assert max(map(len, out.splitlines())) <= columns
