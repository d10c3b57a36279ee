"""Opens image files with Pillow: regular files, and the formats that srup reads."""

from __future__ import annotations

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
    WebPImagePlugin,
)
from PIL import Image as Pillow

from srup.files import check_regular

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


def open_image(source: ImageFile) -> Pillow.Image:
    """The image file opened, not yet decoded.

    Raises NotRegular for a pipe, socket or device, other OSErrors for what cannot be opened, and
    PIL.UnidentifiedImageError for a file of another format.
    """
    if isinstance(source, (str, Path)):
        check_regular(Path(source))
    return Pillow.open(source, formats=[name for name in DECODERS if name in Pillow.OPEN])
