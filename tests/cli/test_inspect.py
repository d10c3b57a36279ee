from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

import srup
from srup.cli import run
from srup.images import colours
from tests.conftest import json_lines
from tests.data.draw import draw

COLUMNS = [
    "image",
    "kind",
    "width",
    "height",
    "format",
    "lossy",
    "quality",
    "chroma",
    "traces",
    "blockiness",
    "noise",
    "enlarged",
    "pages",
    "animated",
    "bits",
    "transparency",
    "profile",
    "exif",
    "xmp",
    "iptc",
    "texts",
    "dpi",
    "srup",
    "network",
    "scale",
    "precision",
    "strength",
    "source size",
    "self ensemble",
    "weights",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """pictures/{a.jpg (quality 60), b.png (its pixels), broken.jpg, notes.txt, below/c.webp}"""
    place = tmp_path / "pictures"
    (place / "below").mkdir(parents=True)
    draw(320, 240).save(place / "a.jpg", quality=60)
    Pillow.open(place / "a.jpg").save(place / "b.png")
    (place / "broken.jpg").write_bytes((place / "a.jpg").read_bytes()[:3000])
    (place / "notes.txt").write_text("no image")
    draw(320, 240).save(place / "below" / "c.webp", lossless=True)
    return place


def printed(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> list[str]:
    """The lines on standard output."""
    assert run(["inspect", *map(str, arguments)]) == code
    return capsys.readouterr().out.splitlines()


def test_a_line_for_a_jpeg(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = printed(capsys, folder / "a.jpg")
    about = "photograph, 320×240, JPEG of quality about 60 (4:2:0)"
    assert line.startswith(f"{folder / 'a.jpg'}: {about}, ")
    assert line.endswith(", not enlarged before")


def test_a_line_for_what_was_a_jpeg(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = printed(capsys, folder / "b.png")
    assert "320×240, lossless PNG, JPEG of quality about 60 before, " in line


def test_blocks_are_told_where_they_are_not_of_the_file_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(320, 240).save(tmp_path / "a.jpg", quality=30)
    brighter = Pillow.open(tmp_path / "a.jpg").point(lambda value: 255 * (value / 255) ** 0.4)
    brighter.save(tmp_path / "b.png")
    brighter.save(tmp_path / "c.webp", quality=100)
    lossless, lossy = printed(capsys, tmp_path / "b.png", tmp_path / "c.webp")
    assert "lossless PNG, blocks of an earlier compression, " in lossless
    assert "earlier compression" not in lossy


def test_a_line_for_a_noisy_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).normal(120, 10, (200, 200, 3))
    Pillow.fromarray(noise.astype(np.uint8)).save(tmp_path / "noise.png")
    (line,) = printed(capsys, tmp_path / "noise.png")
    found = re.search(r"photograph, 200×200, lossless PNG, noise σ ([\d.]+), ", line)
    assert found and float(found[1]) == pytest.approx(10, rel=0.1)


def test_a_line_for_what_was_enlarged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = (640, 480)
    draw(320, 240).resize(size, Pillow.Resampling.BICUBIC).save(tmp_path / "large.png")
    assert printed(capsys, tmp_path / "large.png")[0].endswith(", enlarged before or blurred")


def test_what_made_a_result_and_what_came_along(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.tif"
    exif = Pillow.Exif()
    exif[0x13B] = "somebody"
    picture = draw(80, 60)
    picture.putalpha(90)
    picture.save(path, exif=exif, dpi=(300, 200), icc_profile=colours.SRGB)
    arguments = [str(path), "-m", "lite-photo", "-s", "2", "--strength", "0.5", "-f", "png"]
    assert run(["upscale", *arguments, "--precision", "fp32"]) == 0
    capsys.readouterr()
    about, carried, made = printed(capsys, tmp_path / "a_x2.png")
    assert ": photograph, 160×120, lossless PNG" in about
    assert carried == "  with transparency, the profile sRGB built-in, EXIF, 300×200 dpi"
    assert made == (
        f"  made by srup {srup.__version__}, network lite-photo x2, scale 2, precision fp32, "
        "strength 0.5, source size 80x60"
    )
    (facts,) = json_lines("\n".join(printed(capsys, tmp_path / "a_x2.png", "--json")))
    expected = {
        "pages": 1,
        "animated": False,
        "bits": 8,
        "transparency": True,
        "profile": "sRGB built-in",
        "xmp": 0,
        "iptc": 0,
        "texts": 0,
        "dpi": "300×200",
        "srup": srup.__version__,
        "network": "lite-photo x2",
        "strength": "0.5",
        "weights": None,
    }
    assert expected.items() <= facts.items()
    assert int(str(facts["exif"])) > 20


def test_a_name_or_a_text_that_commands_the_terminal_is_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("srup:Version", "1\x1b[2J")
    draw(40, 30).save(tmp_path / "a\x1bb.png", pnginfo=info)
    about, made = printed(capsys, tmp_path / "a\x1bb.png")
    assert "\x1b" not in about + made
    assert made == r"  made by srup 1\x1b[2J"


def test_the_first_of_several(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = [draw(60, 40), draw(40, 60)]
    for name, what in (("a.tif", "pages, lossless TIFF"), ("a.gif", "frames, lossless GIF")):
        draw(64, 48).save(tmp_path / name, save_all=True, append_images=others)
        assert f"64×48, the first of 3 {what}" in printed(capsys, tmp_path / name)[0]


def test_a_dot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(1, 1).save(tmp_path / "dot.png")
    (line,) = printed(capsys, tmp_path / "dot.png")
    assert line == f"{tmp_path / 'dot.png'}: 1×1, lossless PNG, noise cannot be told"


def test_a_folder_goes_on_after_a_damaged_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(folder)]) == 1
    captured = capsys.readouterr()
    names = [line.split(":")[0] for line in captured.out.splitlines()]
    assert names == [str(folder / "a.jpg"), str(folder / "b.png")]
    assert captured.err.count("\n") == 1
    assert "broken.jpg: damaged or cut short" in captured.err


def test_below_a_folder_and_by_a_glob(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "broken.jpg").unlink()
    assert "c.webp" in printed(capsys, "-r", folder)[2]
    (line,) = printed(capsys, folder / "*" / "*.webp")
    assert "lossless WebP" in line


def test_what_is_given_twice_is_told_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(printed(capsys, folder / "a.jpg", folder / "*.png", folder / "a.jpg")) == 2


def test_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, folder, folder / "none.png", "--json", code=1)
    missing, first, second, broken = json_lines("\n".join(lines))
    assert list(first) == COLUMNS
    assert (first["format"], first["lossy"], first["quality"]) == ("jpeg", True, 60)
    assert (second["lossy"], second["quality"], second["traces"]) == (False, None, 60)
    assert first["enlarged"] is False
    assert "no such file" in str(missing["error"])
    assert "damaged" in str(broken["error"])


def test_a_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = folder.parent / "found.csv"
    lines = printed(capsys, folder / "a.jpg", folder / "b.png", "-o", place)
    assert "JPEG of quality about 60 before" in lines[1]
    rows = list(csv.DictReader(place.open()))
    assert list(rows[0]) == COLUMNS
    assert [row["traces"] for row in rows] == ["60", "60"]
    markdown = printed(capsys, folder / "a.jpg", "-f", "md")
    assert markdown[2] == f"| {' | '.join(COLUMNS)} |"


def test_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = io.BytesIO((folder / "a.jpg").read_bytes())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(data))
    (line,) = printed(capsys, "-")
    assert line.startswith("-: photograph, 320×240, JPEG of quality about 60")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["none.jpg"], 1, "no such file or folder"),
        (["notes.txt"], 1, "not an image"),
        (["a.jpg", "--max-pixels", "1000"], 1, "--max-pixels raises this limit"),
        (["a.jpg", "-o", "a.pdf"], 2, "names no format"),
        (["a.jpg", "-o", "b.csv"], 1, "-y replaces it"),
    ],
)
def test_errors_are_one_line_that_helps(
    folder: Path,
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    Path("b.csv").touch()
    assert run(["inspect", *arguments]) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_inspects_without_torch(folder: Path) -> None:
    arguments = ["inspect", str(folder / "a.jpg"), str(folder / "b.png")]
    code = f"import sys; from srup.cli import run; assert run({arguments!r}) == 0"
    code += "; assert not {'torch', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
