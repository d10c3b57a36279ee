"""Writes TIFF files of any number of pages with all their metadata.

Pillow or libvips encodes the pixels of each page, and their strips are copied behind a directory
that is written here: libvips stores no EXIF, and Pillow gives later pages wrong metadata and
guesses the types of tags.
"""

from __future__ import annotations

import io
import itertools
import logging
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image as Pillow
from PIL import TiffImagePlugin, TiffTags

from srup.errors import ImageError, WriteError
from srup.files import scratch
from srup.images import sixteen_bit
from srup.images.codec_errors import codec_errors
from srup.images.metadata import HEADER
from srup.images.pictures import pixels_to_pillow
from srup.images.values import Image, Pages

log = logging.getLogger(__name__)

BIG = 4_000_000_000  # bytes of pixels; above it offsets take 64 bits (BigTIFF)
STRIP = 1 << 20  # bytes
BITS = 258  # per sample
PREDICTOR, DIFFERENCES = 317, 2
ROWS, OFFSETS, STRIP_ROWS, LENGTHS, PAGE = 257, 273, 278, 279, 297
ICC, XMP, IPTC, RESOURCES, ACROSS, DOWN, UNIT, INCH = 34675, 700, 33723, 34377, 282, 283, 296, 2
EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
SIGNED = (0x9201, 0x9203, 0x9204)  # shutter speed, brightness, exposure bias
LONGS = (0xA002, 0xA003)  # pixel dimensions
TEXTS = (0x1B, 0x1C)  # of GPS: texts that begin with the name of their encoding
NAMED_TYPES = {XMP: TiffTags.BYTE, IPTC: TiffTags.UNDEFINED, ICC: TiffTags.UNDEFINED}
# The tags that say what a picture shows, who made it and how. No others are carried from one file
# to another: most say how the pixels of their own file lie (TIFF 6.0), or on which place of the
# earth they lie (GeoTIFF), which is untrue of the enlarged ones, and `Image` has fields for some.
CARRIED = frozenset(
    (
        11,  # software that processed the picture
        269,  # name of the document
        *range(270, 273),  # description, make and model of the camera
        285,  # name of the page
        305,  # software
        306,  # date
        *range(315, 317),  # artist, computer
        18246,  # rating
        18249,  # rating in percent
        33432,  # copyright
        33434,  # exposure time, and what else TIFF/EP keeps here and EXIF in a directory of its own
        33437,
        34850,
        34855,
        36867,
        36868,
        *range(37377, 37387),
        *range(37393, 37397),
        *range(40091, 40096),  # title, comment, author, keywords, subject of Windows
        50341,  # print image matching
    )
)

Directory = TiffImagePlugin.ImageFileDirectory_v2


def write(pages: Pages, path: Path) -> None:
    """Writes all pages to `path`, compressed without loss (deflate). Raises OSError."""
    big = sum(image.nbytes for image in pages.images) > BIG
    pixels = scratch(path)
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
    """The tags of a TIFF page that describe the picture, as an EXIF block.

    None if there are no such tags.
    """
    own, subs = _carried(opened.tag_v2, opened.getexif())
    return _block(own, subs) if own or subs else None


def portable(exif: bytes | None, xmp: bytes | None) -> bytes:
    """An EXIF block of the tags that may be in any TIFF file, XMP among them."""
    own, subs = _tags_of(exif) if exif else ({}, {})
    return _block({**own, XMP: xmp} if xmp else own, subs)


def _block(own: Mapping[int, Any], subs: Mapping[int, Mapping[int, Any]]) -> bytes:
    """Tags and the directories that belong to them as an EXIF block."""
    block = io.BytesIO(_header(False))
    place = _directories(block, own, subs, False)[0]
    data = block.getvalue()
    return HEADER + data[:4] + struct.pack("<L", place) + data[8:]


def first_strip(opened: TiffImagePlugin.TiffImageFile) -> BinaryIO:
    """A TIFF file of the first strip of a page alone, with the tags that a reader found."""
    assert opened.fp is not None
    tags: dict[int, Any] = {
        tag: value for tag, value in opened.tag_v2.items() if tag not in (EXIF, GPS)
    }
    offset, length = tags[OFFSETS][0], tags[LENGTHS][0]
    tags |= {ROWS: min(tags[ROWS], tags[STRIP_ROWS]), OFFSETS: (0,), LENGTHS: (length,)}
    types = {**opened.tag_v2.tagtype, OFFSETS: TiffTags.LONG, LENGTHS: TiffTags.LONG}
    file = io.BytesIO(_header(False))
    place, _ = _directories(file, tags, {}, False, types)
    opened.fp.seek(offset)
    file.write(opened.fp.read(length))
    file.seek(4)
    file.write(struct.pack("<L", place))
    file.seek(0)
    return file


def _header(big: bool) -> bytes:
    """The first bytes of a file; the offset of the first directory, at the end, is still 0."""
    return b"II\x2b\0\x08\0\0\0" + bytes(8) if big else b"II\x2a\0" + bytes(4)


def _encode(image: Image, path: Path, big: bool) -> None:
    """Writes a TIFF file of one page without metadata: deflated strips, horizontal predictor."""
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
        # libtiff takes names in UTF-8 alone, and so gets a file without one
        with path.open("w+b") as file, os.fdopen(file.fileno(), "w+b", closefd=False) as nameless:
            options["compression"] = "tiff_adobe_deflate"
            pixels_to_pillow(image).save(nameless, "TIFF", **options)


