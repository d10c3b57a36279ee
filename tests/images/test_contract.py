"""What each format keeps, property by property, read back with Pillow or another program.

The expectations are the rows of `FORMATS`; the table in .github/docs/formats.md says the same.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, ImageCms, PngImagePlugin, TiffTags
from PIL import Image as Pillow

from srup.errors import ReadError, WriteError
from srup.images import (
    FORMATS,
    Encoding,
    Format,
    Image,
    Pages,
    Provenance,
    colours,
    read_image,
    read_pages,
    sixteen_bit,
    tiff,
    write_pages,
)
from srup.images.reading import from_pillow
from tests.data.draw import draw
from tests.data.hostile import exif_of_tags

COLOURS = np.asarray(draw(48, 36))
GREY = np.asarray(draw(48, 36).convert("L"))[:, :, None]
SIZE = (48, 36)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
    b' tiff:Orientation="1">'
    b"<tiff:ImageWidth>12</tiff:ImageWidth></rdf:Description></rdf:RDF></x:xmpmeta>"
)
IPTC = b"\x1c\x02\x78\x00\x09a caption"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


MADE = Provenance("9.9", "imdn x2 x3", "6", "bf16", source_size="8x6")


def wide_gamut() -> bytes:
    """The profile of sRGB with red and green moved apart, for a wider gamut."""
    changed = bytearray(PROFILE)
    for tag, factor in ((b"rXYZ", 1.15), (b"gXYZ", 0.85)):
        entry = changed.index(tag)
        place = int.from_bytes(changed[entry + 4 : entry + 8], "big") + 8
        value = int.from_bytes(changed[place : place + 4], "big")
        changed[place : place + 4] = round(value * factor).to_bytes(4, "big")
    return bytes(changed)


def exif(software: str = "") -> bytes:
    block = Pillow.Exif()
    if software:
        block[ExifTags.Base.Software] = software
    block[ExifTags.Base.Artist] = "somebody"
    block[ExifTags.Base.Orientation] = 1
    block[ExifTags.IFD.Exif] = {
        ExifTags.Base.ExifImageWidth: 12,
        ExifTags.Base.DateTimeOriginal: "2024:05:06 07:08:09",
    }
    block[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    return block.tobytes()


def written(
    row: Format, folder: Path, *images: Image, encoding: Encoding | None = None, **timing: object
) -> Path:
    path = folder / f"written{row.extensions[0]}"
    write_pages(Pages(images, **timing), path, encoding=encoding or Encoding(palette=True))  # type: ignore[arg-type]
    return path


def opened(path: Path) -> Pillow.Image:
    image = Pillow.open(path)
    image.load()
    return image


def close(image: Image, pixels: np.ndarray) -> bool:
    """Whether pixels are equal but for the losses of a palette or of JPEG, AVIF and WebP."""
    if image.pixels.shape != pixels.shape:
        return False
    return np.abs(image.pixels.astype(int) - pixels).mean() < 9


def test_exif(row: Format, tmp_path: Path) -> None:
    found = opened(written(row, tmp_path, Image(COLOURS, exif=exif()))).getexif()
    if "exif" not in row.keeps:
        assert ExifTags.Base.Artist not in found
        return
    assert found[ExifTags.Base.Artist] == "somebody"
    assert found.get(ExifTags.Base.Orientation, 1) == 1
    assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] == SIZE[0]
    assert found.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2024:05:06 07:08:09"
    assert found.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


def test_xmp(row: Format, tmp_path: Path) -> None:
    found = read_image(written(row, tmp_path, Image(COLOURS, xmp=XMP))).xmp
    assert found == (XMP.replace(b">12<", b">48<") if "xmp" in row.keeps else None)


def test_iptc(row: Format, tmp_path: Path) -> None:
    found = read_image(written(row, tmp_path, Image(COLOURS, iptc=IPTC))).iptc
    assert found == (IPTC if "iptc" in row.keeps else None)


@pytest.mark.parametrize("software", ["", "Firmware 1.2", "srup 0.1"])
def test_provenance(row: Format, software: str, tmp_path: Path) -> None:
    """What made it is added to what came along, of which nothing is lost."""
    texts = (("Title", "A title"),)
    image = Image(COLOURS, exif=exif(software), xmp=XMP, text=texts, provenance=MADE)
    path = written(row, tmp_path, image)
    first, found = path.read_bytes(), read_image(path)
    assert found.provenance == (MADE if "provenance" in row.keeps else None)
    assert found.xmp == (XMP.replace(b">12<", b">48<") if "xmp" in row.keeps else None)
    assert found.text == (texts if "text" in row.keeps else ())
    if "exif" in row.keeps:
        tags = opened(path).getexif()
        camera = software == "Firmware 1.2"
        assert tags[ExifTags.Base.Software] == ("Firmware 1.2" if camera else "srup 9.9")
        assert tags.get(ExifTags.Base.ProcessingSoftware) == ("srup 9.9" if camera else None)
        assert tags[ExifTags.Base.Artist] == "somebody"
        assert tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert written(row, tmp_path, image).read_bytes() == first
    without = written(row, tmp_path, image.stripped())
    assert b"srup" not in without.read_bytes()
    assert read_image(without).provenance is None


def test_provenance_alone(row: Format, tmp_path: Path) -> None:
    """Where nothing came along, nothing else is read back; a copy says the same."""
    found = read_image(written(row, tmp_path, Image(COLOURS, provenance=MADE)))
    assert (found.exif, found.xmp, found.text) == (None, None, ())
    first = (tmp_path / f"written{row.extensions[0]}").read_bytes()
    if row.lossless and not row.lossy and not row.grey_only:
        assert written(row, tmp_path, found).read_bytes() == first


def test_provenance_of_animations_and_pages(row: Format, tmp_path: Path) -> None:
    images = [Image(COLOURS, provenance=MADE), Image(COLOURS[::-1], provenance=MADE)]
    timing = {"durations": (40.0, 80.0)} if row.animated else {}
    if not (row.animated or row.paged):
        return
    found = read_pages(written(row, tmp_path, *images, **timing))
    assert [image.provenance for image in found.images] == [MADE, MADE]


def test_density(row: Format, tmp_path: Path) -> None:
    found = opened(written(row, tmp_path, Image(COLOURS, dpi=(300, 200)))).info.get("dpi")
    if "dpi" in row.keeps:
        assert found == pytest.approx((300, 200), abs=0.1)


def test_texts(row: Format, tmp_path: Path) -> None:
    texts = (("Title", "A title"), ("Remark", "größer"))
    found = read_image(written(row, tmp_path, Image(COLOURS, text=texts))).text
    assert found == (texts if "text" in row.keeps else ())


def test_profile(row: Format, tmp_path: Path) -> None:
    """A profile is kept; in formats that cannot store it the pixels are converted to sRGB."""
    image = Image(COLOURS, icc=wide_gamut())
    found = read_image(written(row, tmp_path, image, encoding=Encoding(100, palette=True)))
    if "icc" in row.keeps:
        assert found.icc == wide_gamut()
        assert close(found, COLOURS)
    else:
        expected = ImageCms.profileToProfile(
            Pillow.fromarray(COLOURS),
            ImageCms.ImageCmsProfile(io.BytesIO(wide_gamut())),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
        assert expected is not None
        assert close(found, np.asarray(expected))
        assert np.abs(np.asarray(expected).astype(int) - COLOURS).mean() > 2


def test_alpha(row: Format, tmp_path: Path) -> None:
    alpha = np.where(np.indices(GREY.shape[:2])[0] > 10, 255, 0).astype(np.uint8)
    if not row.alpha:
        with pytest.raises(WriteError, match="no transparency"):
            written(row, tmp_path, Image(COLOURS, alpha))
        return
    found = read_image(written(row, tmp_path, Image(COLOURS, alpha)))
    assert found.alpha is not None
    assert np.abs(found.alpha.astype(int) - alpha).max() <= (8 if row.lossy else 0)


def test_grey(row: Format, tmp_path: Path) -> None:
    found = read_image(written(row, tmp_path, Image(GREY)))
    if found.pixels.shape[2] == 3:  # WebP and AVIF store grey as equal colours
        assert row.name in ("webp", "avif")
        assert (np.ptp(found.pixels.astype(int), axis=2) <= 1).all()
    assert close(Image(found.pixels[:, :, :1]), GREY)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_sixteen_bits(row: Format, mode: str, tmp_path: Path) -> None:
    if not sixteen_bit.available() and mode != "L":
        pytest.skip("needs pyvips")
    values = np.random.default_rng(1).integers(0, 65_536, (9, 7, 5)).astype(np.uint16)
    image = Image(
        values[:, :, : 3 if mode.startswith("RGB") else 1],
        values[:, :, 4] if mode.endswith("A") else None,
    )
    if image.alpha is not None and not row.alpha:
        return
    path = written(row, tmp_path, image)
    if (row.name, mode) == ("tiff", "LA"):  # Pillow does not open such a file
        pyvips = sixteen_bit.available()
        assert pyvips
        assert (pyvips.Image.new_from_file(str(path)).numpy() == values[:, :, [0, 4]]).all()
        return
    found = read_image(path)
    if not row.sixteen_bit:
        assert found.depth == 8
        return
    assert (found.pixels == image.pixels).all()
    assert (found.alpha is None) if image.alpha is None else (found.alpha == image.alpha).all()


def test_sixteen_bits_with_metadata(row: Format, tmp_path: Path) -> None:
    """Files whose pixels libvips writes have the same metadata as those by Pillow."""
    if not (row.sixteen_bit and sixteen_bit.available()):
        pytest.skip("eight bits, or no pyvips")
    image = Image(
        COLOURS.astype(np.uint16) * 257,
        icc=wide_gamut(),
        exif=exif(),
        dpi=(300, 300),
        xmp=XMP,
        iptc=IPTC,
    )
    eight = read_image(written(row, tmp_path, image.eight()))
    found = read_image(written(row, tmp_path, image))
    assert (found.pixels == image.pixels).all()
    for name in ("icc", "exif", "xmp", "iptc", "dpi"):
        assert getattr(found, name) == getattr(eight, name)
        assert getattr(found, name) is not None


@pytest.mark.parametrize("transparent", [False, True])
def test_animation(row: Format, transparent: bool, tmp_path: Path) -> None:
    frames = []
    for number in range(3):
        pixels = COLOURS.copy()
        pixels[8:20, 12 * number : 12 * number + 10] = (220, 20, 40)
        alpha = np.zeros(GREY.shape[:2], np.uint8)
        alpha[4:30, 12 * number : 12 * number + 20] = 255
        frames.append(Image(pixels, alpha if transparent else None))
    timing = {"durations": (40.0, 80.0, 120.0), "plays": 3}
    if not row.animated:
        with pytest.raises(
            WriteError, match="no animation" if row.alpha or not transparent else "no transparency"
        ):
            written(row, tmp_path, *frames, **timing)
        return
    found = read_pages(written(row, tmp_path, *frames, **timing))
    assert found.durations == (40, 80, 120)
    assert found.plays == (3 if row.name != "avif" else 0)  # which Pillow writes to play for ever
    for frame, original in zip(found.images, frames, strict=True):
        visible = np.ones(GREY.shape[:2], bool) if original.alpha is None else original.alpha > 0
        assert np.abs(frame.pixels[visible].astype(int) - original.pixels[visible]).mean() < 11
        assert (frame.alpha is None) == (original.alpha is None)
        if frame.alpha is not None and original.alpha is not None:
            assert np.abs(frame.alpha.astype(int) - original.alpha).mean() < 3


def test_pages(row: Format, tmp_path: Path) -> None:
    pages = [
        Image(COLOURS, exif=exif(), dpi=(300, 300)),
        Image(COLOURS[::-1, ::2], dpi=(150, 150)),
        Image(GREY, xmp=XMP, icc=None),
    ]
    if not row.paged:
        with pytest.raises(WriteError, match="use format=tiff"):
            written(row, tmp_path, *pages)
        return
    found = read_pages(written(row, tmp_path, *pages)).images
    assert not read_pages(written(row, tmp_path, *pages)).animated
    for page, original in zip(found, pages, strict=True):
        assert (page.pixels == original.pixels).all()
        assert page.dpi == original.dpi
    assert b"2024:05:06" in (found[0].exif or b"")
    assert found[1].exif is None
    assert found[2].xmp == XMP.replace(b">12<", b">48<")


def test_pages_of_sixteen_bits(tmp_path: Path) -> None:
    if not sixteen_bit.available():
        pytest.skip("needs pyvips")
    values = np.random.default_rng(1).integers(0, 65_536, (2, 9, 7, 3)).astype(np.uint16)
    found = read_pages(written(FORMATS["tiff"], tmp_path, Image(values[0]), Image(values[1, ::2])))
    for page, value in zip(found.images, (values[0], values[1, ::2]), strict=True):
        assert (page.pixels == value).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_name_that_is_not_utf8(row: Format, bits: int, tmp_path: Path) -> None:
    if bits == 16 and not (row.sixteen_bit and sixteen_bit.available()):
        pytest.skip("eight bits, or no pyvips")
    pixels = COLOURS if bits == 8 else COLOURS.astype(np.uint16) * 257
    path = tmp_path / os.fsdecode(b"\xff" + row.extensions[0].encode())
    write_pages(Pages((Image(pixels),)), path, encoding=Encoding(palette=True))
    assert read_image(path).depth == bits


def test_lossless(row: Format, tmp_path: Path) -> None:
    if not row.lossless:
        with pytest.raises(WriteError, match="always lossy"):
            written(row, tmp_path, Image(COLOURS), encoding=Encoding(lossless=True))
        return
    pixels = GREY if row.grey_only else COLOURS
    found = read_image(written(row, tmp_path, Image(pixels), encoding=Encoding(lossless=True)))
    assert (found.pixels == pixels).all()


def test_quality(row: Format, tmp_path: Path) -> None:
    sizes = []
    for quality in (30, 95):
        encoding = Encoding(quality, palette=True)
        path = written(row, tmp_path, Image(COLOURS), encoding=encoding)
        sizes.append(path.stat().st_size)
    assert (sizes[0] < sizes[1]) == row.lossy


def test_full_chroma(row: Format, tmp_path: Path) -> None:
    """Columns of red and blue do not become violet, as with halved chroma.

    Lossy WebP always halves it.
    """
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, ::2, 0] = pixels[:, 1::2, 2] = 255
    found = read_image(written(row, tmp_path, Image(pixels)))
    assert (np.abs(found.pixels.astype(int) - pixels).mean() < 12) == (row.name != "webp")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(row: Format, orientation: int, tmp_path: Path) -> None:
    """EXIF orientation is applied to the pixels once, and the result is marked as upright."""
    block = Pillow.Exif()
    block[ExifTags.Base.Orientation] = orientation
    source = Pillow.fromarray(COLOURS)
    source.save(tmp_path / "source.jpg", exif=block, quality=95, subsampling=0)
    image = read_image(tmp_path / "source.jpg")
    path = written(row, tmp_path, image)
    again = read_image(path)
    assert close(again, image.pixels)
    assert opened(path).getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert image.size == (SIZE if orientation < 5 else SIZE[::-1])


def test_palette_and_bits_come_back_as_colour_or_grey() -> None:
    assert from_pillow(Pillow.fromarray(COLOURS).quantize(16)).pixels.shape[2] == 3
    assert from_pillow(Pillow.fromarray(GREY[:, :, 0]).convert("P")).pixels.shape[2] == 1
    assert from_pillow(Pillow.fromarray(GREY[:, :, 0]).convert("1")).pixels.shape[2] == 1


def test_cmyk_becomes_srgb_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pyvips = sixteen_bit.available() or pytest.skip("needs a profile of pyvips")
    profile = pyvips.Image.profile_load("cmyk")
    inks = ImageCms.profileToProfile(
        Pillow.fromarray(COLOURS),
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        outputMode="CMYK",
    )
    assert inks is not None
    for name in ("a.jpg", "a.tif"):
        inks.save(tmp_path / name, icc_profile=profile, quality=100)
        with caplog.at_level(logging.WARNING, "srup"):
            image = read_image(tmp_path / name)
        assert "converted to sRGB through its profile" in caplog.text
        assert np.abs(image.pixels.astype(int) - COLOURS).mean() < 12
        assert (image.icc or b"")[16:20] == b"RGB "
        caplog.clear()
    Pillow.fromarray(COLOURS).convert("CMYK").save(tmp_path / "plain.tif")
    with caplog.at_level(logging.WARNING, "srup"):
        assert close(read_image(tmp_path / "plain.tif"), COLOURS)
    assert "without a profile" in caplog.text


def coded(primaries: int, transfer: int) -> bytes:
    """A PNG file that states its colour space as codes of H.273."""
    file = io.BytesIO()
    info = PngImagePlugin.PngInfo()
    info.add(b"cICP", bytes([primaries, transfer, 0, 1]))
    Pillow.fromarray(COLOURS).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_primaries_that_are_only_a_code_get_a_profile() -> None:
    """The profile made for Display P3 converts to the same sRGB as the one of libvips."""
    pyvips = sixteen_bit.available() or pytest.skip("needs a profile of pyvips")
    image = read_image(io.BytesIO(coded(12, 13)))
    assert image.icc is not None
    ours = colours.as_srgb(COLOURS, image.icc)
    theirs = colours.as_srgb(COLOURS, pyvips.Image.profile_load("p3"))
    assert ours is not None and theirs is not None
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert np.abs(ours.astype(int) - COLOURS).max() > 10
    assert read_image(io.BytesIO(coded(1, 13))).icc is None


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_dynamic_range_is_refused(transfer: int) -> None:
    with pytest.raises(ReadError, match="high dynamic range"):
        read_image(io.BytesIO(coded(9, transfer)))


def test_a_thumbnail_is_dropped_and_maker_notes_stay_where_they_were(tmp_path: Path) -> None:
    """In an EXIF block of a camera only the orientation, sizes and thumbnail change."""
    if not shutil.which("exiftool"):
        pytest.skip("needs exiftool")
    thumbnail = io.BytesIO()
    draw(16, 12).save(thumbnail, "JPEG")
    (tmp_path / "thumbnail.jpg").write_bytes(thumbnail.getvalue())
    Pillow.fromarray(COLOURS).save(tmp_path / "a.jpg")
    words = [
        "-Make=Canon",
        "-Artist=somebody",
        "-n",
        "-Orientation=3",
        f"-ThumbnailImage<={tmp_path}/thumbnail.jpg",
    ]
    subprocess.run(
        ["exiftool", "-q", "-overwrite_original", *words, str(tmp_path / "a.jpg")], check=True
    )
    before = Pillow.open(tmp_path / "a.jpg").info["exif"]
    after = read_image(tmp_path / "a.jpg").exif
    assert after is not None
    assert thumbnail.getvalue()[:50] in before
    assert len(after) < len(before) - len(thumbnail.getvalue()) + 8
    changed = [
        place for place, (old, new) in enumerate(zip(before, after, strict=False)) if old != new
    ]
    assert 1 <= len(changed) <= 4  # the orientation, and the pointer to the thumbnail's directory


def test_damaged_exif_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Pillow.fromarray(COLOURS).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    with caplog.at_level(logging.WARNING, "srup"):
        assert read_image(tmp_path / "a.jpg").exif is None
    assert "damaged" in caplog.text


@pytest.mark.parametrize("value", [1, 2, 9, 65_535])
def test_no_tag_of_the_structure_of_a_file_gets_into_another(value: int, tmp_path: Path) -> None:
    """EXIF may hold any tag of TIFF; in a TIFF file it would say how the pixels lie."""
    known = [
        tag for tag in TiffTags.TAGS_V2 if tag not in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
    ]
    block = exif_of_tags(*known, 32995, 37724, 50706, 50838, value=value)
    image = Image(COLOURS, exif=block)
    path = written(FORMATS["tiff"], tmp_path, image)
    found = read_image(path)
    assert (found.pixels == COLOURS).all()
    with Pillow.open(path) as with_exif:
        tags = set(with_exif.tag_v2)  # type: ignore[attr-defined]
    with Pillow.open(written(FORMATS["tiff"], tmp_path, Image(COLOURS))) as without:
        structure = set(without.tag_v2)  # type: ignore[attr-defined]
    assert structure < tags <= structure | tiff.CARRIED
    again = read_image(written(FORMATS["tiff"], tmp_path, found))
    assert again.exif == found.exif


def test_what_tiff_cannot_store_of_exif_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A date that is a number with a fraction, beside a rating; and a header of no TIFF."""
    date, rating = ExifTags.Base.DateTime, 18246
    number = exif_of_tags(date, rating).replace(
        struct.pack("<HH", date, 3), struct.pack("<HH", date, 11)
    )
    for block, kept in ((number, [rating]), (exif_of_tags(rating).replace(b"\x2a", b"\0"), [])):
        path = written(FORMATS["tiff"], tmp_path, Image(COLOURS, exif=block))
        tags = opened(path).tag_v2  # type: ignore[attr-defined]
        assert [tag for tag in tags if tag in tiff.CARRIED] == kept
        assert "damaged: left out" in caplog.text
        caplog.clear()


