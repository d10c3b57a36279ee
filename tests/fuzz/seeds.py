"""Small files of every format that srup reads, made by code, with all that may come with a picture.

Fuzzing changes them. Formats whose plugins are not installed are left out.
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, PngImagePlugin

from srup.errors import EngineUnavailable
from srup.images import Image, Pages, metadata, write_pages
from srup.images.formats import FORMATS, plug_in
from tests.data.draw import draw

WIDTH, HEIGHT = 24, 16
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7  # types of TIFF
MAKER, ORIENTATION, ACROSS, DATE, EXIF, GPS = 271, 274, 282, 306, 0x8769, 0x8825

Entries = Mapping[int, tuple[int, int, bytes]]  # tag → type, count and value


@functools.cache
def picture() -> Pillow.Image:
    return draw(WIDTH, HEIGHT)


@functools.cache
def cutout() -> Pillow.Image:
    """The picture with transparency."""
    alpha = np.linspace(0, 255, WIDTH * HEIGHT).astype(np.uint8).reshape(HEIGHT, WIDTH)
    return Pillow.fromarray(np.dstack([np.asarray(picture()), alpha]))


def directory(entries: Entries, at: int, following: int = 0) -> bytes:
    """A little-endian TIFF directory for the place `at`, with the long values behind it."""
    beyond = at + 2 + 12 * len(entries) + 4
    rows, values = b"", b""
    for tag, (kind, count, value) in sorted(entries.items()):
        if len(value) > 4:
            place, value = struct.pack("<L", beyond + len(values)), value + bytes(len(value) % 2)
            values, value = values + value, place
        rows += struct.pack("<HHL", tag, kind, count) + value.ljust(4, b"\0")
    return struct.pack("<H", len(entries)) + rows + struct.pack("<L", following) + values


@functools.cache
def exif() -> bytes:
    """An EXIF block with a camera, a maker note, a place on earth and a thumbnail."""
    block = b"II*\0" + bytes(4)
    places = {}
    camera = {
        0x829A: (RATIONAL, 1, struct.pack("<LL", 1, 60)),
        0x9000: (UNDEFINED, 4, b"0232"),
        0x927C: (UNDEFINED, 40, b"Maker\0" + bytes(range(34))),
        0xA002: (LONG, 1, struct.pack("<L", WIDTH)),
        0xA003: (LONG, 1, struct.pack("<L", HEIGHT)),
    }
    north = {1: (ASCII, 2, b"N\0"), 2: (RATIONAL, 3, struct.pack("<6L", 48, 1, 12, 1, 0, 1))}
    for tag, entries in ((EXIF, camera), (GPS, north)):
        places[tag] = (LONG, 1, struct.pack("<L", len(block)))
        block += directory(entries, len(block))
    second, data = len(block), thumbnail()
    shape = {513: (LONG, 1, bytes(4)), 514: (LONG, 1, struct.pack("<L", len(data)))}
    shape[513] = (LONG, 1, struct.pack("<L", second + len(directory(shape, second))))
    block += directory(shape, second) + data
    block += bytes(len(block) % 2)
    main = {
        MAKER: (ASCII, 6, b"Maker\0"),
        ORIENTATION: (SHORT, 1, struct.pack("<H", 6)),
        ACROSS: (RATIONAL, 1, struct.pack("<LL", 300, 1)),
        DATE: (ASCII, 20, b"2024:05:06 07:08:09\0"),
        **places,
    }
    whole = block + directory(main, len(block), second)
    return b"Exif\0\0" + whole[:4] + struct.pack("<L", len(block)) + whole[8:]


@functools.cache
def thumbnail() -> bytes:
    return saved(picture().resize((8, 6)), "JPEG", quality=30)


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-\
syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" \
tiff:ImageWidth="24"><xmp:Thumbnails>AAAA</xmp:Thumbnails><exif:PixelXDimension>24\
</exif:PixelXDimension></rdf:Description></rdf:RDF></x:xmpmeta>"""
IPTC = b"\x1c\x02\x78\x00\x07caption" + b"\x1c\x02\x19\x00\x04srup"


@functools.cache
def icc() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


BLOCKS: dict[str, Callable[[], bytes]] = {
    "exif": exif,
    "xmp": lambda: XMP,
    "icc": icc,
    "iptc": lambda: IPTC,
}


def saved(image: Pillow.Image, kind: str, **options: Any) -> bytes:
    """The file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def written(pages: Pages, extension: str) -> bytes:
    """The file that srup writes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"a{extension}"
        write_pages(pages, path)
        return path.read_bytes()


def full(depth: int = 8, *, alpha: bool = False) -> Image:
    """The picture with all metadata, as srup holds it."""
    planes = np.asarray(cutout()).astype(np.uint16) * 257 if depth == 16 else np.asarray(cutout())
    text = (("Title", "a title"), ("Comment", "ein Bildchen – mit Strich"))
    return Image(
        planes[:, :, :3],
        planes[:, :, 3] if alpha else None,
        icc=icc(),
        exif=metadata.upright(exif()),
        dpi=(300, 300),
        xmp=XMP,
        iptc=IPTC,
        text=text,
    )


