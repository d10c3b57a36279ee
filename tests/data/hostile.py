"""Files at which decoders raise what is no error of image files."""

from __future__ import annotations

import io
import struct

from tests.data.draw import draw

WIDTH, UNKNOWN = 256, 65_000  # TIFF tags


def tiff_without_a_width() -> bytes:
    """A TIFF file of two pages, the second of which states no width: a TypeError in Pillow."""
    file = io.BytesIO()
    draw(24, 16).save(file, "TIFF", save_all=True, append_images=[draw(24, 16)])
    data = bytearray(file.getvalue())
    first = _number(data, 4)
    second = _number(data, first + 2 + 12 * _count(data, first))
    for place in range(second + 2, second + 2 + 12 * _count(data, second), 12):
        if struct.unpack_from("<H", data, place) == (WIDTH,):
            struct.pack_into("<H", data, place, UNKNOWN)
    return bytes(data)


def _number(data: bytearray, place: int) -> int:
    return int(struct.unpack_from("<L", data, place)[0])


def _count(data: bytearray, directory: int) -> int:
    return int(struct.unpack_from("<H", data, directory)[0])


def exif_of_tags(*tags: int, value: int = 2) -> bytes:
    """An EXIF block whose first directory has these tags, each of one 16-bit number."""
    entries = b"".join(struct.pack("<HHLHH", tag, 3, 1, value, 0) for tag in sorted(set(tags)))
    head = b"Exif\0\0II\x2a\0" + struct.pack("<LH", 8, len(entries) // 12)
    return head + entries + bytes(4)
