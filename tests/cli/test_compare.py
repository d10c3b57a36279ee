from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from srup.cli import run
from srup.evaluation.protocols import score_files
from tests.conftest import json_lines
from tests.data.draw import draw
from tests.data.hostile import tiff_without_a_width


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of photo.png and original.png, its HR image."""
    draw(96, 72).resize((48, 36), Image.Resampling.BICUBIC).save(tmp_path / "photo.png")
    draw(96, 72).save(tmp_path / "original.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(path: Path) -> list[list[str]]:
    """The names of the versions that a page compares, image by image."""
    found = re.search(
        r'<script type="application/json" id="rows">(.*?)</script>', path.read_text(), re.S
    )
    assert found
    return [[picture["name"] for picture in row["pictures"]] for row in json.loads(found[1])]


def test_networks_on_an_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            [
                "compare",
                "photo.png",
                "-m",
                "lite",
                "-s",
                "2",
                "--reference",
                "original.png",
                "--json",
            ]
        )
        == 0
    )
    bicubic, lite = json_lines(capsys.readouterr().out)
    assert pictures(folder / "compare.html") == [["input", "bicubic", "lite", "reference"]]
    assert float(str(lite["PSNR"])) > float(str(bicubic["PSNR"]))
    assert float(str(lite["seconds"])) > 0
    assert run(["upscale", "photo.png", "-s", "2", "-o", "result.png"]) == 0
    assert (
        lite["PSNR"] == score_files(folder / "result.png", folder / "original.png", border=2).psnr
    )


def test_images_as_they_are(folder: Path) -> None:
    draw(192, 144).save(folder / "large.tif")
    assert run(["compare", "photo.png", "large.tif", "-o", "two.html"]) == 0
    assert pictures(folder / "two.html") == [["photo.png", "large.tif"]]
    assert "http://" not in re.sub(r"http://www.w3.org/\S+", "", (folder / "two.html").read_text())


def test_colours_under_transparency_do_not_count(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """White under full transparency does not make bicubic worse."""
    photo = Image.open(folder / "photo.png").convert("RGBA")
    photo.paste((255, 255, 255, 0), (0, 0, 48, 10))
    photo.save(folder / "cut.png")
    assert run(["compare", "cut.png", "-m", "lite", "-s", "2", "--json"]) == 0
    bicubic, lite = json_lines(capsys.readouterr().out)
    assert float(str(lite["consistency"])) > float(str(bicubic["consistency"])) > 25


def test_several_images_are_a_gallery_with_failures_on_top(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.png").write_bytes(b"rotten")
    (folder / "pages.tif").write_bytes(tiff_without_a_width())
    images = ["photo.png", "original.png", "broken.png", "pages.tif"]
    assert run(["compare", *images, "-m", "lite", "-s", "2"]) == 1
    assert len(pictures(folder / "compare.html")) == 2
    html = (folder / "compare.html").read_text()
    assert html.index('class="failures"') < html.index('class="thumbnails"')
    said = capsys.readouterr().err
    assert "not an image" in said
    assert "TypeError" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["photo.png"], 2, "one image alone"),
        (["photo.png", "-m", "imbn"], 2, "did you mean imdn"),
        (
            ["photo.png", "original.png", "-m", "lite", "--reference", "original.png"],
            2,
            "one by one",
        ),
        (["photo.png", "tall.png"], 1, "photo.png is 48×36 and tall.png is 30×60"),
        (["photo.png", "-m", "lite", "-o", "page.csv"], 2, "must end in .html"),
        (["photo.png", "-m", "lite", "-o", "there.html"], 1, "-y replaces it"),
        (["photo.png", "-m", "lite", "-o", "nowhere/page.html"], 1, "create it first"),
        (["photo.png", "none.png"], 1, "no such file"),
        (["photo.png", "-m", "imdn"], 3, "SRUP_OFFLINE"),
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
    monkeypatch.setenv("SRUP_OFFLINE", "1")
    draw(30, 60).save("tall.png")
    (folder / "there.html").touch()
    assert run(["compare", *arguments]) == code
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (folder / "compare.html").exists()
