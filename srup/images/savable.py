"""A Pillow image that is saved with all that came along and that Pillow can write."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import IO, Any

from PIL import Image as Pillow
from PIL import PngImagePlugin

from srup.images import metadata, tiff
from srup.images.formats import SEGMENT
from srup.images.pictures import to_pillow
from srup.images.values import Image

log = logging.getLogger(__name__)


class SavableImage(Pillow.Image):
    """`save` writes what is in `info`, unless it is told otherwise: `save(path, exif=b"")`.

    What Pillow makes of it, as by `resize`, is a plain Pillow image.
    """

    def save(
        self,
        fp: str | bytes | os.PathLike[str] | os.PathLike[bytes] | IO[bytes],
        format: str | None = None,  # noqa: A002  (as Pillow calls it)
        **params: Any,
    ) -> None:
        """Writes the picture as Pillow does; `params` are the options of its formats."""
        name = format or _format_of(fp)
        super().save(fp, format, **{**_carried(self.info, name.upper()), **params})


def savable(image: Image) -> SavableImage:
    """A Pillow image as by `to_pillow`, whose EXIF and XMP say its size and what made it."""
    made = SavableImage()
    made.__dict__.update(to_pillow(metadata.stated(image)).__dict__)
    return made


def _format_of(fp: object) -> str:
    """The format that the name of a file stands for; "" if it has none that Pillow knows."""
    name = fp if isinstance(fp, (str, bytes, os.PathLike)) else getattr(fp, "name", "")
    try:
        suffix = PurePath(os.fsdecode(name)).suffix.lower()
    except TypeError:  # a file that was opened by number
        return ""
    return Pillow.registered_extensions().get(suffix, "")


def _carried(info: Mapping[str | tuple[int, int], Any], name: str) -> dict[str, Any]:
    """What Pillow's `save` takes to write profile, EXIF, XMP and density in a format."""
    options = {key: info[key] for key in ("icc_profile", "exif", "xmp", "dpi") if info.get(key)}
    if isinstance(options.get("exif"), Pillow.Exif):
        options["exif"] = options["exif"].tobytes()
    if name == "TIFF":  # not every tag of a photograph may be in one
        options["exif"] = tiff.portable(options.get("exif"), options.get("xmp"))
    if name == "PNG" and "xmp" in options:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt(metadata.PNG_XMP, options["xmp"].decode("utf-8", "replace"))
    if name == "JPEG":
        for key in ("exif", "xmp"):
            if len(options.get(key, b"")) > SEGMENT:
                log.warning("jpeg cannot store %d bytes of %s", len(options.pop(key)), key.upper())
    return options
