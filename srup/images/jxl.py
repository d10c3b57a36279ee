"""What a JPEG XL file says before it is decoded: its size, and its XMP.

ISO/IEC 18181: a file is a codestream, or boxes of which one or several hold the codestream. The
plugin for Pillow decodes a file as it opens it, so its size has to be known before.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

CODESTREAM = b"\xff\x0a"
CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
HEADER = 16  # bytes of a codestream that hold its size
PARTS = {b"jxlc": 0, b"jxlp": 4}  # boxes → bytes in front of the codestream, a part's number
BITS = (9, 13, 18, 30)  # of a side, by the selector in front of it
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width : height


def size(file: BinaryIO) -> tuple[int, int] | None:
    """(width, height) of the picture; None if the file holds none.

    They may be those of the picture turned by 90°.
    """
    file.seek(0)
    head = file.read(HEADER)
    if not head.startswith(CODESTREAM):
        head = _codestream(file)
    return _stated(head) if head.startswith(CODESTREAM) else None


def xmp(data: bytes) -> bytes | None:
    """The XML box of a file, which the plugin does not hand on; None if there is none."""
    for name, place, length in _boxes(io.BytesIO(data)):
        if name == b"xml ":
            return data[place : place + length]
    return None


def _codestream(file: BinaryIO) -> bytes:
    """The beginning of the codestream in a file of boxes, of which several may hold a part."""
    head = b""
    for name, place, length in _boxes(file):
        if name in PARTS and len(head) < HEADER:
            file.seek(place + PARTS[name])
            head += file.read(min(HEADER - len(head), max(length - PARTS[name], 0)))
    return head


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, place of the content and its length, of each box."""
    end, place = file.seek(0, io.SEEK_END), 0
    while place + 8 <= end:
        file.seek(place)
        head = file.read(16)
        length, name, begin = int.from_bytes(head[:4], "big"), head[4:8], 8
        if length == 1:
            length, begin = int.from_bytes(head[8:], "big"), 16
        elif length == 0:  # as long as the file
            length = end - place
        yield name, place + begin, max(length - begin, 0)
        place += max(length, begin)


def _stated(head: bytes) -> tuple[int, int]:
    """The size in the first bytes of a codestream."""
    bits = _Bits(int.from_bytes(head[len(CODESTREAM) :], "little"))
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    if not ratio:
        return _side(bits, small), height
    across, down = RATIOS[ratio - 1]
    return height * across // down, height


def _side(bits: _Bits, small: int) -> int:
    if small:
        return (bits.take(5) + 1) * 8
    return bits.take(BITS[bits.take(2)]) + 1


class _Bits:
    """Numbers of some bits each, the lowest first."""

    def __init__(self, value: int) -> None:
        self.value = value

    def take(self, count: int) -> int:
        """The next number."""
        taken = self.value & ((1 << count) - 1)
        self.value >>= count
        return taken
