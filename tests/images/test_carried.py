"""Metadata that is damaged or beyond all measure costs itself, not the picture."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin, TiffImagePlugin

from srup.images import Image, carried, colours, from_pillow, read_image, read_pages, write_image
from tests.data.draw import draw

PICTURE = draw(24, 16)
COLOURS = np.asarray(PICTURE)


def same(image: Image) -> bool:
    return bool((image.pixels == COLOURS).all())


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tif", "avif"])
@pytest.mark.parametrize(
    "exif",
    [b"Exif\0\0", b"Exif\0\0II", b"Exif\0\0II*\0\xff\xff\xff\xff", b"no EXIF", bytes(300)],
    ids=["empty", "short", "outside", "other", "zeros"],
)
def test_damaged_exif(tmp_path: Path, extension: str, exif: bytes) -> None:
    PICTURE.save(tmp_path / "a.png", exif=exif)
    image = read_image(tmp_path / "a.png")
    assert same(image)
    write_image(image, tmp_path / f"b.{extension}")
    assert read_image(tmp_path / f"b.{extension}").size == image.size


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("Raw profile type iptc", "\niptc\n 5\nno digits"),
        ("Raw profile type exif", "\nexif\n 5\nno digits"),
        ("dpi", "many"),
        ("transparency", "yes"),
        ("icc_profile", "a text"),
        ("loop", "for ever"),
    ],
)
def test_texts_that_pose_as_something_else(tmp_path: Path, key: str, text: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text(key, text)
    info.add_text("Title", "a title")
    PICTURE.save(tmp_path / "a.png", pnginfo=info)
    image = read_image(tmp_path / "a.png")
    assert same(image)
    assert image.text == (("Title", "a title"),)
    assert (image.icc, image.alpha, image.iptc) == (None, None, None)


def tiff(path: Path, tag: int, kind: int, value: object) -> Path:
    """A TIFF file with one tag of a type that it should not have."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag] = value
    tags.tagtype[tag] = kind
    PICTURE.save(path, tiffinfo=tags)
    return path


@pytest.mark.filterwarnings("ignore:Metadata Warning")
@pytest.mark.usefixtures("ends")
@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [
        (700, 4, 0xFFFFFFF0),  # XMP as a number: bytes() of it would be as many zeros
        (700, 2, "a text"),
        (34675, 2, "a text"),  # a colour profile
        (33723, 4, (1, 2, 3)),  # IPTC
        (34377, 3, 7),  # image resources
        (0x8769, 2, "a text"),  # the directory of EXIF
    ],
)
def test_tags_of_another_type(tmp_path: Path, tag: int, kind: int, value: object) -> None:
    image = read_image(tiff(tmp_path / "a.tif", tag, kind, value))
    assert same(image)
    assert image.icc is None
    # a packet is a text, by whatever name
    assert image.xmp == (b"a text" if (tag, kind) == (700, 2) else None)


def test_a_budget_of_bytes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    half = carried.MAX_BYTES // 2 + 1
    made = Pillow.fromarray(COLOURS)
    made.info = {"xmp": b"x" * half, "icc_profile": b"p" * half, "dpi": (300, 300)}
    image = carried.Carried("a.png").image(made)
    assert (len(image.icc or b""), image.xmp, image.dpi) == (half, None, (300, 300))
    assert "a.png has too much XMP" in caplog.text


def test_what_pages_share_counts_once() -> None:
    of_file = carried.Carried("a.tif")
    for _ in range(5):
        made = Pillow.fromarray(COLOURS)
        made.info = {"xmp": b"x" * (carried.MAX_BYTES // 2)}
        assert of_file.image(made).xmp is not None
    assert of_file.left == carried.MAX_BYTES // 2


def test_texts_beyond_the_budget(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    info = PngImagePlugin.PngInfo()
    for key in "abc":
        info.add_text(key, key * 1000)
    PICTURE.save(tmp_path / "a.png", pnginfo=info)
    of_file = carried.Carried("a.png")
    of_file.left = 2500
    with Pillow.open(tmp_path / "a.png") as opened:
        opened.load()
        assert [key for key, _ in of_file.image(opened).text] == ["a", "b"]
    assert "too much text" in caplog.text


@pytest.mark.parametrize("orientation", [6, 0, 9, 65535])
def test_senseless_orientations(tmp_path: Path, orientation: object) -> None:
    exif = Pillow.Exif()
    exif[274] = orientation
    PICTURE.save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png").size == ((16, 24) if orientation == 6 else (24, 16))


def test_frames_are_turned_as_their_picture_is(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[274] = 6
    frames = [PICTURE, PICTURE.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], exif=exif)
    pages = read_pages(tmp_path / "a.png")
    assert [image.size for image in pages.images] == [(16, 24), (16, 24)]
    assert (pages.images[0].pixels == np.rot90(COLOURS, -1)).all()
    assert (pages.images[1].pixels == np.rot90(COLOURS[:, ::-1], -1)).all()


def test_bombs_in_texts(tmp_path: Path) -> None:
    """Two megabytes of text in two kilobytes: Pillow alone would refuse the picture."""
    info = PngImagePlugin.PngInfo()
    info.add(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2 << 20)))
    PICTURE.save(tmp_path / "a.png", pnginfo=info)
    assert same(read_image(tmp_path / "a.png"))


def test_exif_that_an_encoder_fails_at_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The density as a text: Pillow's writer of AVIF looks into the block, and counts with it."""
    entries = struct.pack("<HHLLHHLHH", 282, 2, 2, 0x61, 274, 3, 1, 1, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0\2\0" + entries + bytes(4)
    image = replace(from_pillow(PICTURE), exif=exif, xmp=b"<x/>", icc=colours.SRGB, dpi=(300, 300))
    write_image(image, tmp_path / "a.avif")
    written = read_image(tmp_path / "a.avif")
    assert (written.size, written.exif, written.icc) == (image.size, None, colours.SRGB)
    assert "a.avif: damaged metadata that avif cannot store: left out" in caplog.text
