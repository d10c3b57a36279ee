"""Reads and writes 16 bits per channel with libvips, where Pillow has no mode for them.

Pillow has one for grey alone, not for colour or alpha.
"""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from srup.images.values import Image, Pixels

log = logging.getLogger(__name__)

Planes = tuple[NDArray[np.uint16], NDArray[np.uint16] | None]

LOADERS = {"PNG": "pngload", "TIFF": "tiffload"}  # Pillow's name of a format → libvips's loader

# EXIF orientation → (transposed first, then rows in reverse, columns in reverse)
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def available() -> ModuleType | None:
    """The module pyvips; None if it or libvips is not installed."""
    try:
        import pyvips
    except (ImportError, OSError):  # OSError: pyvips without libvips
        return None
    return pyvips  # type: ignore[no-any-return]


@functools.cache
def _warn_once() -> None:
    log.warning(
        "16 bits per channel are read as 8 without libvips; pip install 'srup[vips]' keeps all"
    )


def read(
    source: str | Path | BinaryIO, kind: str, page: int, pixels: int, name: str
) -> Planes | None:
    """Reads pixels H×W×(1|3) and alpha H×W of a PNG or TIFF file, orientation not applied.

    `kind` is a key of LOADERS, `page` counts from 0, `pixels` is how many the page has, and `name`
    is what warnings call the file. None, with a warning, if only 8 bits can be read: libvips is
    missing, or the file has values of another kind. Raises OSError.
    """
    vips = available()
    if vips is None:
        _warn_once()
        return None
    try:
        image = _open(vips, source, kind, page)
        if image.width * image.height != pixels:  # the limit of pixels was checked for the others
            raise OSError("its size is stated twice, and differently")
        if image.format != "ushort" or image.interpretation not in ("rgb16", "grey16"):
            text = "%s has %s values in %s: read with 8 bits"
            log.warning(text, name, image.format, image.interpretation)
            return None
        values: NDArray[np.uint16] = image.numpy().reshape(image.height, image.width, image.bands)
    except vips.Error as error:
        raise OSError(" ".join(str(error).split())) from error
    colours = 3 if image.interpretation == "rgb16" else 1
    alpha = values[:, :, colours] if image.bands > colours else None
    return np.ascontiguousarray(values[:, :, :colours]), alpha


def begun(path: Path, page: int, rows: int) -> tuple[int, int]:
    """The size of a page of a TIFF file, whose first rows are decoded. Raises OSError."""
    vips = available()
    assert vips is not None, "an image was written that could not have been"
    try:
        image = _open(vips, path, "TIFF", page, access="sequential")
        image.crop(0, 0, image.width, min(rows, image.height)).copy_memory()
    except vips.Error as error:
        raise OSError(" ".join(str(error).split())) from error
    return image.width, image.height


def _open(
    vips: ModuleType,
    source: str | Path | BinaryIO,
    kind: str,
    page: int,
    access: str = "random",
) -> Any:
    """The vips image of a page; an error, not grey pixels, where the file is cut short."""
    # By name: left to choose a loader, libvips would have many more that a file could ask for.
    loader = LOADERS[kind]
    options: dict[str, Any] = {"fail_on": "truncated", "access": access}
    if page:
        options["page"] = page
    if not isinstance(source, (str, Path)):
        source.seek(0)
        return vips.Operation.call(f"{loader}_buffer", source.read(), **options)
    if not _is_utf8(source):
        return vips.Operation.call(f"{loader}_buffer", Path(source).read_bytes(), **options)
    # libvips remembers files by their names: this makes it look at the file again
    return vips.Operation.call(loader, str(source), revalidate=True, **options)


def _is_utf8(path: str | Path) -> bool:
    """Whether a path is UTF-8; libvips takes no other."""
    return os.fsencode(path) == str(path).encode(errors="replace")


def turned(plane: Pixels, orientation: int) -> Pixels:
    """A plane H×W or H×W×C with its EXIF orientation (1 to 8) applied."""
    transposed, rows, columns = TURNS.get(orientation, TURNS[1])
    if transposed:
        plane = np.swapaxes(plane, 0, 1)
    if rows:
        plane = plane[::-1]
    if columns:
        plane = plane[:, ::-1]
    return np.ascontiguousarray(plane)


def needed(image: Image) -> bool:
    """Whether an image has 16 bits that Pillow cannot write: in colour or with alpha."""
    return image.depth == 16 and (image.alpha is not None or image.pixels.shape[2] == 3)


def write(image: Image, path: Path, **options: Any) -> None:
    """Writes pixels and alpha without metadata, as PNG or TIFF by the extension of `path`.

    `options` are those of libvips. Raises OSError.
    """
    vips = available()
    assert vips is not None, "an image was read that could not have been"
    planes = image.pixels
    if image.alpha is not None:
        planes = np.dstack([image.pixels, image.alpha])
    height, width, bands = planes.shape
    data = np.ascontiguousarray(planes).data
    converted = vips.Image.new_from_memory(data, width, height, bands, "ushort")
    interpretation = "rgb16" if bands > 2 else "grey16"
    try:
        converted = converted.copy(interpretation=interpretation)
        if _is_utf8(path):
            converted.write_to_file(str(path), keep="none", **options)
        else:
            path.write_bytes(converted.write_to_buffer(path.suffix, keep="none", **options))
    except vips.Error as error:
        raise OSError(" ".join(str(error).split())) from error