@pytest.mark.parametrize("name", ["ex_sampleformat", "ex_fillorder", "ex_tile"])
def test_files_whose_exif_broke_a_tiff(name: str, shared: Path, tmp_path: Path) -> None:
    if not (shared / "hostile").is_dir():
        pytest.skip(f"needs {shared / 'hostile'}")
    image = read_image(shared / "hostile" / f"{name}.jpg")
    assert (read_image(written(FORMATS["tiff"], tmp_path, image)).pixels == image.pixels).all()


def test_stripped(tmp_path: Path) -> None:
    image = Image(
        COLOURS, None, wide_gamut(), exif(), (300, 300), XMP, IPTC, (("Title", "A title"),)
    ).stripped()
    found = read_image(written(FORMATS["png"], tmp_path, image))
    assert (found.exif, found.xmp, found.iptc, found.text) == (None, None, None, ())
    assert found.icc == wide_gamut()
    assert found.dpi == pytest.approx((300, 300), abs=0.1)


def test_the_table_in_the_documents_is_that_of_the_formats() -> None:
    document = (Path(__file__).parents[2] / ".github/docs/formats.md").read_text()
    lines = dict(re.findall(r"^\| ([^|]+?) \| (.+?) \| `test_\w+` \|$", document, re.M))
    for label, has in TABLE.items():
        assert lines[label] == " | ".join("✓" if has(row) else "–" for row in FORMATS.values()), (
            label
        )


TABLE = {
    "colour profile": lambda row: "icc" in row.keeps,
    "EXIF": lambda row: "exif" in row.keeps,
    "XMP": lambda row: "xmp" in row.keeps,
    "IPTC": lambda row: "iptc" in row.keeps,
    "density": lambda row: "dpi" in row.keeps,
    "what made it": lambda row: "provenance" in row.keeps,
    "texts": lambda row: "text" in row.keeps,
    "transparency": lambda row: row.alpha,
    "16 bits": lambda row: row.sixteen_bit,
    "animation": lambda row: row.animated,
    "pages": lambda row: row.paged,
    "without loss": lambda row: row.lossless,
    "quality": lambda row: row.lossy,
}
