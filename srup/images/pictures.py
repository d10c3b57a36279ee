"""Converts an `Image` to a Pillow image."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image as Pillow

from srup.images.values import Image


def to_pillow(image: Image) -> Pillow.Image:
    """A Pillow image of mode L, LA, RGB, RGBA or I;16, with the metadata in `info`.

    Pillow has a mode of 16 bits per channel only for grey without alpha: all others get 8 bits.
    """
    converted = pixels_to_pillow(image)
    converted.info.update(pillow_info(image))
    return converted


def pixels_to_pillow(image: Image) -> Pillow.Image:
    """The same without metadata."""
    if image.depth == 16 and (image.alpha is not None or image.pixels.shape[2] == 3):
        image = image.eight()
    planes = image.pixels
    if image.alpha is not None:
        planes = np.dstack([image.pixels, image.alpha])
    elif planes.shape[2] == 1:
        planes = planes.squeeze(2)  # Pillow wants grey as H×W
    return Pillow.fromarray(np.ascontiguousarray(planes))


def pillow_info(image: Image) -> dict[str, Any]:
    """Profile, EXIF, density and XMP under the keys of Pillow's `info` and `save`."""
    found = {"icc_profile": image.icc, "exif": image.exif, "dpi": image.dpi, "xmp": image.xmp}
    return {key: value for key, value in found.items() if value is not None}
