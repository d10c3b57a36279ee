"""What lies in front of the pixels: chunks of PNG, properties of AVIF and HEIC, segments of JPEG.

Looked for where they belong: their names may stand in any text or block of metadata too.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"  # signatures
APP, COMMENT = range(0xE0, 0xF0), 0xFE  # markers of JPEG
PART_OF_PICTURE = (0xE0, 0xEE)  # of these: JFIF, and Adobe's, which says what the channels are
START_OF_SCAN = 0xDA


def chunk(head: bytes, name: bytes) -> bytes:
    """The data of the first such chunk in front of a PNG file's pixels; b"" if there is none."""
    place = len(PNG) if head.startswith(PNG) else len(head)
    while place + 12 <= len(head):
        length, here = struct.unpack_from(">I4s", head, place)
        end = place + 8 + length
        checksum = zlib.crc32(head[place + 4 : end]).to_bytes(4, "big")
        if here == name and head[end : end + 4] == checksum:
            return head[place + 8 : end]
        if here == b"IDAT":
            break
        place = end + 4
    return b""


def item_property(head: bytes, name: bytes, kind: bytes = b"") -> bytes:
    """The content of the first such property in an AVIF or HEIC file; b"" if there is none.

    Of several kinds it is one that begins with `kind`. ISO/IEC 23008-12, section 9.3.
    """
    inside = head if head[4:8] == b"ftyp" else b""
    for folder, skipped in ((b"meta", 4), (b"iprp", 0), (b"ipco", 0)):  # version and flags
        found = (content for here, content in _boxes(inside) if here == folder)
        inside = next(found, b"")[skipped:]
    for here, content in _boxes(inside):
        if here == name and content.startswith(kind):
            return content
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box, as far as the data goes."""
    place = 0
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, data[place + 8 : place + length]
        place += max(length, 8)


def without_metadata(file: BinaryIO) -> tuple[BinaryIO, list[str]] | None:
    """A JPEG file without the segments that it can be shown without, and their names.

    None for a file of another format, and where there are none.
    """
    file.seek(0)
    data = file.read()
    if not data.startswith(JPEG):
        return None
    kept, left_out, place = [JPEG], [], len(JPEG)
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != START_OF_SCAN:
        marker, (length,) = data[place + 1], struct.unpack_from(">H", data, place + 2)
        end = place + 2 + max(length, 2)
        if marker not in PART_OF_PICTURE and (marker in APP or marker == COMMENT):
            left_out.append(f"APP{marker - APP.start}" if marker in APP else "COM")
        else:
            kept.append(data[place:end])
        place = end
    if not left_out:
        return None
    return io.BytesIO(b"".join([*kept, data[place:]])), list(dict.fromkeys(left_out))
