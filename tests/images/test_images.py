from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, ImageCms
from PIL import Image as Pillow

from srup.errors import ReadError, WriteError
from srup.images import (
    Encoding,
    Image,
    Pages,
    check_holds,
    fill_transparent,
    read_image,
    write_image,
)
from tests.data.draw import draw

COLOURS = np.asarray(draw(24, 16))


def saved(path: Path, image: Pillow.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "channels", "alpha"),
    [
        ("RGB", 3, False),
        ("RGBA", 3, True),
        ("L", 1, False),
        ("LA", 1, True),
        ("1", 1, False),
        ("P", 3, False),
    ],
)
def test_modes(tmp_path: Path, mode: str, channels: int, alpha: bool) -> None:
    source = Pillow.fromarray(COLOURS).convert(mode)
    image = read_image(saved(tmp_path / "a.png", source))
    assert image.size == (24, 16)
    assert image.pixels.shape == (16, 24, channels)
    assert (image.alpha is not None) == alpha
    expected = source.convert("L" if channels == 1 else "RGB")
    assert (image.pixels.squeeze() == np.asarray(expected)).all()


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    source = Pillow.fromarray(COLOURS).quantize(8)
    image = read_image(saved(tmp_path / "a.png", source, transparency=3))
    assert image.alpha is not None
    assert ((image.alpha == 0) == (np.asarray(source) == 3)).all()


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    image = read_image(saved(tmp_path / "a.jpg", Pillow.fromarray(COLOURS).convert("CMYK")))
    assert image.pixels.shape == (16, 24, 3)


def test_sixteen_bits_of_grey_are_kept(tmp_path: Path) -> None:
    source = (np.arange(384).reshape(16, 24) * 170).astype(np.uint16)
    image = read_image(saved(tmp_path / "a.png", Pillow.fromarray(source)))
    assert (image.pixels[:, :, 0] == source).all()
    assert np.abs(image.eight().pixels[:, :, 0] - source / 257).max() <= 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path: Path, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Artist] = "somebody"
    first = read_image(saved(tmp_path / "a.png", Pillow.fromarray(COLOURS), exif=exif))
    assert first.size == ((24, 16) if orientation < 5 else (16, 24))
    write_image(first, tmp_path / "b.png")
    again = read_image(tmp_path / "b.png")
    assert (again.pixels == first.pixels).all()
    assert Pillow.open(tmp_path / "b.png").getexif() == {
        ExifTags.Base.Artist: "somebody",
        ExifTags.Base.Orientation: 1,
    }


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_profile_and_metadata_are_kept(tmp_path: Path, extension: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Pillow.Exif()
    exif[ExifTags.Base.Artist] = "somebody"
    image = read_image(
        saved(tmp_path / "a.png", Pillow.fromarray(COLOURS), icc_profile=profile, exif=exif)
    )
    write_image(image, tmp_path / f"b{extension}")
    with Pillow.open(tmp_path / f"b{extension}") as written:
        assert written.info["icc_profile"] == profile
        assert written.getexif()[ExifTags.Base.Artist] == "somebody"


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif"])
def test_density_is_kept(tmp_path: Path, extension: str) -> None:
    image = read_image(saved(tmp_path / "a.png", Pillow.fromarray(COLOURS), dpi=(300, 300)))
    write_image(image, tmp_path / f"b{extension}")
    with Pillow.open(tmp_path / f"b{extension}") as written:
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("extension", [".png", ".tif", ".bmp"])
def test_lossless_formats_lose_nothing(tmp_path: Path, extension: str) -> None:
    write_image(Image(COLOURS), tmp_path / f"b{extension}")
    assert (read_image(tmp_path / f"b{extension}").pixels == COLOURS).all()


def test_quality(tmp_path: Path) -> None:
    for quality in (20, 95):
        write_image(Image(COLOURS), tmp_path / f"{quality}.jpg", quality=quality)
    assert (tmp_path / "20.jpg").stat().st_size < (tmp_path / "95.jpg").stat().st_size


@pytest.mark.parametrize(
    ("name", "image", "size", "says"),
    [
        ("a.jpg", Image(COLOURS, COLOURS[:, :, 0]), (10, 10), "no transparency"),
        ("a.jpg", Image(COLOURS), (65_536, 10), "65535"),
        ("a.webp", Image(COLOURS), (10, 16_384), "16383"),
        ("a.gif", Image(COLOURS), (10, 10), "256 colours"),
        ("a.xyz", Image(COLOURS), (10, 10), "srup writes png"),
        ("a", Image(COLOURS), (10, 10), "use the extension of one"),
    ],
)
def test_files_that_a_format_cannot_hold_are_refused(
    name: str, image: Image, size: tuple[int, int], says: str
) -> None:
    with pytest.raises(WriteError, match=says):
        check_holds(Path(name), Pages((image,)), [size], Encoding())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_damaged_file_is_an_error(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name, draw(120, 90))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ReadError, match=name):
        read_image(path)


def test_a_file_of_too_many_pixels_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", draw(24, 16))
    with pytest.raises(ReadError, match="max_pixels raises this limit"):
        read_image(path, max_pixels=100)


def test_a_file_that_is_not_an_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    for name, says in (
        ("text", "not an image"),
        ("empty", "not an image"),
        ("folder", "a folder"),
        ("none", "no such file"),
    ):
        with pytest.raises(ReadError, match=says):
            read_image(tmp_path / f"{name}.png")


def test_colours_spread_into_transparent_pixels() -> None:
    """The black around a red disc, which alpha hides, becomes red."""
    y, x = np.mgrid[:33, :50]
    alpha = ((x - 20) ** 2 + (y - 15) ** 2 < 100).astype(np.uint8) * 255
    pixels = np.where(alpha[:, :, None] > 0, np.array([200, 10, 30]), 0).astype(np.uint8)
    filled = fill_transparent(pixels, alpha)
    assert (filled == [200, 10, 30]).all()


def test_colours_stay_where_all_or_nothing_is_visible() -> None:
    for alpha in (0, 255):
        assert (fill_transparent(COLOURS, np.full((16, 24), alpha, np.uint8)) == COLOURS).all()
