"""TIFF files of any number of pages: each page's pixels by Pillow or libvips, its directory by us,
with all that it came with.

What encoders keep of metadata differs (libvips no EXIF, Pillow none that holds on later pages, and
types of its own guess), so they write pixels alone, and their strips are copied behind directories
that say everything.
"""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image as Pillow
from PIL import TiffImagePlugin, TiffTags

from srup.images import sixteen_bit
from srup.images.metadata import HEADER
from srup.images.pictures import pixels_to_pillow
from srup.images.values import Image, Pages

BIG = 4_000_000_000  # bytes of pixels from which on offsets need 64 bits
STRIP = 1 << 20  # bytes
BITS = 258  # per sample
PREDICTOR, DIFFERENCES = 317, 2
OFFSETS, LENGTHS, PAGE = 273, 279, 297
ICC, XMP, IPTC, RESOURCES, ACROSS, DOWN, UNIT, INCH = 34675, 700, 33723, 34377, 282, 283, 296, 2
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
SIGNED = (0x9201, 0x9203, 0x9204)  # shutter speed, brightness, exposure bias
LONGS = (0xA002, 0xA003)  # pixel dimensions
TEXTS = (0x1B, 0x1C)  # of GPS, with their encoding in front
NAMED_TYPES = {XMP: TiffTags.BYTE, IPTC: TiffTags.UNDEFINED, ICC: TiffTags.UNDEFINED}
STRUCTURE = frozenset(  # tags that say how the pixels of a file lie, not what they are
    (
        *(
            *range(254, 260),
            *range(262, 267),
            273,
            274,
            *range(277, 285),
            *range(288, 294),
            UNIT,
            297,
            301,
            317,
        ),
        *(
            *range(320, 326),
            330,
            *range(338, 344),
            347,
            *range(512, 522),
            *range(529, 533),
            XMP,
            IPTC,
            RESOURCES,
            ICC,
            37724,
        ),
    )
)

Directory = TiffImagePlugin.ImageFileDirectory_v2


def write(pages: Pages, path: Path) -> None:
    """Every page, deflated."""
    big = sum(image.nbytes for image in pages.images) > BIG
    pixels = path.with_name(f"{path.name}.pixels.tif")
    try:
        with path.open("w+b") as target:
            target.write(_header(big))
            pointer = target.tell() - (8 if big else 4)
            for number, image in enumerate(pages.images):
                _encode(image, pixels, big)
                pointer = _append(target, pixels, image, (number, len(pages)), pointer, big)
    finally:
        pixels.unlink(missing_ok=True)


def exif_of(opened: TiffImagePlugin.TiffImageFile) -> bytes | None:
    """What a TIFF file's directory says beside how its pixels lie, as an EXIF block."""
    exif = opened.getexif()
    own = {
        tag: value
        for tag, value in opened.tag_v2.items()
        if tag not in STRUCTURE and tag not in (EXIF, GPS)
    }
    subs = {tag: dict(exif.get_ifd(tag)) for tag in (EXIF, GPS) if tag in exif}
    if not own and not subs:
        return None
    block = io.BytesIO(_header(False))
    place = _directories(block, own, subs, False)[0]
    return HEADER + block.getvalue()[:4] + struct.pack("<L", place) + block.getvalue()[8:]


def _header(big: bool) -> bytes:
    return b"II\x2b\0\x08\0\0\0" + bytes(8) if big else b"II\x2a\0" + bytes(4)


def _encode(image: Image, path: Path, big: bool) -> None:
    if sixteen_bit.needed(image):
        sixteen_bit.write(
            image, path, compression="deflate", predictor="horizontal", bigtiff=big, tile=False
        )
    else:
        options: dict[str, Any] = {
            "tiffinfo": {PREDICTOR: DIFFERENCES},
            "strip_size": STRIP,
            "big_tiff": big,
        }
        pixels_to_pillow(image).save(path, "TIFF", compression="tiff_adobe_deflate", **options)


