"""Opens image files with Pillow: regular files, and the formats that srup reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)
from PIL import Image as Pillow

from srup.files import check_regular
from srup.images import chunks, heads, jxl

log = logging.getLogger(__name__)

ImageFile = str | Path | BinaryIO  # an open file has to be seekable

# Pillow knows many more formats, and looks at a file's content, not at its name: an EPS file that
# is called photo.png would start Ghostscript.
DECODERS = (
    PngImagePlugin.PngImageFile.format,
    JpegImagePlugin.JpegImageFile.format,  # MPO too, which begins as JPEG
    WebPImagePlugin.WebPImageFile.format,
    TiffImagePlugin.TiffImageFile.format,
    BmpImagePlugin.BmpImageFile.format,
    GifImagePlugin.GifImageFile.format,
    AvifImagePlugin.AvifImageFile.format,
    PpmImagePlugin.PpmImageFile.format,
    "HEIF",  # once their plugins are loaded
    "JXL",
)


@contextmanager
def open_image(source: ImageFile) -> Iterator[Pillow.Image]:
    """Opens an image file, without decoding it.

    Raises NotRegular for a pipe, socket or device, other OSErrors for what cannot be opened,
    PIL.UnidentifiedImageError for a file of another format, and PIL.DecompressionBombError.
    """
    with sound(source) as file, _opened(file) as opened:
        yield opened


def _opened(file: ImageFile) -> Pillow.Image:
    formats = [name for name in DECODERS if name in Pillow.OPEN]
    try:
        return Pillow.open(file, formats=formats)
    except UnidentifiedImageError:
        # damaged metadata of a JPEG file makes Pillow say so too
        bare = _without_metadata(file)
        if bare is None:
            raise
        return Pillow.open(bare, formats=formats)


def _without_metadata(source: ImageFile) -> BinaryIO | None:
    """A JPEG file without its metadata; None for other files, and where it has none."""
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            found = heads.without_metadata(file)
    else:
        found = heads.without_metadata(source)
    if found is None:
        return None
    name = str(source) if isinstance(source, (str, Path)) else "standard input"
    log.warning("%s has damaged metadata (%s): left out", name, ", ".join(found[1]))
    return found[0]


@contextmanager
def sound(source: ImageFile) -> Iterator[ImageFile]:
    """The file without damaged metadata that a decoder would refuse a good picture for.

    Raises NotRegular and other OSErrors, and PIL.DecompressionBombError.
    """
    if not isinstance(source, (str, Path)):
        _check_jxl(source)
        yield chunks.sound(source, "standard input")
        return
    check_regular(Path(source))
    with Path(source).open("rb") as file:
        _check_jxl(file)
        kept = chunks.sound(file, str(source))
        # what is whole is opened by its name: Pillow maps some formats into memory
        yield source if kept is file else kept


def _check_jxl(file: BinaryIO) -> None:
    """Raises DecompressionBombError for too many pixels of JPEG XL, OSError if none are stated.

    Pillow checks a file once it is open, and the plugin of JPEG XL decodes to open it.
    """
    file.seek(0)
    if not file.read(len(jxl.CONTAINER)).startswith((jxl.CODESTREAM, jxl.CONTAINER)):
        return
    size, limit = jxl.size(file), Pillow.MAX_IMAGE_PIXELS
    if size is None:
        raise OSError("it holds no picture")
    if limit is not None and size[0] * size[1] > 2 * limit:  # as Pillow has it
        raise Pillow.DecompressionBombError(f"{size[0]}×{size[1]} pixels")
