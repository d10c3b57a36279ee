"""The formats that srup writes, and what each can hold.

A new format is a row in `FORMATS` and, where Pillow cannot write it, the plugin that can.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path

from srup.errors import EngineUnavailable, WriteError
from srup.files import check_regular


@dataclass(frozen=True)
class Format:
    """A file format and its limits."""

    name: str
    extensions: tuple[str, ...]  # the first is what srup writes
    longest: int = 0  # pixels a side at most; 0 for any
    alpha: bool = True
    sixteen_bit: bool = False  # 16 bits per channel
    animated: bool = False
    paged: bool = False  # several pictures of any size in one file
    grey_only: bool = False  # 256 values for each pixel: exact for grey only
    lossy: bool = False  # has a quality
    lossless: bool = True  # can be written without loss, by default or on request
    keeps: frozenset[str] = frozenset()  # the fields of `Image` that it stores besides pixels
    block: int = 0  # bytes of EXIF or XMP at most; 0 for any
    module: str = ""  # the Pillow plugin that writes it
    extra: str = ""  # the extra of srup that installs the plugin


# A JPEG segment has 65,533 bytes after its length; the name of what it holds takes some of them.
SEGMENT = 65_502  # bytes
WEB_KEEPS = frozenset(("icc", "exif", "xmp", "provenance"))
PHOTO_KEEPS = WEB_KEEPS | {"iptc", "dpi"}
FORMATS = {
    row.name: row
    for row in (
        Format(
            "png",
            (".png", ".apng"),
            sixteen_bit=True,
            animated=True,
            keeps=PHOTO_KEEPS | {"text"},
        ),
        Format(
            "jpeg",
            (".jpg", ".jpeg"),
            longest=65_535,
            alpha=False,
            lossy=True,
            lossless=False,
            keeps=PHOTO_KEEPS,
            block=SEGMENT,
        ),
        Format("webp", (".webp",), longest=16_383, animated=True, lossy=True, keeps=WEB_KEEPS),
        Format("tiff", (".tif", ".tiff"), sixteen_bit=True, paged=True, keeps=PHOTO_KEEPS),
        Format("bmp", (".bmp",), alpha=False, keeps=frozenset(("dpi",))),
        Format(
            "gif",
            (".gif",),
            longest=65_535,
            animated=True,
            grey_only=True,
            keeps=frozenset(("provenance",)),
        ),
        Format(
            "avif",
            (".avif",),
            longest=65_536,
            animated=True,
            lossy=True,
            lossless=False,
            keeps=WEB_KEEPS,
        ),
        Format(
            "heic",
            (".heic", ".heif"),
            longest=16_384,
            lossy=True,
            keeps=WEB_KEEPS,
            module="pillow_heif",
            extra="heif",
        ),
        Format(
            "jxl",
            (".jxl",),
            lossy=True,
            keeps=frozenset(("exif", "xmp", "provenance")),
            module="pillow_jxl",
            extra="jxl",
        ),
    )
}

EXTENSIONS = {row.name: row.extensions[0] for row in FORMATS.values()}  # format → what srup writes
# "jpg" → "jpeg": a format is also called as its files end
ALSO_CALLED = {end[1:]: row.name for row in FORMATS.values() for end in row.extensions}
READ_ONLY = (".jfif", ".ppm", ".pgm", ".pbm", ".pnm")  # read, but not written
IMAGE_EXTENSIONS = frozenset(READ_ONLY).union(*(row.extensions for row in FORMATS.values()))
SIGNATURES = (  # first bytes of image files
    b"\x89PNG",
    b"\xff\xd8\xff",  # JPEG
    b"GIF8",
    b"II*\0",  # TIFF
    b"MM\0*",
    b"RIFF",  # WebP
    b"\0\0\0\x0cJXL ",
    b"\xff\x0a",  # JPEG XL without a container
)


def format_of(path: Path) -> str:
    """The name of the output format that the extension of `path` stands for.

    Raises WriteError if srup writes no such format.
    """
    suffix = path.suffix.lower()
    for row in FORMATS.values():
        if suffix in row.extensions:
            return row.name
    written = ", ".join(FORMATS)
    raise WriteError(f"cannot write {path}: srup writes {written}; use the extension of one")


def named_like_image(path: str | Path) -> bool:
    """Whether a file has the extension of an image."""
    # a million names are asked for, and Path takes five times as long
    return os.path.splitext(path)[1].lower() in IMAGE_EXTENSIONS  # noqa: PTH122


def looks_like_image(path: str | Path) -> bool:
    """Whether a file has the extension of an image or begins like one."""
    if named_like_image(path):
        return True
    try:
        check_regular(Path(path))
        with Path(path).open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    # AVIF and HEIC are boxes: four bytes of length come before the signature.
    return start.startswith(SIGNATURES) or start[4:8] == b"ftyp"


def plug_in(module: str, extra: str) -> None:
    """Teaches Pillow a format by importing its plugin.

    Raises EngineUnavailable, naming the extra of srup to install, if the plugin is missing.
    """
    try:
        plugin = importlib.import_module(module)
    except ImportError as error:
        raise EngineUnavailable(f"{extra} needs an extra; pip install 'srup[{extra}]'") from error
    # pillow_heif has to be registered; pillow_jxl registers itself at import.
    if hasattr(plugin, "register_heif_opener"):
        plugin.register_heif_opener()
