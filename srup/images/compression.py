"""What the header of a file says of its compression: lossy or not, quality, chroma sampling.

Nothing here decodes pixels, and a header that is damaged or unknown says nothing: None.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.JpegImagePlugin import JpegImageFile

from srup.images import heads
from srup.images.values import Compression

Read = Callable[[int, int], bytes]  # (place, bytes wanted) → what the file has there

# Luminance table of ITU-T T.81, annex K.1, which libjpeg (IJG) scales by the quality.
ANNEX_K = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
NAMES = {"MPO": "jpeg", "HEIF": "heic"}  # Pillow's name of a format → ours, where they differ
LOSSLESS = ("png", "gif", "bmp", "ppm")
# Compressions of TIFF that keep every bit, as Pillow calls them.
TIFF_LOSSLESS = (
    "raw",
    "packbits",
    "tiff_lzw",
    "tiff_adobe_deflate",
    "tiff_deflate",
    "lzma",
    "zstd",
    "tiff_ccitt",
    "group3",
    "group4",
)
TIFF_LOSSY = ("jpeg", "tiff_jpeg")
SAMPLING = {  # luma samples for each chroma sample, across and down
    (1, 1): "4:4:4",
    (2, 1): "4:2:2",
    (2, 2): "4:2:0",
    (1, 2): "4:4:0",
    (4, 1): "4:1:1",
}
YCBCR = (1, 4, 5, 6, 7, 9)  # matrices of ITU-T H.273 that cannot be undone exactly in 8 bits


def compression_of(opened: Pillow.Image, head: bytes, read: Read) -> Compression:
    """How the file of an opened image is compressed, as far as its header says so.

    `head` are its first bytes; `read` returns others: so many bytes from a place on.
    """
    name = NAMES.get(opened.format or "", (opened.format or "unknown").lower())
    if name in LOSSLESS:
        return Compression(name, lossy=False)
    if name == "tiff":
        return Compression(name, lossy=_tiff_lossy(str(opened.info.get("compression"))))
    # Whatever a damaged header leads to, its pixels may be sound: it says nothing.
    with suppress(IndexError, KeyError, ValueError, ZeroDivisionError, struct.error):
        if isinstance(opened, JpegImageFile):
            return _jpeg(opened)
        if name in HEADERS:
            return HEADERS[name](head, read)
    return Compression(name, lossy=True if name == "jpeg" else None)


def jpeg_table(quality: int) -> NDArray[np.int64]:
    """The luminance quantisation table 8×8 of libjpeg for a quality from 1 to 100."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((ANNEX_K * percent + 50) // 100).clip(1, 255)


MEANS = np.array([jpeg_table(quality).mean() for quality in range(1, 101)])


