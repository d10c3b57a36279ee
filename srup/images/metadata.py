"""Updates EXIF, XMP and IPTC blocks where turning and enlarging make them untrue.

An EXIF block is overwritten in place, and what is added goes to its end. Writing it anew would move
what cameras store in it with offsets of their own (maker notes), and break that.
"""

from __future__ import annotations

import functools
import logging
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from srup.images import provenance
from srup.images.values import Image

log = logging.getLogger(__name__)

HEADER = b"Exif\0\0"
ASCII, SHORT, LONG, RATIONAL = 2, 3, 4, 5  # TIFF types
WIDTH, HEIGHT, ORIENTATION, ACROSS, DOWN, UNIT = 0x100, 0x101, 0x112, 0x11A, 0x11B, 0x128
SUB, PIXELS_ACROSS, PIXELS_DOWN = 0x8769, 0xA002, 0xA003
THUMBNAIL, THUMBNAIL_LENGTH = 0x201, 0x202
# Software is, by the Exif standard, that of the camera or scanner. ProcessingSoftware is no tag of
# the standard, but the one that ExifTool and Exiv2 know for programs that come later.
SOFTWARE, PROCESSING_SOFTWARE = 0x131, 0x0B
NO_TAGS = HEADER + b"II*\0\x08\0\0\0" + bytes(6)
INCH = 2
PNG_XMP = "XML:com.adobe.xmp"  # the keyword of the text that holds XMP
MAX_TAGS = 10_000  # entries that are looked at in one block; cameras write some hundred
THUMBNAILS = (b"<xmp:Thumbnails>", b"</xmp:Thumbnails>")
# an orientation that Pillow believes, also where the packet is damaged behind it
BELIEVED = re.compile(rb'(tiff:Orientation(?:="|>))[0-9]')


@dataclass(frozen=True)
class _Entry:
    """An entry of a directory: twelve bytes at `place`, the last four its value or an offset."""

    tag: int
    type: int
    count: int
    place: int


class _TooManyTags(Exception):
    """Raised at a block that would take too long: its directories overlap, or state any length."""


class _Block:
    """A TIFF structure in memory: directories of entries, chained by offsets."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.visited = 0  # entries
        self.order = {b"II": "<", b"MM": ">"}[data[:2]]

    def read(self, code: str, place: int) -> int:
        """A number of the kind that `struct` calls `code`, in the block's byte order."""
        return int(struct.unpack_from(self.order + code, self.data, place)[0])

    def write(self, code: str, place: int, *values: int) -> None:
        """Overwrites the numbers at `place`; `code` has a letter of `struct` for each."""
        struct.pack_into(self.order + code, self.data, place, *values)

    def entries(self, directory: int) -> Iterator[_Entry]:
        """The entries of the directory that begins at this place."""
        for place in range(directory + 2, self.next(directory), 12):
            self.visited += 1
            if self.visited > MAX_TAGS:
                raise _TooManyTags
            tag, kind = self.read("H", place), self.read("H", place + 2)
            yield _Entry(tag, kind, self.read("L", place + 4), place)

    def next(self, directory: int) -> int:
        """The place of the offset of the next directory, behind the entries of this one."""
        return directory + 2 + 12 * self.read("H", directory)

    def number(self, entry: _Entry) -> int:
        """The value of a SHORT or LONG entry, or the offset of another."""
        return self.read("H" if entry.type == SHORT else "L", entry.place + 8)

    def put(self, entry: _Entry, value: int) -> None:
        """Writes a whole number into an entry, as LONG if SHORT is too short."""
        kind = SHORT if entry.type == SHORT and value < 1 << 16 else LONG
        self.write("HL", entry.place + 2, kind, 1)
        self.write("L", entry.place + 8, 0)  # a SHORT fills only two of the four bytes
        self.write("H" if kind == SHORT else "L", entry.place + 8, value)

    def text(self, entry: _Entry) -> str:
        """The value of an ASCII entry, without what fills it up at the end."""
        place = entry.place + 8 if entry.count <= 4 else self.read("L", entry.place + 8)
        return self.data[place : place + entry.count].decode("latin-1").rstrip("\0 ")

    def append(self, data: bytes) -> int:
        """Adds bytes at the end; the place where they begin, which is even as TIFF wants it."""
        self.data += bytes(len(self.data) % 2)
        self.data += data
        return len(self.data) - len(data)

    def put_ratio(self, entry: _Entry, value: float) -> None:
        """Writes a number into a RATIONAL entry, to three decimals; others stay as they are."""
        if entry.type == RATIONAL:
            self.write("LL", self.read("L", entry.place + 8), round(value * 1000), 1000)


