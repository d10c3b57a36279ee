"""TIFF files of any number of pages: each page's pixels by Pillow or libvips, its directory by us, with all that it came with.

What encoders keep of metadata differs (libvips no EXIF, Pillow none that holds on later pages), so they write pixels alone, and
their strips are copied behind a directory that says everything.
"""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image as Pillow
from PIL import TiffImagePlugin, TiffTags

from srup.images import deep
from srup.images.metadata import HEADER
from srup.images.pictures import picture
from srup.images.values import Image, Pages

BIG = 4_000_000_000  # bytes of pixels from which on offsets need 64 bits
STRIP = 1 << 20  # bytes
PREDICTOR, DIFFERENCES = 317, 2
OFFSETS, LENGTHS, PAGE = 273, 279, 297
ICC, XMP, IPTC, ACROSS, DOWN, UNIT, INCH = 34675, 700, 33723, 282, 283, 296, 2
SUB_DIRECTORIES, INTEROPERABILITY = (0x8769, 0x8825), 0xA005  # EXIF and GPS


def write(pages: Pages, path: Path) -> None:
    """Every page, deflated."""
    big = sum(image.nbytes for image in pages.images) > BIG
    pixels = path.with_name(f"{path.name}.pixels.tif")
    try:
        with path.open("w+b") as target:
            target.write(b"II\x2b\0\x08\0\0\0" + bytes(8) if big else b"II\x2a\0" + bytes(4))
            pointer = target.tell() - (8 if big else 4)
            for number, image in enumerate(pages.images):
                _encode(image, pixels, big)
                pointer = _append(target, pixels, _tags(image, (number, len(pages))), pointer, big)
    finally:
        pixels.unlink(missing_ok=True)


def _encode(image: Image, path: Path, big: bool) -> None:
    if deep.needed(image):
        deep.write(image, path, compression="deflate", predictor="horizontal", bigtiff=big, tile=False)
    else:
        options: dict[str, Any] = {"tiffinfo": {PREDICTOR: DIFFERENCES}, "strip_size": STRIP, "big_tiff": big}
        picture(image).save(path, "TIFF", compression="tiff_adobe_deflate", **options)


def _append(target: BinaryIO, pixels: Path, tags: dict[int, Any], pointer: int, big: bool) -> int:
    """A page behind what there is, pointed to from `pointer`; the place of the pointer to the next one."""
    with Pillow.open(pixels) as opened, pixels.open("rb") as source:
        assert isinstance(opened, TiffImagePlugin.TiffImageFile)
        theirs = opened.tag_v2
        directory = TiffImagePlugin.ImageFileDirectory_v2(b"II\x2b\0\x08\0\0\0" + bytes(8) if big else b"II\x2a\0" + bytes(4))
        for tag, value in [*theirs.items(), *tags.items()]:
            directory[tag] = value
        for tag in theirs:
            directory.tagtype[tag] = theirs.tagtype[tag]
        for tag in (XMP, IPTC, ICC):
            directory.tagtype[tag] = TiffTags.BYTE if tag == XMP else TiffTags.UNDEFINED
        lengths = theirs[LENGTHS]
        directory[OFFSETS] = tuple(itertools.accumulate((0, *lengths[:-1])))  # from the end of the directory on
        directory.tagtype[OFFSETS] = TiffTags.LONG8 if big else TiffTags.LONG
        place = target.seek(0, 2)
        target.write(directory.tobytes(place))
        for offset, length in zip(theirs[OFFSETS], lengths, strict=True):
            source.seek(offset)
            target.write(source.read(length))
    target.write(bytes(target.tell() % 2))
    target.seek(pointer)
    target.write(struct.pack("<Q" if big else "<L", place))
    return place + (8 + 20 * len(directory) if big else 2 + 12 * len(directory))


def _tags(image: Image, page: tuple[int, int]) -> dict[int, Any]:
    """What a page came with, as tags."""
    found: dict[int, Any] = {}
    if image.exif:
        exif = Pillow.Exif()
        exif.load(HEADER + image.exif.removeprefix(HEADER))
        found = dict(exif)
        for tag in SUB_DIRECTORIES:
            if tag in exif:
                found[tag] = {key: value for key, value in exif.get_ifd(tag).items() if key != INTEROPERABILITY}
    carried = {ICC: image.icc, XMP: image.xmp, IPTC: image.iptc}
    found |= {tag: value for tag, value in carried.items() if value}
    if image.dpi:
        found |= {ACROSS: image.dpi[0], DOWN: image.dpi[1], UNIT: INCH}
    return found | {PAGE: page} if page[1] > 1 else found
