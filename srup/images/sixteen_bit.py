"""Sixteen bits per channel in colour or with alpha, which Pillow has no mode for: libvips reads and
writes them.
"""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from srup.images.values import Image, Pixels

log = logging.getLogger(__name__)

Planes = tuple[NDArray[np.uint16], NDArray[np.uint16] | None]

TURNS = {  # EXIF orientation → transposed first, then rows and columns read backwards
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
    try:
        import pyvips
    except (ImportError, OSError):  # OSError: no libvips beside it
        return None
    return pyvips  # type: ignore[no-any-return]


@functools.cache
def _tell_once() -> None:
    log.warning("of images with 16 bits per channel 8 are kept; pip install 'srup[vips]' keeps all")


def read(source: str | Path | BinaryIO, page: int, name: str) -> Planes | None:
    """Pixels H×W×(1|3) and alpha of a PNG or TIFF file, not turned; None, and a warning once, where
    only 8 bits can be read.
    """
    vips = available()
    if vips is None:
        _tell_once()
        return None
    try:
        image = _open(vips, source, page)
        if image.format != "ushort" or image.interpretation not in ("rgb16", "grey16"):
            log.warning(
                "%s has %s values in %s: 8 bits are kept", name, image.format, image.interpretation
            )
            return None
        values: NDArray[np.uint16] = image.numpy().reshape(image.height, image.width, image.bands)
    except vips.Error as error:
        raise OSError(" ".join(str(error).split())) from error
    colours = 3 if image.interpretation == "rgb16" else 1
    alpha = values[:, :, colours] if image.bands > colours else None
    return np.ascontiguousarray(values[:, :, :colours]), alpha


def _open(vips: ModuleType, source: str | Path | BinaryIO, page: int) -> Any:
    options = {"page": page} if page else {}
    if isinstance(source, (str, Path)):
        return vips.Image.new_from_file(str(source), fail_on="truncated", **options)
    source.seek(0)
    return vips.Image.new_from_buffer(source.read(), "", fail_on="truncated", **options)


def turned(plane: Pixels, orientation: int) -> Pixels:
    """A plane H×W or H×W×C as its EXIF orientation wants it seen."""
    transposed, rows, columns = TURNS.get(orientation, TURNS[1])
    plane = np.swapaxes(plane, 0, 1) if transposed else plane
    return np.ascontiguousarray(plane[:: -1 if rows else 1, :: -1 if columns else 1])


def needed(image: Image) -> bool:
    """Whether Pillow cannot write an image as it is."""
    return image.depth == 16 and (image.alpha is not None or image.pixels.shape[2] == 3)


def write(image: Image, path: Path, **options: Any) -> None:
    """Pixels and alpha of 16 bits without anything else, as PNG or TIFF by the extension.

    Raises OSError.
    """
    vips = available()
    assert vips is not None, "an image was read that could not have been"
    planes = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    height, width, bands = planes.shape
    made = vips.Image.new_from_memory(
        np.ascontiguousarray(planes).data, width, height, bands, "ushort"
    )
    try:
        made.copy(interpretation="rgb16" if bands > 2 else "grey16").write_to_file(
            str(path), keep="none", **options
        )
    except vips.Error as error:
        raise OSError(" ".join(str(error).split())) from error