def _jpeg(opened: JpegImageFile) -> Compression:
    """Quality and chroma sampling of a JPEG file.

    The quality is the one whose table has the nearest mean. For libjpeg's tables that is exact,
    since no two means are equal; for those of other encoders it is about as coarse.
    """
    if not opened.layer or not opened.quantization:
        return Compression("jpeg", lossy=True)
    _, across, down, number = opened.layer[0]
    quality = None
    if number in opened.quantization:
        mean = np.mean(opened.quantization[number])
        quality = int(np.abs(MEANS - mean).argmin()) + 1
    chroma = None
    if len(opened.layer) == 3:
        _, chroma_across, chroma_down, _ = opened.layer[1]
        chroma = SAMPLING.get((across // chroma_across, down // chroma_down))
    return Compression("jpeg", lossy=True, quality=quality, chroma=chroma)


def _tiff_lossy(compression: str) -> bool | None:
    if compression in TIFF_LOSSY:
        return True
    return False if compression in TIFF_LOSSLESS else None


def _webp(_: bytes, read: Read) -> Compression:
    """VP8L has no loss; VP8 has, and always halves chroma. The first picture of an animation."""
    place = 12
    while True:
        kind, length = struct.unpack("<4sI", read(place, 8))
        if kind == b"VP8L":
            return Compression("webp", lossy=False)
        if kind == b"VP8 ":
            quality = _vp8_quality(read(place + 8, 256))
            return Compression("webp", lossy=True, quality=quality, chroma="4:2:0")
        # The frame of an animation is a chunk with chunks in it, behind 16 bytes of its own.
        place += 24 if kind == b"ANMF" else 8 + length + length % 2


class _EvenBits:
    """The boolean decoder of VP8 (RFC 6386, section 7), where 0 and 1 are equally likely."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place, self.shifts = data, 2, 0
        self.value, self.range = int.from_bytes(data[:2], "big"), 255

    def number(self, bits: int) -> int:
        """The next whole number of so many bits. Raises IndexError at the end of the data."""
        number = 0
        for _ in range(bits):
            number = 2 * number + self._bit()
        return number

    def optional(self, bits: int, default: int = 0) -> int:
        """The number behind a flag that says whether there is one."""
        return self.number(bits) if self._bit() else default

    def signed(self, bits: int) -> int:
        """The same with a sign behind it."""
        if not self._bit():
            return 0
        number = self.number(bits)
        return -number if self._bit() else number

    def _bit(self) -> int:
        split = 1 + ((self.range - 1) >> 1)
        bit = self.value >= split << 8
        if bit:
            self.value -= split << 8
            self.range -= split
        else:
            self.range = split
        while self.range < 128:
            self.value, self.range, self.shifts = self.value << 1, self.range << 1, self.shifts + 1
            if self.shifts == 8:
                self.value |= self.data[self.place]
                self.place, self.shifts = self.place + 1, 0
        return int(bit)


def _vp8_quality(frame: bytes) -> int:
    """The quality that libwebp was asked for, from the quantisers of a key frame.

    The frame header is that of RFC 6386, section 9. libwebp gives each of four segments a quantiser
    of its own; their mean, weighted by how many blocks are in each, is the one of the quality
    (`QualityToCompression` in libwebp's quant_enc.c, inverted here).
    """
    bits = _EvenBits(frame[10:])
    bits.number(2)  # colour space, clamping
    absolute, quantisers, tree = 1, None, [255, 255, 255]
    if bits.number(1):
        new_map, new_values = bits.number(1), bits.number(1)
        if new_values:
            absolute = bits.number(1)
            quantisers = [bits.signed(7) for _ in range(4)]
            for _ in range(4):
                bits.signed(6)  # loop filter
        if new_map:
            tree = [bits.optional(8, 255) for _ in range(3)]
    bits.number(10)  # loop filter
    if bits.number(1) and bits.number(1):
        for _ in range(8):
            bits.signed(6)
    bits.number(2)  # partitions
    quantiser = float(bits.number(7))
    if quantisers:
        first, left, right = (probability / 255 for probability in tree)
        shares = (first * left, first * (1 - left), (1 - first) * right, (1 - first) * (1 - right))
        mean = sum(share * each for share, each in zip(shares, quantisers, strict=True))
        quantiser = mean if absolute else quantiser + mean
    return _webp_quality(quantiser)


def _webp_quality(quantiser: float) -> int:
    """libwebp's quality for a quantiser from 0 to 127, which it rounded down."""
    compression = (1 - (quantiser + 0.5) / 127) ** 3 if quantiser else 1.0
    quality = 1.5 * compression if compression < 0.5 else (compression + 1) / 2
    return round(100 * min(max(quality, 0.01), 1))


def _avif(head: bytes, _: Read) -> Compression:
    """Chroma sampling from the box av1C (AV1 in ISOBMFF, section 2.3)."""
    flags = heads.item_property(head, b"av1C")[2]
    grey, across, down, deep = flags & 16, flags >> 3 & 1, flags >> 2 & 1, flags & 64
    chroma = None if grey else SAMPLING[across + 1, down + 1]
    return Compression("avif", _boxed_lossy(head, chroma, bool(deep)), chroma=chroma)


def _heic(head: bytes, _: Read) -> Compression:
    """Chroma sampling from the box hvcC (ISO/IEC 14496-15, section 8.3.3.1)."""
    record = heads.item_property(head, b"hvcC")
    chroma, deep = (None, "4:2:0", "4:2:2", "4:4:4")[record[16] & 3], bool(record[17] & 7)
    return Compression("heic", _boxed_lossy(head, chroma, deep), chroma=chroma)


def _boxed_lossy(head: bytes, chroma: str | None, deep: bool) -> bool | None:
    """Whether AVIF or HEIC lost something: chroma samples, or bits when RGB became YCbCr.

    None where neither is so, because only the picture itself would tell. `deep` says that it has
    more than 8 bits, which may be enough to go back to RGB exactly.
    """
    if chroma is None:
        return None
    if chroma != "4:4:4":
        return True
    codes = heads.item_property(head, b"colr", b"nclx")
    matrix = int.from_bytes(codes[8:10], "big")
    return True if matrix in YCBCR and not deep else None


class _LowBitsFirst:
    """Reads whole numbers from bits, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self.left = int.from_bytes(data, "little")

    def number(self, bits: int) -> int:
        """The next number of so many bits; zeros behind the end of the data."""
        number = self.left & ((1 << bits) - 1)
        self.left >>= bits
        return number


def _jxl(head: bytes, _: Read) -> Compression:
    """Lossy if it holds a JPEG file, or if its metadata are the default ones, those of XYB.

    ISO/IEC 18181-1: the size of the picture, then a bit that says that metadata are the default.
    """
    if b"jbrd" in head:
        return Compression("jxl", lossy=True)
    start = 2 if head.startswith(b"\xff\x0a") else head.index(b"jxlc\xff\x0a") + 6
    bits = _LowBitsFirst(head[start : start + 16])
    small = bits.number(1)
    _skip_side(bits, small)
    ratio = bits.number(3)
    if not ratio:  # otherwise the width follows from the height
        _skip_side(bits, small)
    return Compression("jxl", lossy=True if bits.number(1) else None)


def _skip_side(bits: _LowBitsFirst, small: int) -> None:
    """Skips the height or the width."""
    bits.number(5 if small else (9, 13, 18, 30)[bits.number(2)])


HEADERS: dict[str, Callable[[bytes, Read], Compression]] = {
    "webp": _webp,
    "avif": _avif,
    "heic": _heic,
    "jxl": _jxl,
}
