"""PNG files written by all cores: bands of rows are compressed side by side.

Portable Network Graphics Specification, third edition, https://www.w3.org/TR/png-3/. A PNG file
holds one zlib stream (RFC 1950). Each band becomes blocks of that stream that refer to no other
band, as in pigz.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from srup import processor
from srup.images.values import Image
from srup.parallel import ordered_map

Bytes = NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {(1, False): 0, (3, False): 2, (1, True): 4, (3, True): 6}  # channels, alpha
ZLIB_HEADER = b"\x78\x01"  # deflate with a window of 32 KiB, fastest
# The four filters of the specification that are cheap in NumPy. Paeth's takes ten times as long,
# and on photographs "average" needs about as few bytes.
NONE, SUB, UP, AVERAGE = FILTERS = (0, 1, 2, 3)
# With "average" and level 2, enlarged photographs take no more bytes than with Pillow's adaptive
# filters at level 3, in 0.6 of the time: python -m tests.benchmarks.png
LEVEL = 2
BAND = 4 << 20  # bytes of pixels that are compressed at a time
SAMPLED = 16  # a filter is chosen by what it makes of one row in so many


def write(image: Image, path: Path, chunks: Iterable[bytes] = (), *, level: int = LEVEL) -> None:
    """Writes pixels and alpha, of 8 or 16 bits.

    `chunks` are whole chunks of metadata; `level` is zlib's, 1 to 9. Raises OSError.
    """
    width, height = image.size
    colour_type = COLOUR_TYPES[image.pixels.shape[2], image.alpha is not None]
    header = struct.pack(">IIBBBBB", width, height, image.depth, colour_type, 0, 0, 0)
    with path.open("wb") as file:
        file.write(SIGNATURE + _chunk(b"IHDR", header))
        file.writelines(chunks)
        _write_pixels(image, file, level)
        file.write(_chunk(b"IEND", b""))


def _chunk(name: bytes, data: bytes) -> bytes:
    checked = name + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def _write_pixels(image: Image, file: BinaryIO, level: int) -> None:
    """The IDAT chunks, one for each band."""
    begin, checksum = ZLIB_HEADER, zlib.adler32(b"")
    with ordered_map(processor.cores()) as mapped:
        for compressed, rows in mapped(partial(_compressed, image, level), _bands(image)):
            file.write(_chunk(b"IDAT", begin + compressed))
            begin, checksum = b"", zlib.adler32(rows.data, checksum)
    # an empty last block ends the stream, whatever bands came before it
    end = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
    file.write(_chunk(b"IDAT", end + struct.pack(">I", checksum)))


def rows_in_band(image: Image) -> int:
    """How many rows are compressed at a time: those of about BAND bytes, or all."""
    height = image.size[1]
    return min(max(1, BAND * height // image.nbytes), height)


def _bands(image: Image) -> Iterator[slice]:
    height, step = image.size[1], rows_in_band(image)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _compressed(image: Image, level: int, band: slice) -> tuple[bytes, Bytes]:
    """The blocks of a band's rows, and the filtered rows themselves."""
    rows, step = _rows(image, band), image.depth // 8 * _channels(image)
    sample = np.concatenate([rows[:-1:SAMPLED, None], rows[1::SAMPLED, None]], 1)
    sizes = {}
    for number in FILTERS:
        filtered = _filtered(sample[:, 1], sample[:, 0], number, step)
        sizes[number] = len(zlib.compress(filtered.data, level))
    best = min(sizes, key=sizes.__getitem__)
    filtered = _filtered(rows[1:], rows[:-1], best, step)
    stream = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    blocks = stream.compress(filtered.data) + stream.flush(zlib.Z_SYNC_FLUSH)
    return blocks, filtered


def _channels(image: Image) -> int:
    channels: int = image.pixels.shape[2]
    return channels + (image.alpha is not None)


def _rows(image: Image, band: slice) -> Bytes:
    """The bytes of the row above the band and of its rows; above the first row are zeros."""
    above = max(band.start - 1, 0)
    planes = image.pixels[above : band.stop]
    if image.alpha is not None:
        planes = np.dstack([planes, image.alpha[above : band.stop]])
    most_significant_first = planes.astype(planes.dtype.newbyteorder(">"), order="C")
    rows = most_significant_first.view(np.uint8).reshape(len(planes), -1)
    if band.start == 0:
        rows = np.concatenate([np.zeros_like(rows[:1]), rows])
    return rows


def _filtered(rows: Bytes, above: Bytes, number: int, step: int) -> Bytes:
    """Rows as differences from what filter `number` predicts, each behind the filter's number.

    `above` are the rows above each of `rows`; `step` is the number of bytes of a pixel.
    """
    result = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    result[:, 0] = number
    differences = result[:, 1:]
    differences[:] = rows
    if number == SUB:
        differences[:, step:] -= rows[:, :-step]
    elif number == UP:
        differences -= above
    elif number == AVERAGE:
        left = np.zeros_like(rows)
        left[:, step:] = rows[:, :-step]
        # ⌊(left + above) / 2⌋ without a ninth bit
        differences -= (left & above) + ((left ^ above) >> 1)
    return result