def upright(exif: bytes) -> bytes | None:
    """The EXIF block of an image that has been turned: orientation 1 and no thumbnail.

    None, with a warning, if the block is damaged.
    """

    def change(block: _Block, directory: int) -> None:
        for entry in block.entries(directory):
            if entry.tag == ORIENTATION:
                block.put(entry, 1)
        _cut_thumbnail(block, directory)

    return _changed(exif, change)


@functools.lru_cache(maxsize=1)  # the frames of an animation share one block
def sized(exif: bytes, size: tuple[int, int], dpi: tuple[float, float] | None) -> bytes | None:
    """The EXIF block with the pixels (width, height) and density of an upright image, if it states
    them.

    None, with a warning, if the block is damaged.
    """
    values = {WIDTH: size[0], PIXELS_ACROSS: size[0], HEIGHT: size[1], PIXELS_DOWN: size[1]}
    values[ORIENTATION] = 1
    visited: set[int] = set()  # directories, which may refer to one another

    def change(block: _Block, directory: int) -> None:
        visited.add(directory)
        for entry in list(block.entries(directory)):
            if entry.tag in values:
                block.put(entry, values[entry.tag])
            elif entry.tag == SUB and block.number(entry) not in visited:
                change(block, block.number(entry))
            elif dpi and entry.tag in (ACROSS, DOWN):
                block.put_ratio(entry, dpi[entry.tag == DOWN])
            elif dpi and entry.tag == UNIT:
                block.put(entry, INCH)

    return _changed(exif, change)


@functools.lru_cache(maxsize=1)
def with_software(exif: bytes | None, software: str) -> bytes | None:
    """The EXIF block that names the program which made the picture of another one.

    A camera's own Software stays where it is, and the program is named as ProcessingSoftware.
    None, with a warning, if the block is damaged.
    """

    def change(block: _Block, directory: int) -> None:
        entries = list(block.entries(directory))
        stated = [block.text(entry) for entry in entries if entry.tag == SOFTWARE]
        anothers = any(text and not provenance.is_ours(text) for text in stated)
        tag = PROCESSING_SOFTWARE if anothers else SOFTWARE
        kept = [entry for entry in entries if entry.tag != tag]
        following = block.read("L", block.next(directory))
        _put_directory(block, kept, tag, software.encode("ascii", "replace") + b"\0", following)

    return _changed(exif or NO_TAGS, change)


def exif_without(exif: bytes | None) -> bytes | None:
    """The block; None if it says no more than what `with_software` writes where there is none."""
    try:
        block = _Block((exif or b"").removeprefix(HEADER))
        entries = list(block.entries(block.read("L", 4)))
        ours = [each.tag == SOFTWARE and provenance.is_ours(block.text(each)) for each in entries]
    except (struct.error, KeyError, _TooManyTags):
        return exif
    return None if ours == [True] else exif


def _put_directory(
    block: _Block, entries: list[_Entry], tag: int, text: bytes, following: int
) -> None:
    """Writes the first directory anew, with a text of more than four bytes beside its `entries`.

    It goes to the end, so that all else in the block stays where it is. `following` is the place of
    the second directory.
    """
    place = block.append(text)
    made = {tag: struct.pack(f"{block.order}HHLL", tag, ASCII, len(text), place)}
    made |= {entry.tag: bytes(block.data[entry.place :][:12]) for entry in entries}
    count = struct.pack(f"{block.order}H", len(made))
    end = struct.pack(f"{block.order}L", following)
    in_order = (made[each] for each in sorted(made))
    block.write("L", 4, block.append(b"".join([count, *in_order, end])))