def _append(
    target: BinaryIO, pixels: Path, image: Image, page: tuple[int, int], pointer: int, big: bool
) -> int:
    """A page behind what there is, pointed to from `pointer`; the place of the pointer to the next
    one.
    """
    with pixels.open("rb") as source:
        theirs = Directory(source.read(16 if big else 8))
        source.seek(theirs.next)
        theirs.load(source)
        lengths = theirs[LENGTHS]
        starts = tuple(itertools.accumulate((0, *lengths[:-1])))  # from the end of the directory on
        own, subs = _tags(image)
        own |= {tag: value for tag, value in theirs.items() if tag not in (ACROSS, DOWN, UNIT)} | {
            OFFSETS: starts
        }
        own |= {PAGE: page} if page[1] > 1 else {}
        types = {**theirs.tagtype, OFFSETS: TiffTags.LONG8 if big else TiffTags.LONG}
        place, following = _directories(target, own, subs, big, types)
        for offset, length in zip(theirs[OFFSETS], lengths, strict=True):
            source.seek(offset)
            target.write(source.read(length))
    target.seek(pointer)
    target.write(struct.pack("<Q" if big else "<L", place))
    return following


def _directories(
    target: BinaryIO,
    own: Mapping[int, Any],
    subs: Mapping[int, Mapping[int, Any]],
    big: bool,
    types: Mapping[int, int] | None = None,
) -> tuple[int, int]:
    """Writes a directory behind those it points to; where it stands, and where the pointer to the
    next one does.
    """
    pointers = {}
    for tag, values in subs.items():
        kept = {key: value for key, value in values.items() if key != INTEROPERABILITY}
        pointers[tag] = target.seek(0, 2) + target.tell() % 2
        target.write(bytes(target.tell() % 2))
        target.write(_directory(kept, _types(tag, kept), big).tobytes(pointers[tag]))
    place = target.seek(0, 2) + target.tell() % 2
    target.write(bytes(target.tell() % 2))
    directory = _directory({**own, **pointers}, {**NAMED_TYPES, **(types or {})}, big)
    target.write(directory.tobytes(place))
    return place, place + (8 + 20 * len(directory) if big else 2 + 12 * len(directory))


def _directory(values: Mapping[int, Any], types: Mapping[int, int], big: bool) -> Directory:
    directory = Directory(_header(big))
    for tag, value in values.items():
        directory[tag] = (
            value.encode("latin-1", "replace") if isinstance(value, str) else value
        )  # as Pillow decodes them
        if isinstance(value, str):
            directory.tagtype[tag] = TiffTags.ASCII
        if tag in types:
            directory.tagtype[tag] = types[tag]
    return directory


def _types(group: int, values: Mapping[int, Any]) -> dict[int, int]:
    """The types that the EXIF standard wants, where Pillow would guess another."""
    if group == GPS:
        return {
            tag: TiffTags.UNDEFINED if tag in TEXTS else TiffTags.BYTE
            for tag, value in values.items()
            if isinstance(value, bytes)
        }
    undefined = {
        tag: TiffTags.UNDEFINED for tag, value in values.items() if isinstance(value, bytes)
    }
    return (
        undefined
        | dict.fromkeys(SIGNED, TiffTags.SIGNED_RATIONAL)
        | dict.fromkeys(LONGS, TiffTags.LONG)
    )


def _tags(image: Image) -> tuple[dict[int, Any], dict[int, dict[int, Any]]]:
    """What a page came with, as tags; and those of its EXIF and GPS directories."""
    own: dict[int, Any] = {}
    subs: dict[int, dict[int, Any]] = {}
    if image.exif:
        exif = Pillow.Exif()
        exif.load(HEADER + image.exif.removeprefix(HEADER))
        own = {tag: value for tag, value in exif.items() if tag not in (EXIF, GPS)}
        subs = {tag: dict(exif.get_ifd(tag)) for tag in (EXIF, GPS) if tag in exif}
    carried = {ICC: image.icc, XMP: image.xmp, IPTC: image.iptc}
    own |= {tag: value for tag, value in carried.items() if value}
    if image.dpi:
        own |= {ACROSS: image.dpi[0], DOWN: image.dpi[1], UNIT: INCH}
    return own, subs