def frames() -> list[Pillow.Image]:
    turned = cutout().transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    return [cutout(), turned, cutout().crop((3, 2, WIDTH, HEIGHT)).resize((WIDTH, HEIGHT))]


def animation(kind: str, **options: Any) -> bytes:
    first, *others = frames()
    return saved(
        first, kind, save_all=True, append_images=others, duration=[40, 80, 120], loop=2, **options
    )


def _png() -> dict[str, bytes]:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a title")
    info.add_text("Comment", "compressed " * 20, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode())
    block = metadata.resources(IPTC)
    info.add_text("Raw profile type iptc", f"\niptc\n{len(block):8}\n{block.hex()}\n", zip=True)
    tagged = {"pnginfo": info, "exif": exif(), "icc_profile": icc(), "dpi": (300, 300)}
    grey = picture().convert("L")
    return {
        "full": saved(picture(), "PNG", **tagged),
        "alpha": saved(cutout(), "PNG"),
        "grey": saved(grey, "PNG"),
        "bit": saved(grey.convert("1"), "PNG"),
        "palette": saved(cutout().quantize(16), "PNG"),
        "transparent colour": saved(picture(), "PNG", transparency=(90, 140, 215)),
        "grey of 16 bits": saved(Pillow.fromarray(np.asarray(grey).astype(np.uint16)), "PNG"),
        "16 bits": written(Pages((full(16),)), ".png"),
        "16 bits and alpha": written(Pages((full(16, alpha=True),)), ".png"),
        "frames": animation("PNG"),
        "frames behind a picture": animation("PNG", default_image=True),
    }


def _jpeg() -> dict[str, bytes]:
    segment = b"Photoshop 3.0\0" + metadata.resources(IPTC)
    tagged = {
        "exif": exif(),
        "xmp": XMP,
        "icc_profile": icc(),
        "dpi": (300, 300),
        "comment": b"a comment",
        "extra": b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment,
    }
    others = [picture().resize((8, 8))]
    return {
        "full": saved(picture(), "JPEG", **tagged),
        "progressive": saved(picture(), "JPEG", progressive=True, subsampling=0),
        "restarting": saved(picture(), "JPEG", restart_marker_blocks=1),
        "grey": saved(picture().convert("L"), "JPEG", exif=exif()),
        "cmyk": saved(picture().convert("CMYK"), "JPEG"),
        "several": saved(picture(), "MPO", save_all=True, append_images=others, exif=exif()),
    }


def _webp() -> dict[str, bytes]:
    tagged = {"exif": exif(), "xmp": XMP, "icc_profile": icc()}
    return {
        "full": saved(picture(), "WEBP", **tagged),
        "lossless": saved(cutout(), "WEBP", lossless=True, exif=exif()),
        "alpha": saved(cutout(), "WEBP"),
        "frames": animation("WEBP"),
        "frames without loss": animation("WEBP", lossless=True, **tagged),
    }


def _tiff() -> dict[str, bytes]:
    grey, bit = picture().convert("L"), picture().convert("1")
    two = [picture().resize((9, 7)), grey]
    small = full()
    pages = Pages((small, Image(small.pixels[:5], exif=small.exif)))
    return {
        "plain": saved(picture(), "TIFF"),
        "full": written(pages, ".tif"),
        "16 bits": written(Pages((full(16),)), ".tif"),
        "16 bits and alpha": written(Pages((full(16, alpha=True),)), ".tif"),
        "alpha": saved(cutout(), "TIFF", compression="tiff_lzw"),
        "palette": saved(picture().quantize(16), "TIFF", compression="packbits"),
        "fax": saved(bit, "TIFF", compression="group4"),
        "bit": saved(bit, "TIFF", compression="group3"),
        "cmyk": saved(picture().convert("CMYK"), "TIFF", compression="tiff_adobe_deflate"),
        "jpeg": saved(picture(), "TIFF", compression="jpeg"),
        "pages": saved(picture(), "TIFF", save_all=True, append_images=two),
        "big": saved(picture(), "TIFF", big_tiff=True, compression="tiff_lzw"),
        "large numbers": saved(Pillow.fromarray(np.asarray(grey).astype(np.int32)), "TIFF"),
        "tags": saved(picture(), "TIFF", tiffinfo={700: XMP, 33723: IPTC}, icc_profile=icc()),
        "most significant first": _most_significant_first(),
    }


