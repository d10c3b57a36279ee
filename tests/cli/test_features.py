from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from srup.cli import run
from tests.data.draw import draw
from tests.data.hostile import tiff_without_a_width


@pytest.mark.parametrize(
    "options",
    [
        ["-m", "imdn", "-s", "2"],
        ["-m", "imdn-as", "-s", "1.5"],
        ["-m", "rfdn", "--channels", "all"],
    ],
)
def test_a_grid_beside_the_image(photo: Path, checkpoints: Path, options: list[str]) -> None:
    assert run(["features", str(photo), *options]) == 0
    with Image.open(photo.with_name("photo_features.png")) as grid:
        assert grid.width > 1000
        assert grid.height > 500


def test_a_network_of_one_stage_says_so(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["features", str(photo), "-s", "2", "-o", str(tmp_path / "grid.jpg")]) == 0
    assert "single stage" in capsys.readouterr().err
    assert run(["features", str(photo), "-s", "2", "-o", str(tmp_path / "grid.jpg")]) == 1
    assert "-y replaces it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["none.png"], 1, "no such file"),
        (["photo.png", "-m", "imbn"], 2, "did you mean imdn"),
        (["photo.png", "--channels", "none"], 2, "neither all nor a number"),
        (["photo.png", "-o", "grid.xyz"], 1, "srup writes png"),
        (["dot.png"], 2, "too small"),
        (["pages.tif"], 1, "TypeError"),
        (["photo.png", "--weights", "/dev/zero"], 3, "it is a pipe or a device"),
    ],
)
def test_errors_help(
    photo: Path,
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(photo.parent)
    draw(1, 1).save("dot.png")
    Path("pages.tif").write_bytes(tiff_without_a_width())
    assert run(["features", *arguments]) == code
    assert says in capsys.readouterr().err
