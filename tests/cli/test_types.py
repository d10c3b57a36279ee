"""What people type is understood, or answered in one line with the nearest right word."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from PIL import Image

from srup.cli import run
from srup.cli.types import Choice, NameAndScale, Scale, network_and_scale
from srup.models import registry


@pytest.mark.parametrize(
    ("text", "scale"),
    [
        ("4", 4),
        ("2.5", 2.5),
        (".5", 0.5),
        ("4x", 4),
        ("X4", 4),
        ("×3", 3),
        ("3×", 3),
        ("250%", 2.5),
    ],
)
def test_notations_of_a_scale(text: str, scale: float) -> None:
    assert Scale().convert(text, None, None) == scale


@pytest.mark.parametrize("text", ["", "big", "x", "4 5", "4%x", "1e3", "-2", "nan"])
def test_what_is_no_scale(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"write 4, 2.5, 4x or 400%"):
        Scale().convert(text, None, None)


@pytest.mark.parametrize("text", ["1", "5", "2.5"])
def test_whole_scales_within_bounds(text: str) -> None:
    assert Scale(2, 4).convert("3x", None, None) == 3
    with pytest.raises(click.BadParameter, match="from 2 to 4"):
        Scale(2, 4).convert(text, None, None)


def test_words_in_any_case_and_by_other_names() -> None:
    formats = Choice(["jpeg", "tiff"], {"jpg": "jpeg"})
    assert [formats.convert(word, None, None) for word in ("JPG", "jpeg", "Tiff")] == [
        *("jpeg", "jpeg", "tiff")
    ]
    with pytest.raises(click.BadParameter, match=r"'jepg' is none of .*; did you mean jpeg\?"):
        formats.convert("jepg", None, None)


@pytest.mark.parametrize(
    ("text", "name", "scale"),
    [
        ("imdn", "imdn", None),
        ("IMDN", "imdn", None),
        ("imdn_as", "imdn-as", None),
        ("imdn_x4", "imdn", 4),
        ("EDSR-baseline-x2", "edsr-baseline", 2),
        ("imdn-as-x3", "imdn-as", 3),
        ("auto", "auto", None),
    ],
)
def test_spellings_of_a_network(text: str, name: str, scale: int | None) -> None:
    assert NameAndScale("auto").convert(text, None, None) == (name, scale)


def test_every_file_of_weights_names_its_network() -> None:
    for row in registry.MODELS:
        if row.scale and row.file.startswith(row.name.replace("-", "_") + "_x"):
            assert network_and_scale(Path(row.file).stem) == (row.name, row.scale)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("realesrgan", "nearest in purpose is lite-photo"),
        ("RealESRGAN_x4plus", "nearest in purpose is lite-photo"),
        ("SwinIR", "nearest in purpose is rdn"),
        ("imdm", "did you mean imdn"),
        ("imdn_x9", "did you mean imdn"),
        ("qqqqq", "there are lite, lite-photo"),
    ],
)
def test_the_nearest_network_is_named(
    word: str, told: str, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["upscale", str(photo), "-m", word]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    assert repr(word) in line


def test_networks_from_elsewhere_lead_to_one_that_is_here() -> None:
    assert set(registry.ELSEWHERE.values()) <= set(registry.names())
    assert list(registry.PURPOSES) == registry.names()


@pytest.mark.parametrize(
    "words",
    [
        ["-f", "jpgg"],
        ["-s", "abc"],
        ["-q", "300"],
        ["--sclae", "3"],
        ["-t", "x"],
        ["-d", "gpu"],
        ["--engine", "torch"],
    ],
)
def test_what_is_wrong_takes_one_line(
    words: list[str], photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "gpu" in words and not _is_processor_alone():
        pytest.skip("there is a GPU")
    assert run(["upscale", str(photo), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "help" in line or "did you mean" in line.lower() or "-d cpu" in line


def _is_processor_alone() -> bool:
    from srup.inference.engines.pytorch import pick_device

    return pick_device("auto").type == "cpu"


def test_formats_as_files_end(photo: Path) -> None:
    assert run(["upscale", str(photo), "-s", "1", "-f", "JPG"]) == 0
    with Image.open(photo.with_name("photo_x1.jpg")) as image:
        assert image.format == "JPEG"


def test_a_network_with_a_scale_says_how_large(photo: Path) -> None:
    assert run(["upscale", str(photo), "-m", "bicubic_x3"]) == 0
    with Image.open(photo.with_name("photo_x3.png")) as image:
        assert image.size == (240, 180)
    assert run(["upscale", str(photo), "-m", "bicubic_x3", "--width", "100"]) == 0


def test_where_a_scale_is_asked_for_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "-m", "imdn_x2"]) == 2
    assert "-m imdn, -s 2" in capsys.readouterr().err
