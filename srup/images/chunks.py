"""The chunks of a PNG file: metadata that would refuse a good picture is left out.

Portable Network Graphics Specification, third edition, https://www.w3.org/TR/png-3/. A chunk has
eight bytes of length and name, its data, and a checksum. libpng, too, passes over chunks whose
checksum is wrong if the picture can be shown without them.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from PIL import PngImagePlugin

log = logging.getLogger(__name__)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PIXELS = (b"tRNS", b"acTL", b"fcTL", b"fdAT")  # ancillary by name, but part of the picture
LONG_ENOUGH = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"pHYs": 9, b"iCCP": 3}  # bytes at least
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
MAX_TEXTS = 1000  # chunks
SHOWN = 5  # names in a warning
MAX_BYTES = 64 << 20  # of metadata, decompressed
# Pillow keeps texts among what it knows of the picture itself, under their keywords.
RESERVED = frozenset(
    (
        *(b"aspect", b"bbox", b"blend", b"chromaticity", b"default_image", b"disposal", b"dpi"),
        *(b"duration", b"gamma", b"icc_profile", b"interlace", b"loop", b"photoshop"),
        *(b"srgb", b"timestamp", b"transparency", b"xmp"),
    )
)


@dataclass(frozen=True)
class _Chunk:
    name: bytes
    place: int  # of its first byte in the file
    length: int  # bytes of data
    checked: bool  # whether its checksum was there and right
    data: bytes = b""  # of metadata that may be kept

    @property
    def end(self) -> int:
        return self.place + 12 + self.length


def sound(file: BinaryIO, name: str) -> BinaryIO:
    """The PNG file, without metadata that is damaged or beyond all measure; a warning says so.

    Files of other formats and whole ones are returned as they are, at their first byte. `name` is
    what the warning calls the file.
    """
    file.seek(0)
    left_out = list(_left_out(file)) if file.read(len(SIGNATURE)) == SIGNATURE else []
    file.seek(0)
    if not left_out:
        return file
    kinds = sorted({chunk.name.decode("latin-1") for chunk in left_out if chunk.name.isalpha()})
    _warn_once(name, ", ".join(kinds[:SHOWN]) or "chunks without a name")
    return io.BufferedReader(_Spliced(file, [(chunk.place, chunk.end) for chunk in left_out]))


@functools.lru_cache(maxsize=1000)  # a file is opened more than once: for its size, and to be read
def _warn_once(name: str, kinds: str) -> None:
    log.warning("%s has damaged metadata (%s): left out", name, kinds)


def _left_out(file: BinaryIO) -> Iterator[_Chunk]:
    """The chunks of metadata that are damaged or too large, or one too many."""
    left, texts = MAX_BYTES, 0
    for chunk in _metadata(file):
        size = _size(chunk)
        texts += chunk.name in TEXTS
        if size is None or size > left or texts > MAX_TEXTS:
            yield chunk
        else:
            left -= size


def _metadata(file: BinaryIO) -> Iterator[_Chunk]:
    """The chunks that the picture can be shown without."""
    end, place = file.seek(0, os.SEEK_END), len(SIGNATURE)
    while place + 8 <= end:
        file.seek(place)
        length, name = struct.unpack(">I4s", file.read(8))
        if name == b"IEND":
            return
        ancillary = name[0] & 0x20
        if ancillary and name not in PIXELS:
            yield _read(file, name, place, length, end)
        place += 12 + length


def _read(file: BinaryIO, name: bytes, place: int, length: int, end: int) -> _Chunk:
    if place + 12 + length > end or length > MAX_BYTES:
        return _Chunk(name, place, length, checked=False)
    data, checksum = file.read(length), file.read(4)
    checked = zlib.crc32(name + data).to_bytes(4, "big") == checksum
    return _Chunk(name, place, length, checked, data)


def _size(chunk: _Chunk) -> int | None:
    """Bytes of a chunk's data, decompressed; None if Pillow would refuse the file for it."""
    if not (chunk.checked and chunk.name.isalpha()):
        return None
    if chunk.length < LONG_ENOUGH.get(chunk.name, 0):
        return None
    if chunk.name in (*TEXTS, b"iCCP"):
        return _text_size(chunk)
    return chunk.length


def _text_size(chunk: _Chunk) -> int | None:
    keyword, _, rest = chunk.data.partition(b"\0")
    if chunk.name in TEXTS and keyword in RESERVED:
        return None
    compressed = b""
    if chunk.name in (b"zTXt", b"iCCP"):
        if rest[:1] not in (b"", b"\0") or (chunk.name == b"iCCP" and not rest):
            return None  # a method of compression that there is not
        compressed = rest[1:]
    elif chunk.name == b"iTXt" and rest[:1] not in (b"", b"\0"):
        compressed = rest[2:].split(b"\0", 2)[-1]
    return _decompressed(compressed, chunk.length)


def _decompressed(compressed: bytes, plain: int) -> int | None:
    """`plain` and the bytes that come of `compressed`; None above what Pillow takes."""
    try:
        most = PngImagePlugin.MAX_TEXT_CHUNK
        found = len(zlib.decompressobj().decompress(compressed, most + 1))
    except zlib.error:
        return plain  # Pillow passes over it
    return None if found > most else plain + found


class _Spliced(io.RawIOBase):
    """A file without some of its bytes: `gaps` are (begin, end), in order."""

    def __init__(self, file: BinaryIO, gaps: list[tuple[int, int]]) -> None:
        self.file, self.place, self.size = file, 0, 0
        # of each part that is kept: where it begins here, where in the file, and where it ends
        self.parts: list[tuple[int, int, int]] = []
        begins = [0, *(end for _, end in gaps)]
        ends = [*(begin for begin, _ in gaps), file.seek(0, os.SEEK_END)]
        for begin, end in zip(begins, ends, strict=True):
            if begin < end:
                self.parts.append((self.size, begin, end))
                self.size += end - begin
        self.starts = [start for start, _, _ in self.parts]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.size}[whence]
        self.place = max(base + offset, 0)
        return self.place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self.place >= self.size:
            return 0
        here, begin, end = self.parts[bisect_right(self.starts, self.place) - 1]
        there = begin + self.place - here
        self.file.seek(there)
        data = self.file.read(min(len(buffer), end - there))
        buffer[: len(data)] = data
        self.place += len(data)
        return len(data)
