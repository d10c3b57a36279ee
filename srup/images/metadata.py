"""EXIF, XMP and IPTC blocks: kept as they are, but for what enlarging makes untrue.

An EXIF block is changed where it lies. Written anew, what cameras put into it with offsets of their
own (maker notes) would break.
"""

from __future__ import annotations

import logging
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

log = logging.getLogger(__name__)

HEADER = b"Exif\0\0"
SHORT, LONG, RATIONAL = 3, 4, 5  # TIFF types
WIDTH, HEIGHT, ORIENTATION, ACROSS, DOWN, UNIT = 0x100, 0x101, 0x112, 0x11A, 0x11B, 0x128
SUB, PIXELS_ACROSS, PIXELS_DOWN = 0x8769, 0xA002, 0xA003
THUMBNAIL, THUMBNAIL_LENGTH = 0x201, 0x202
INCH = 2


@dataclass(frozen=True)
class _Entry:
    tag: int
    type: int
    count: int
    place: int  # of its twelve bytes


class _Block:
    """A TIFF structure whose entries can be overwritten."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.order = {b"II": "<", b"MM": ">"}[data[:2]]

    def read(self, code: str, place: int) -> int:
        return int(struct.unpack_from(self.order + code, self.data, place)[0])

    def write(self, code: str, place: int, *values: int) -> None:
        struct.pack_into(self.order + code, self.data, place, *values)

    def entries(self, directory: int) -> Iterator[_Entry]:
        for place in range(directory + 2, directory + 2 + 12 * self.read("H", directory), 12):
            yield _Entry(
                self.read("H", place), self.read("H", place + 2), self.read("L", place + 4), place
            )

    def next(self, directory: int) -> int:
        """The place where the offset of the next directory stands."""
        return directory + 2 + 12 * self.read("H", directory)

    def number(self, entry: _Entry) -> int:
        return self.read("H" if entry.type == SHORT else "L", entry.place + 8)

    def put(self, entry: _Entry, value: int) -> None:
        """A whole number into an entry, as LONG where SHORT is too short."""
        kind = SHORT if entry.type == SHORT and value < 1 << 16 else LONG
        self.write("HL", entry.place + 2, kind, 1)
        self.write("L", entry.place + 8, 0)
        self.write("H" if kind == SHORT else "L", entry.place + 8, value)

    def put_ratio(self, entry: _Entry, value: float) -> None:
        if entry.type == RATIONAL:
            self.write("LL", self.read("L", entry.place + 8), round(value * 1000), 1000)


def upright(exif: bytes) -> bytes | None:
    """The block with its orientation reset and without its thumbnail; None, with a warning, if it
    is damaged.
    """

    def change(block: _Block, directory: int) -> None:
        for entry in block.entries(directory):
            if entry.tag == ORIENTATION:
                block.put(entry, 1)
        _cut_thumbnail(block, directory)

    return _changed(exif, change)


def sized(exif: bytes, size: tuple[int, int], dpi: tuple[float, float] | None) -> bytes | None:
    """The block with pixel dimensions and density as they are now, where it states them."""
    values = {WIDTH: size[0], PIXELS_ACROSS: size[0], HEIGHT: size[1], PIXELS_DOWN: size[1]}

    def change(block: _Block, directory: int) -> None:
        for entry in list(block.entries(directory)):
            if entry.tag in values:
                block.put(entry, values[entry.tag])
            elif entry.tag == SUB:
                change(block, block.number(entry))
            elif dpi and entry.tag in (ACROSS, DOWN):
                block.put_ratio(entry, dpi[entry.tag == DOWN])
            elif dpi and entry.tag == UNIT:
                block.put(entry, INCH)

    return _changed(exif, change)


def _changed(exif: bytes, change: object) -> bytes | None:
    assert callable(change)
    try:
        block = _Block(exif.removeprefix(HEADER))
        change(block, block.read("L", 4))
    except (struct.error, KeyError, RecursionError):
        log.warning("the EXIF data are damaged: left out")
        return None
    return HEADER + bytes(block.data)


def _cut_thumbnail(block: _Block, directory: int) -> None:
    """The second directory describes the thumbnail: no longer pointed to, and its bytes gone where
    they are the last.
    """
    pointer = block.next(directory)
    second = block.read("L", pointer)
    if not second:
        return
    found = {entry.tag: block.number(entry) for entry in block.entries(second)}
    block.write("L", pointer, 0)
    start, length = found.get(THUMBNAIL, 0), found.get(THUMBNAIL_LENGTH, 0)
    if start and start + length + 4 >= len(block.data) > start:
        del block.data[start:]
    elif start:
        block.data[start : start + length] = bytes(len(block.data[start : start + length]))


def xmp_upright(xmp: bytes) -> bytes:
    """The packet with its orientation reset and without thumbnails."""
    xmp = re.sub(rb"<xmp:Thumbnails>.*?</xmp:Thumbnails>", b"", xmp, flags=re.S)
    return _set_in_xmp(xmp, {"tiff:Orientation": 1})


def xmp_sized(xmp: bytes, size: tuple[int, int]) -> bytes:
    """The packet with the pixel dimensions as they are now, where it states them."""
    width, height = size
    names = {
        "tiff:ImageWidth": width,
        "tiff:ImageLength": height,
        "exif:PixelXDimension": width,
        "exif:PixelYDimension": height,
    }
    return _set_in_xmp(xmp, names)


def _set_in_xmp(xmp: bytes, values: dict[str, int]) -> bytes:
    """Properties stand as attributes or as elements."""
    for name, value in values.items():
        key, number = name.encode(), str(value).encode()
        xmp = re.sub(
            key + rb"(\s*=\s*)([\"'])\d+\2", key + rb"\g<1>\g<2>" + number + rb"\g<2>", xmp
        )
        xmp = re.sub(
            b"<" + key + rb">\s*\d+\s*</" + key + b">",
            b"<" + key + b">" + number + b"</" + key + b">",
            xmp,
        )
    return xmp


def iim(resources: bytes) -> bytes | None:
    """The IPTC records among Photoshop's image resources, or the block itself where it is nothing
    else.
    """
    if resources.startswith(b"\x1c"):
        return resources
    start = resources.find(b"8BIM\x04\x04")
    if start < 0:
        return None
    name = start + 6
    place = name + (resources[name] + 2) // 2 * 2  # a Pascal string, padded to even length
    length = int.from_bytes(resources[place : place + 4], "big")
    return resources[place + 4 : place + 4 + length]


def resources(records: bytes) -> bytes:
    """IPTC records as a block of Photoshop's image resources."""
    return b"8BIM\x04\x04\0\0" + len(records).to_bytes(4, "big") + records + bytes(len(records) % 2)
