"""What headers say, of files that were saved with known settings."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

import srup
from srup.errors import EngineUnavailable
from srup.images import FORMATS, Compression, Pages, read_pages
from srup.images.compression import ANNEX_K, compression_of, jpeg_table
from srup.images.formats import plug_in
from tests.data.draw import draw

PICTURE = draw(64, 48)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Luminance table of N. Robidoux, which ImageMagick and mozjpeg can use.
OTHER_TABLE = np.array(
    [
        [16, 16, 16, 18, 25, 37, 56, 85],
        [16, 17, 20, 27, 34, 40, 53, 75],
        [16, 20, 24, 31, 43, 62, 91, 135],
        [18, 27, 31, 40, 53, 74, 106, 156],
        [25, 34, 43, 53, 69, 94, 131, 189],
        [37, 40, 62, 74, 94, 124, 169, 238],
        [56, 53, 91, 106, 131, 169, 226, 311],
        [85, 75, 135, 156, 189, 238, 311, 418],
    ]
)


def saved(kind: str, picture: Pillow.Image = PICTURE, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file


def header(kind: str, picture: Pillow.Image = PICTURE, **options: object) -> Compression:
    found = read_pages(saved(kind, picture, **options)).compression
    assert found is not None
    return found


def plugged(name: str) -> None:
    """Skips where the plugin of a format is not installed."""
    try:
        plug_in(FORMATS[name].module, FORMATS[name].extra)
    except EngineUnavailable as error:
        pytest.skip(str(error))


def test_jpeg_quality_is_exact_for_tables_of_libjpeg() -> None:
    for quality in range(1, 101):
        assert header("JPEG", quality=quality).quality == quality


def test_tables_are_those_that_libjpeg_writes() -> None:
    for quality in (5, 30, 50, 75, 98):
        with Pillow.open(saved("JPEG", quality=quality)) as opened:
            assert sorted(opened.quantization[0]) == sorted(jpeg_table(quality).ravel())


def test_tables_of_other_encoders_are_about_as_coarse() -> None:
    """Twice the steps is a lower quality, and the nearest mean is that of no other quality."""
    before = 101
    for percent in (20, 40, 80, 160):
        steps = (OTHER_TABLE * percent // 100).clip(1, 255)
        quality = header("JPEG", qtables=[steps.ravel().tolist()] * 2).quality
        assert quality is not None and quality < before - 5
        near = abs(jpeg_table(quality).mean() - steps.mean())
        for other in (quality - 1, quality + 1):
            assert near <= abs(jpeg_table(other).mean() - steps.mean())
        before = quality


def test_annex_k_is_quality_50() -> None:
    assert (jpeg_table(50) == ANNEX_K).all()


@pytest.mark.parametrize(
    ("subsampling", "chroma"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0"), ("4:1:1", "4:2:0")]
)
def test_chroma_sampling_of_jpeg(subsampling: int | str, chroma: str) -> None:
    assert header("JPEG", subsampling=subsampling).chroma == chroma


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_without_chroma(mode: str) -> None:
    found = header("JPEG", PICTURE.convert(mode), quality=60)
    assert found == Compression("jpeg", lossy=True, quality=60)


def test_a_multi_picture_file_is_a_jpeg() -> None:
    found = header("MPO", quality=70, save_all=True, append_images=[draw(64, 48)])
    assert (found.format, found.quality) == ("jpeg", 70)


def with_alpha() -> Pillow.Image:
    """A picture whose WebP file has other chunks before that of the pixels."""
    picture = PICTURE.copy()
    picture.putalpha(Pillow.linear_gradient("L").resize(picture.size))
    return picture


@pytest.mark.parametrize("quality", [20, 35, 50, 65, 80, 90, 98, 100])
@pytest.mark.parametrize("size", [(64, 48), (320, 240)])
def test_webp_quality(quality: int, size: tuple[int, int]) -> None:
    found = header("WEBP", draw(*size), quality=quality)
    assert found.lossy and found.chroma == "4:2:0"
    assert found.quality == pytest.approx(quality, abs=3)


def test_webp_of_several_chunks() -> None:
    # The profile is longer than what is read of a file at first.
    profile = PROFILE + bytes(5001)
    for options in ({"quality": 60}, {"lossless": True}):
        plain = header("WEBP", **options)
        assert header("WEBP", with_alpha(), icc_profile=profile, **options) == plain
        frames = [draw(64, 48).rotate(90)]
        animated = header("WEBP", save_all=True, append_images=frames, **options)
        assert (animated.format, animated.lossy) == ("webp", plain.lossy)


@pytest.mark.parametrize(
    ("kind", "options", "lossy"),
    [
        ("PNG", {}, False),
        ("GIF", {}, False),
        ("BMP", {}, False),
        ("PPM", {}, False),
        ("WEBP", {"lossless": True}, False),
        ("TIFF", {}, False),
        ("TIFF", {"compression": "tiff_lzw"}, False),
        ("TIFF", {"compression": "tiff_adobe_deflate"}, False),
        ("TIFF", {"compression": "jpeg"}, True),
        ("AVIF", {"subsampling": "4:2:0"}, True),
        ("AVIF", {"subsampling": "4:4:4"}, True),  # YCbCr of eight bits
    ],
)
def test_lossy_or_not(kind: str, options: dict[str, object], lossy: bool | None) -> None:
    found = header(kind, **options)
    assert (found.format, found.lossy) == (kind.lower(), lossy)


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_chroma_sampling_of_avif(sampling: str) -> None:
    assert header("AVIF", subsampling=sampling).chroma == sampling


def test_grey_avif_has_no_chroma() -> None:
    found = header("AVIF", PICTURE.convert("L"), subsampling="4:0:0")
    assert (found.chroma, found.lossy) == (None, None)


def test_heic() -> None:
    plugged("heic")
    assert header("HEIF", quality=60) == Compression("heic", lossy=True, chroma="4:2:0")
    assert header("HEIF", quality=60, chroma=444).chroma == "4:4:4"
    # RGB as it is may be lossless, and only the picture itself would tell.
    exact = header("HEIF", quality=-1, chroma=444, matrix_coefficients=0)
    assert exact == Compression("heic", lossy=None, chroma="4:4:4")


@pytest.mark.parametrize("size", [(64, 48), (61, 47), (300, 301), (640, 7)])
def test_jpeg_xl(size: tuple[int, int]) -> None:
    plugged("jxl")
    assert header("JXL", draw(*size), quality=80) == Compression("jxl", lossy=True)
    assert header("JXL", draw(*size), lossless=True) == Compression("jxl", lossy=None)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_a_header_that_is_cut_short_says_nothing(kind: str) -> None:
    """Of a file whose pixels can be read all the same, as Pillow has them here."""
    data = saved(kind).getvalue()
    with Pillow.open(io.BytesIO(data)) as opened:
        for length in (0, 12, 20, 30):
            cut = data[:length]
            found = compression_of(opened, cut, reader(cut))
            assert found == Compression(kind.lower())


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda place, count: data[place : place + count]


def test_an_open_file_is_read_from_where_it_was() -> None:
    for kind in ("PNG", "WEBP", "JPEG"):
        file = saved(kind)
        first = read_pages(file).images[0].pixels
        assert (read_pages(io.BytesIO(file.getvalue())).images[0].pixels == first).all()


def test_pages_carry_it_and_results_do_not() -> None:
    pages = read_pages(saved("JPEG", quality=70))
    expected = Compression("jpeg", True, 70, "4:2:0")
    changed = pages.map(lambda image: image.stripped())
    assert pages.compression == changed.compression == expected
    assert pickle.loads(pickle.dumps(pages)).compression == expected
    result = srup.load("lite", scale=2)(pages)
    assert isinstance(result, Pages)
    assert result.compression is None