def _changed(exif: bytes, change: Callable[[_Block, int], None]) -> bytes | None:
    """The block after `change` of its first directory; None, with a warning, if it is damaged."""
    try:
        block = _Block(exif.removeprefix(HEADER))
        change(block, block.read("L", 4))
    except (struct.error, KeyError, RecursionError, _TooManyTags):
        log.warning("the EXIF data is damaged: left out")
        return None
    return HEADER + bytes(block.data)


def _cut_thumbnail(block: _Block, directory: int) -> None:
    """Removes the thumbnail: the pointer to its directory, and its bytes.

    Bytes at the end of the block are cut off. Others are set to zero, because cutting them would
    move what lies behind them.
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
        inside = len(block.data[start : start + length])
        block.data[start : start + length] = bytes(inside)


def xmp_upright(xmp: bytes) -> bytes:
    """The XMP packet of an image that has been turned: orientation 1 and no thumbnails."""
    upright = _set_in_xmp(_without_thumbnails(xmp), {"tiff:Orientation": 1})
    return BELIEVED.sub(rb"\g<1>1", upright)


def _without_thumbnails(xmp: bytes) -> bytes:
    # Not by a pattern: where nothing closes, it would look for the end from every beginning anew.
    opening, closing = THUMBNAILS
    kept, place = [], 0
    while (begin := xmp.find(opening, place)) >= 0:
        end = xmp.find(closing, begin)
        if end < 0:
            break
        kept.append(xmp[place:begin])
        place = end + len(closing)
    return b"".join([*kept, xmp[place:]])


@functools.lru_cache(maxsize=1)
def xmp_sized(xmp: bytes, size: tuple[int, int]) -> bytes:
    """The XMP packet with the pixels (width, height) of an upright image, if it states them."""
    width, height = size
    names = {
        "tiff:Orientation": 1,
        "tiff:ImageWidth": width,
        "tiff:ImageLength": height,
        "exif:PixelXDimension": width,
        "exif:PixelYDimension": height,
    }
    return _set_in_xmp(xmp, names)


def _set_in_xmp(xmp: bytes, values: dict[str, int]) -> bytes:
    """The packet with the numbers of properties replaced, where it has them.

    XMP writes a property as an attribute (`name="1"`) or as an element (`<name>1</name>`).
    """
    for name, value in values.items():
        key, number = name.encode(), str(value).encode()
        attribute = key + rb"(\s*=\s*)([\"'])\d+\2"
        xmp = re.sub(attribute, key + rb"\g<1>\g<2>" + number + rb"\g<2>", xmp)
        opening, closing = b"<" + key + b">", b"</" + key + b">"
        xmp = re.sub(opening + rb"\s*\d+\s*" + closing, opening + number + closing, xmp)
    return xmp


def iim(resources: bytes) -> bytes | None:
    """The IPTC records (IIM) in a block of Photoshop's image resources; None if it has none.

    A block may also be the records themselves.
    """
    if resources.startswith(b"\x1c"):
        return resources
    start = resources.find(b"8BIM\x04\x04")
    name = start + 6
    if start < 0 or name >= len(resources):
        return None
    place = name + (resources[name] + 2) // 2 * 2  # a Pascal string, padded to even length
    length = int.from_bytes(resources[place : place + 4], "big")
    return resources[place + 4 : place + 4 + length]


def resources(records: bytes) -> bytes:
    """IPTC records (IIM) as a block of Photoshop's image resources, as most formats keep them."""
    return b"8BIM\x04\x04\0\0" + len(records).to_bytes(4, "big") + records + bytes(len(records) % 2)


def stated(image: Image, most: int = 0) -> Image:
    """The image with EXIF, XMP and texts that are true of it: its size in pixels, its density, and
    what made it.

    What would make a block larger than `most` bytes is not added to it; 0 is for any size.
    """
    exif = sized(image.exif, image.size, image.dpi) if image.exif else None
    xmp = xmp_sized(image.xmp, image.size) if image.xmp else None
    made, texts = image.provenance, image.text
    if made:
        exif = _within(most, with_software(exif, made.software), exif)
        xmp = _within(most, provenance.with_xmp(xmp, made), xmp)
        texts = provenance.with_texts(texts, made)
    return replace(image, exif=exif, xmp=xmp, text=texts)


def _within(most: int, block: bytes | None, otherwise: bytes | None) -> bytes | None:
    return otherwise if most and len(block or b"") > most else block