def _append(
    target: BinaryIO, pixels: Path, image: Image, page: tuple[int, int], pointer: int, big: bool
) -> int:
    """Appends a page to `target` and writes its offset at `pointer`, in the page before.

    `pixels` is a TIFF file of the page alone, `page` (its number, how many there are). Returns the
    place for the offset of the next page.
    """
    with pixels.open("rb") as source:
        theirs = Directory(source.read(16 if big else 8))
        source.seek(theirs.next)
        theirs.load(source)
        lengths = theirs[LENGTHS]
        own, subs = _tags(image)
        for tag, value in theirs.items():
            if tag not in (ACROSS, DOWN, UNIT):
                own[tag] = value
        # Counted from the end of the directory: Pillow adds that when it writes the directory.
        own[OFFSETS] = tuple(itertools.accumulate((0, *lengths[:-1])))
        if page[1] > 1:
            own[PAGE] = page
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
    """Appends a directory, after those of EXIF and GPS that it points to.

    Returns its place, and the place for the offset of the next one.
    """
    pointers = {}
    for tag, values in subs.items():
        # Interoperability is an offset to a directory of its own, which is not copied.
        kept = {key: value for key, value in values.items() if key != INTEROPERABILITY}
        pointers[tag] = _even_end(target)
        target.write(_directory(kept, _types(tag, kept), big).tobytes(pointers[tag]))
    place = _even_end(target)
    directory = _directory({**own, **pointers}, {**NAMED_TYPES, **(types or {})}, big)
    target.write(directory.tobytes(place))
    entries = 8 + 20 * len(directory) if big else 2 + 12 * len(directory)
    return place, place + entries


def _even_end(target: BinaryIO) -> int:
    """The end of a file, padded to an even place: there TIFF wants its directories to begin."""
    end = target.seek(0, io.SEEK_END)
    target.write(bytes(end % 2))
    return end + end % 2


def _directory(values: Mapping[int, Any], types: Mapping[int, int], big: bool) -> Directory:
    """A directory of tags with these `types`, where Pillow shall not guess."""
    directory = Directory(_header(big))
    for tag, value in values.items():
        if isinstance(value, str):
            # Pillow decodes texts as Latin-1 but encodes them as ASCII, which would lose accents.
            directory[tag] = value.encode("latin-1", "replace")
            directory.tagtype[tag] = TiffTags.ASCII
        else:
            directory[tag] = value
        if tag in types:
            directory.tagtype[tag] = types[tag]
    return directory


def _types(group: int, values: Mapping[int, Any]) -> dict[int, int]:
    """The types that the EXIF standard demands, for tags of which Pillow would guess another."""
    types = {}
    for tag, value in values.items():
        if isinstance(value, bytes):
            binary = group != GPS or tag in TEXTS
            types[tag] = TiffTags.UNDEFINED if binary else TiffTags.BYTE
    if group == EXIF:
        types |= dict.fromkeys(SIGNED, TiffTags.SIGNED_RATIONAL)
        types |= dict.fromkeys(LONGS, TiffTags.LONG)
    return types


def _tags(image: Image) -> tuple[dict[int, Any], dict[int, dict[int, Any]]]:
    """The metadata of a page as TIFF tags, and the EXIF and GPS directories that belong to it."""
    own: dict[int, Any] = {}
    subs: dict[int, dict[int, Any]] = {}
    if image.exif:
        own, subs = _tags_of(image.exif)
    for tag, value in ((ICC, image.icc), (XMP, image.xmp), (IPTC, image.iptc)):
        if value:
            own[tag] = value
    if image.dpi:
        own |= {ACROSS: image.dpi[0], DOWN: image.dpi[1], UNIT: INCH}
    return own, subs


def _tags_of(block: bytes) -> tuple[dict[int, Any], dict[int, dict[int, Any]]]:
    """What is carried of an EXIF block; nothing, with a warning, if it is damaged."""
    exif = Pillow.Exif()
    try:
        with codec_errors(WriteError, "EXIF"):
            exif.load(HEADER + block.removeprefix(HEADER))
            return _carried(exif, exif)
    except (ImageError, OSError):
        log.warning("the EXIF data is damaged: left out")
        return {}, {}


def _carried(
    tags: Mapping[int, Any], exif: Pillow.Exif
) -> tuple[dict[int, Any], dict[int, dict[int, Any]]]:
    """Those of `tags` that may be in any file, and the directories of EXIF and GPS."""
    own = _storable({tag: value for tag, value in tags.items() if tag in CARRIED}, {})
    subs = {}
    for tag in (EXIF, GPS):
        if tag in exif:
            values = dict(exif.get_ifd(tag))
            subs[tag] = _storable(values, _types(tag, values))
    return own, subs


def _storable(values: Mapping[int, Any], types: Mapping[int, int]) -> dict[int, Any]:
    """The values that can be written as TIFF tags. Others are damaged, and left out."""
    kept = {}
    for tag, value in values.items():
        try:
            with codec_errors(WriteError, f"tag {tag}"):
                _directory({tag: value}, types, False).tobytes(0)
        except (ImageError, OSError) as error:
            log.warning("the EXIF data is damaged: left out what cannot be stored: %s", error)
        else:
            kept[tag] = value
    return kept
