"""Reads what came with a picture: colour profile, EXIF, XMP, IPTC, density and texts.

All of it is somebody else's word. What is damaged is left out with a warning, and so is what goes
beyond a budget of bytes: the picture is none the worse.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from PIL import ExifTags, TiffImagePlugin
from PIL import Image as Pillow

from srup.images import jxl, metadata, provenance, tiff
from srup.images.provenance import Provenance
from srup.images.values import Image

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_BYTES = 64 << 20  # of metadata, of all pages of a file together
BLOCKS = {"exif": "EXIF", "xmp": "XMP", "icc_profile": "colour profile"}  # by Pillow's names
PHOTOSHOP_IPTC = 0x0404  # the image resource with IPTC records


class Carried:
    """Reads what came with the pictures of one file, called `name` in warnings."""

    def __init__(self, name: str) -> None:
        self.name, self.left = name, MAX_BYTES
        self.blocks: dict[bytes, bytes] = {}  # pages often have the same: each is kept once

    def check(self, opened: Pillow.Image) -> None:
        """Leaves out what is no block of metadata, or too large a one, before Pillow looks at it.

        To be called before `opened` is decoded.
        """
        for key, what in BLOCKS.items():
            block = opened.info.get(key) or b""
            if key == "xmp" and isinstance(block, str):  # a tag of TIFF that is called text
                block = opened.info[key] = block.encode("latin-1", "replace")
            if not isinstance(block, bytes) or len(block) > MAX_BYTES:
                log.warning("%s has damaged %s: left out", self.name, what)
                del opened.info[key]

    def image(self, opened: Pillow.Image) -> Image:
        """An `Image` without pixels that has the metadata of `opened`, as for an upright picture.

        `opened` has been decoded: a PNG file may have metadata behind its pixels.
        """
        # First of all, because it makes Pillow read what lies behind a PNG file's pixels.
        sideways = orientation_of(opened) > 4  # turned by 90°, maybe mirrored
        icc = self._block("colour profile", _profile, opened)
        exif = self._block("EXIF", _exif, opened)
        xmp, texts = self._block("XMP", _xmp, opened), self._texts(opened)
        return Image(
            np.zeros((0, 0, 3), np.uint8),
            icc=icc,
            exif=metadata.exif_without(exif),
            xmp=provenance.xmp_without(xmp),
            iptc=self._block("IPTC", _iptc, opened),
            dpi=self._sound("density", partial(_density, sideways=sideways), opened),
            text=provenance.texts_without(texts),
            provenance=_provenance(xmp, texts, opened),
        )

    def _sound(
        self, what: str, read: Callable[[Pillow.Image], T], opened: Pillow.Image
    ) -> T | None:
        try:
            return read(opened)
        except Exception:  # what parsers raise at damaged metadata is without number
            log.warning("%s has damaged %s: left out", self.name, what)
            return None

    def _block(
        self, what: str, read: Callable[[Pillow.Image], bytes | None], opened: Pillow.Image
    ) -> bytes | None:
        block = self._sound(what, read, opened)
        if not block:
            return None
        if block not in self.blocks:
            if not self._has_room(len(block), what):
                return None
            self.blocks[block] = block
        return self.blocks[block]

    def _has_room(self, size: int, what: str) -> bool:
        if size > self.left:
            log.warning("%s has too much %s (%d bytes): left out", self.name, what, size)
            return False
        self.left -= size
        return True

    def _texts(self, opened: Pillow.Image) -> tuple[tuple[str, str], ...]:
        found = []
        for key, value in self._sound("text", _texts, opened) or ():
            if not self._has_room(len(key) + len(value), "text"):
                break
            found.append((key, value))
        return tuple(found)


def orientation_of(opened: Pillow.Image) -> int:
    """The EXIF orientation that is still to be applied, 1 to 8; 1 also where it makes no sense."""
    # JPEG XL states the orientation in its own header, where the decoder applies it, and ignores
    # EXIF, unless it holds a JPEG file.
    if opened.format == "JXL" and not getattr(opened, "jpeg", False):
        return 1
    try:
        stated = opened.getexif().get(ExifTags.Base.Orientation, 1)
        return int(stated) if stated in range(1, 9) else 1
    except Exception:  # damaged EXIF: reading it will say so
        return 1


def _profile(opened: Pillow.Image) -> bytes | None:
    return _as_bytes(opened.info.get("icc_profile"))


def _as_bytes(block: object) -> bytes | None:
    """A block of metadata; None if there is none. Raises TypeError for what cannot be one."""
    if not block:
        return None
    # bytes() of a number, which a damaged file may state, would be as many zeros
    if not isinstance(block, (bytes, bytearray, memoryview)):
        raise TypeError(type(block).__name__)
    return bytes(block)


def _xmp(opened: Pillow.Image) -> bytes | None:
    packet = opened.info.get("xmp")
    if not packet and opened.format == "JXL":
        packet = jxl.xmp(opened.fc)  # type: ignore[attr-defined]
    packet = _as_bytes(packet.encode() if isinstance(packet, str) else packet)
    return metadata.xmp_upright(packet) if packet else None


def _provenance(
    xmp: bytes | None, texts: provenance.Texts, opened: Pillow.Image
) -> Provenance | None:
    """What made the picture, from wherever its format says so."""
    made = provenance.of_xmp(xmp) or provenance.of_texts(texts)
    if made is None and opened.format == "GIF":
        made = provenance.of_comment(opened.info.get("comment"))
    return made


def _density(opened: Pillow.Image, sideways: bool) -> tuple[float, float] | None:
    """Pixels per inch (across, down) of the upright picture; None if the file states none."""
    dpi: tuple[Any, ...] | None = opened.info.get("dpi")
    if not dpi:
        return None
    across, down = (float(value) for value in dpi)
    # Pillow says 1 where a TIFF file says nothing.
    if not (1 < across < 1e6 and 1 < down < 1e6):
        return None
    return (down, across) if sideways else (across, down)


def _exif(opened: Pillow.Image) -> bytes | None:
    raw = _as_bytes(opened.info.get("exif"))
    if raw:
        return metadata.upright(raw)
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        return tiff.exif_of(opened)
    exif = opened.getexif()  # what a Pillow image was given, or a PNG file has as text
    exif.pop(ExifTags.Base.Orientation, None)
    return exif.tobytes() if len(exif) else None


def _iptc(opened: Pillow.Image) -> bytes | None:
    """IPTC records (IIM), from where JPEG, TIFF and PNG keep them."""
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        # The bytes of the file: many programs call them 32-bit numbers, and Pillow takes only one.
        raw = opened.tag_v2._tagdata.get(tiff.IPTC)
        return metadata.iim(raw or opened.tag_v2.get(tiff.RESOURCES, b""))
    resources = opened.info.get("photoshop")
    if isinstance(resources, dict):
        found = resources.get(PHOTOSHOP_IPTC)
        return found if isinstance(found, bytes) else None
    text = opened.info.get("Raw profile type iptc")
    if not isinstance(text, str):
        return None
    # An empty line, the name and the length come before the hexadecimal digits.
    return metadata.iim(bytes.fromhex("".join(text.split("\n")[3:])))


def _texts(opened: Pillow.Image) -> tuple[tuple[str, str], ...]:
    """The texts of a PNG file, without EXIF, IPTC and XMP that are stored as texts too."""
    found = []
    for key, value in getattr(opened, "text", {}).items():
        if not key.startswith(("Raw profile type", "XML:com.adobe")):
            found.append((key, str(value)))
    return tuple(found)
