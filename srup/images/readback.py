"""Opens what was written before it gets its name, so that "done" means that it can be read.

To decode whole pictures would take too long. Of formats that are quickly written a decoder gets the
beginning alone, which claims to be a picture of a few rows.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from PIL import Image as Pillow
from PIL import TiffImagePlugin

from srup.errors import WriteError, reason_of
from srup.images import png, sixteen_bit, tiff
from srup.images.codec_errors import codec_errors
from srup.images.reading import MAX_PIXELS, bomb_limit
from srup.images.values import Image, Pages

Size = tuple[int, int]  # (width, height)

ROWS = 8  # that are decoded; so high are the blocks of JPEG
PNG_HEADER, PNG_HEIGHT, PNG_SUM = slice(12, 29), 20, 29  # places in a PNG file
BMP_PIXELS, BMP_HEIGHT = 10, 22  # places in a BMP file
START_OF_SCAN, END_OF_IMAGE = 0xDA, b"\xff\xd9"  # of JPEG
FRAMES = (0xC0, 0xC1, 0xC2)  # markers of JPEG in front of depth, height and width
BLOCK = 4  # times the bytes of its pixels: more than what is encoded of them ever takes


def check(path: Path, pages: Pages, name: str, format_: str) -> None:
    """Checks that a file which should hold `pages` opens, has their sizes, and that the first rows
    can be decoded; of WebP, AVIF, HEIC, JPEG XL and GIF, and of animations, the whole first frame.

    `name` is what the file will be called. Raises WriteError, OutOfMemory.
    """
    about = f"cannot write {name}: what was written cannot be read again"
    paged = format_ == "tiff"
    try:
        with codec_errors(WriteError, about), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = _read_page_by_page(path, pages) if paged else [_read(path, pages)]
    except OSError as error:
        raise WriteError(f"{about} ({reason_of(error)})") from error
    checked = pages.images if paged else pages.images[:1]
    if found != [image.size for image in checked]:
        raise WriteError(f"{about} (it has other sizes)")


def _read_page_by_page(path: Path, pages: Pages) -> list[Size]:
    """The sizes of a TIFF file's pages, whose first rows are decoded."""
    # Pillow has no mode for grey of 16 bits with alpha
    if any(map(sixteen_bit.needed, pages.images)):
        return [sixteen_bit.begun(path, page, ROWS) for page in range(len(pages))]
    sizes = []
    with bomb_limit.at(_pixels(pages)), Pillow.open(path) as opened:
        assert isinstance(opened, TiffImagePlugin.TiffImageFile)
        for page in range(opened.n_frames):
            opened.seek(page)
            sizes.append(opened.size)
            _decode(tiff.first_strip(opened))
    return sizes


def _read(path: Path, pages: Pages) -> Size:
    """The size of a file's first frame, which is decoded, or its first rows."""
    first = pages.images[0]
    with bomb_limit.at(_pixels(pages)), Pillow.open(path) as opened:
        beginning = None if pages.animated else BEGINNINGS.get(str(opened.format))
        if beginning:
            _decode(beginning(path, first))
        else:
            opened.load()
        return opened.size


def _pixels(pages: Pages) -> int:
    """The limit for reading: it holds for other threads too, so it is never a lower one."""
    largest = max(width * height for width, height in (image.size for image in pages.images))
    return max(largest, MAX_PIXELS)


def _decode(file: BinaryIO) -> None:
    with Pillow.open(file) as opened:
        opened.load()


def _beginning_of_png(path: Path, image: Image) -> BinaryIO:
    """The file up to the pixels that are compressed first."""
    head = bytearray()
    with path.open("rb") as file:
        head += file.read(len(png.SIGNATURE))
        name = b""
        while name != b"IDAT":
            start = _exactly(file, 8)
            length, name = int.from_bytes(start[:4], "big"), start[4:]
            head += start + _exactly(file, length + 4)  # with its checksum
    struct.pack_into(">L", head, PNG_HEIGHT, min(ROWS, png.rows_in_band(image)))
    struct.pack_into(">L", head, PNG_SUM, zlib.crc32(head[PNG_HEADER]))
    return io.BytesIO(head)


def _beginning_of_jpeg(path: Path, image: Image) -> BinaryIO:
    """The file up to what its first blocks can take."""
    width, height = image.size
    with path.open("rb") as file:
        head, marker, place = bytearray(file.read(2)), 0, 0
        while marker != START_OF_SCAN:
            start = _exactly(file, 4)
            marker, length = start[1], int.from_bytes(start[2:], "big")
            if marker in FRAMES:
                place = len(head) + 5
            head += start + file.read(length - 2)
        head += file.read(ROWS * (width + ROWS) * 3 * BLOCK)
    struct.pack_into(">H", head, place, min(ROWS, height))
    return io.BytesIO(head + END_OF_IMAGE)


def _beginning_of_bmp(path: Path, image: Image) -> BinaryIO:
    """The file up to its first rows, which are the lowest."""
    with path.open("rb") as file:
        start = int.from_bytes(_exactly(file, BMP_HEIGHT)[BMP_PIXELS:][:4], "little")
        file.seek(0)
        head = bytearray(file.read(start + ROWS * (image.size[0] + 1) * 3))
    struct.pack_into("<L", head, BMP_HEIGHT, min(ROWS, image.size[1]))
    return io.BytesIO(head)


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise OSError("it holds no pixels")
    return data


Beginning = Callable[[Path, Image], BinaryIO]  # a file and the picture in it → its first rows
BEGINNINGS: dict[str, Beginning] = {
    "BMP": _beginning_of_bmp,
    "JPEG": _beginning_of_jpeg,
    "PNG": _beginning_of_png,
}