def _most_significant_first() -> bytes:
    """A big-endian TIFF file of grey pixels, not compressed."""
    grey = np.asarray(picture().convert("L")).tobytes()
    tags = ((256, WIDTH), (257, HEIGHT), (258, 8), (259, 1), (262, 1), (273, 122), (277, 1))
    entries = [(*tag, SHORT) for tag in (*tags, (278, HEIGHT))] + [(279, len(grey), LONG)]
    rows = b""
    for tag, value, kind in entries:
        number = struct.pack(">HH", value, 0) if kind == SHORT else struct.pack(">L", value)
        rows += struct.pack(">HHL", tag, kind, 1) + number
    head = b"MM\0*" + struct.pack(">LH", 8, len(entries)) + rows + bytes(4)
    return head + grey


def _bmp() -> dict[str, bytes]:
    made = {"plain": saved(picture(), "BMP", dpi=(300, 300)), "alpha": saved(cutout(), "BMP")}
    made["palette"] = saved(picture().quantize(16), "BMP")
    made["bit"] = saved(picture().convert("1"), "BMP")
    made["runs"] = _runs()
    return made


def _runs() -> bytes:
    """A BMP file of 8 bits, compressed by runs (RLE8)."""
    palette = b"".join(bytes((level, level, level, 0)) for level in range(256))
    rows = b"".join(bytes((WIDTH, 10 * row, 0, 0)) for row in range(HEIGHT)) + b"\0\1"
    begin = 14 + 40 + len(palette)
    info = struct.pack("<LllHHLLllLL", 40, WIDTH, HEIGHT, 1, 8, 1, len(rows), 0, 0, 256, 0)
    return b"BM" + struct.pack("<LLL", begin + len(rows), 0, begin) + info + palette + rows


def _gif() -> dict[str, bytes]:
    return {
        "plain": saved(picture(), "GIF", comment=b"a comment"),
        "grey": saved(picture().convert("L"), "GIF", interlace=1),
        "frames": animation("GIF", disposal=2),
        "frames that add": animation("GIF", disposal=1, optimize=True),
    }


def _avif() -> dict[str, bytes]:
    fast = {"speed": 10, "quality": 50}
    tagged = {"exif": exif(), "xmp": XMP, "icc_profile": icc()}
    return {
        "full": saved(picture(), "AVIF", **fast, **tagged),
        "alpha": saved(cutout(), "AVIF", **fast),
        "frames": animation("AVIF", **fast),
    }


def _ppm() -> dict[str, bytes]:
    grey = picture().convert("L")
    digits = b" ".join(b"%d" % value for value in grey.tobytes())
    size = b"%d %d" % (WIDTH, HEIGHT)
    floats = np.asarray(grey).astype("<f4").tobytes()
    return {
        "colours": saved(picture(), "PPM"),
        "grey": saved(grey, "PPM"),
        "bits": saved(picture().convert("1"), "PPM"),
        "16 bits": saved(Pillow.fromarray(np.asarray(grey).astype(np.uint16)), "PPM"),
        "digits": b"P2\n# a comment\n" + size + b"\n255\n" + digits + b"\n",
        "binary digits": b"P1\n" + size + b"\n" + b"10" * (WIDTH * HEIGHT // 2),
        "maximum": b"P5 " + size + b" 1023\n" + bytes(WIDTH * HEIGHT * 2),
        "floats": b"Pf\n" + size + b"\n-1.0\n" + floats,
    }


def _heif() -> dict[str, bytes]:
    plug_in("pillow_heif", "heif")
    tagged = {"exif": exif(), "xmp": XMP, "icc_profile": icc()}
    others = [picture().resize((32, 32))]
    return {
        "full": saved(picture(), "HEIF", quality=50, **tagged),
        "alpha": saved(cutout(), "HEIF", quality=50),
        "several": saved(picture(), "HEIF", quality=50, save_all=True, append_images=others),
    }


def _jxl() -> dict[str, bytes]:
    plug_in("pillow_jxl", "jxl")
    return {
        "full": saved(picture(), "JXL", exif=exif(), xmp=XMP),
        "plain": saved(picture(), "JXL", lossless=True),
        "alpha": saved(cutout(), "JXL"),
        "grey": saved(picture().convert("L"), "JXL"),
        "of a JPEG file": saved(Pillow.open(io.BytesIO(_jpeg()["grey"])), "JXL"),
    }


MADE: dict[str, Callable[[], dict[str, bytes]]] = {  # Pillow's name of a format → its files
    "PNG": _png,
    "JPEG": _jpeg,
    "WEBP": _webp,
    "TIFF": _tiff,
    "BMP": _bmp,
    "GIF": _gif,
    "AVIF": _avif,
    "PPM": _ppm,
    "HEIF": _heif,
    "JXL": _jxl,
}


@functools.cache
def files() -> dict[str, dict[str, bytes]]:
    """The files of each format, by what is in them."""
    made = {}
    for name, make in MADE.items():
        with suppress(EngineUnavailable):
            made[name] = make()
    return made


@functools.cache
def writable() -> tuple[str, ...]:
    """The extensions that can be written here."""
    found = []
    for row in FORMATS.values():
        with suppress(EngineUnavailable):
            if row.module:
                plug_in(row.module, row.extra)
            found.append(row.extensions[0])
    return tuple(found)
