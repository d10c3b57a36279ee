"""The formats srup writes and what each can hold; a new one is a row here and, where Pillow lacks
it, its plugin.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from srup.errors import EngineUnavailable, WriteError


@dataclass(frozen=True)
class Format:
    """What a file of this format can hold. `longest` is in pixels a side, 0 for any.

    `keeps` names the fields of an `Image` that have a place in it. `module` is the Pillow plugin
    for it, of the extra `extra`.
    """

    name: str
    extensions: tuple[str, ...]  # the first is what srup writes
    longest: int = 0
    alpha: bool = True
    sixteen_bit: bool = False  # 16 bits per channel
    animated: bool = False
    paged: bool = False
    grey_only: bool = False  # 256 values are all it can say
    lossy: bool = False  # takes a quality
    lossless: bool = True  # unless asked otherwise, or when asked
    keeps: frozenset[str] = frozenset()
    module: str = ""
    extra: str = ""


def _keeps(*fields: str) -> frozenset[str]:
    return frozenset(fields)


# fmt: off
FORMATS = {row.name: row for row in (
    Format("png", (".png", ".apng"), sixteen_bit=True, animated=True, keeps=_keeps("icc", "exif", "xmp", "iptc", "dpi", "text")),
    Format("jpeg", (".jpg", ".jpeg"), longest=65_535, alpha=False, lossy=True, lossless=False,
           keeps=_keeps("icc", "exif", "xmp", "iptc", "dpi")),
    Format("webp", (".webp",), longest=16_383, animated=True, lossy=True, keeps=_keeps("icc", "exif", "xmp")),
    Format("tiff", (".tif", ".tiff"), sixteen_bit=True, paged=True, keeps=_keeps("icc", "exif", "xmp", "iptc", "dpi")),
    Format("bmp", (".bmp",), alpha=False, keeps=_keeps("dpi")),
    Format("gif", (".gif",), longest=65_535, animated=True, grey_only=True),
    Format("avif", (".avif",), longest=65_536, animated=True, lossy=True, lossless=False, keeps=_keeps("icc", "exif", "xmp")),
    Format("heic", (".heic", ".heif"), longest=16_384, lossy=True, keeps=_keeps("icc", "exif", "xmp"),
           module="pillow_heif", extra="heif"),
    Format("jxl", (".jxl",), lossy=True, keeps=_keeps("exif", "xmp"), module="pillow_jxl", extra="jxl"),
)}
# fmt: on


READ_ONLY = (
    ".jfif",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
)  # of images that srup reads and does not write
IMAGE_EXTENSIONS = frozenset(
    (*(extension for row in FORMATS.values() for extension in row.extensions), *READ_ONLY)
)
SIGNATURES = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"II*\0",
    b"MM\0*",
    b"RIFF",
    b"\0\0\0\x0cJXL ",
    b"\xff\x0a",
)  # first bytes
EXTENSIONS = {row.name: row.extensions[0] for row in FORMATS.values()}  # that each is written with


def format_of(path: Path) -> str:
    """The output format a file name asks for.

    Raises WriteError if srup writes none of that name.
    """
    suffix = path.suffix.lower()
    found = next((row.name for row in FORMATS.values() if suffix in row.extensions), None)
    if found is None:
        raise WriteError(
            f"cannot write {path}: srup writes {', '.join(FORMATS)}; name one by the extension or with -f"
        )
    return found


def named_like_image(path: str | Path) -> bool:
    """Whether a file's extension is that of an image."""
    return Path(path).suffix.lower() in IMAGE_EXTENSIONS


def looks_like_image(path: str | Path) -> bool:
    """Whether a file's extension is that of an image, or else its first bytes are."""
    if named_like_image(path):
        return True
    try:
        with Path(path).open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(SIGNATURES) or start[4:8] == b"ftyp"


def plug_in(module: str, extra: str) -> None:
    """Teaches Pillow a format by its plugin.

    Raises EngineUnavailable naming the extra where that is not installed.
    """
    try:
        plugin = importlib.import_module(module)
    except ImportError as error:
        raise EngineUnavailable(f"{extra} needs an extra; pip install 'srup[{extra}]'") from error
    if hasattr(plugin, "register_heif_opener"):
        plugin.register_heif_opener()
