"""An `Image` as one of Pillow's."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image as Pillow

from srup.images.values import Image


def to_pillow(image: Image) -> Pillow.Image:
    """A Pillow image of mode L, LA, RGB, RGBA or I;16, in 8 bits where Pillow has no mode for 16;
    `info` has what came along.
    """
    made = picture(image)
    made.info.update(described(image))
    return made


def picture(image: Image) -> Pillow.Image:
    if image.depth == 16 and (image.alpha is not None or image.pixels.shape[2] == 3):
        image = image.eight()
    planes = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    return Pillow.fromarray(
        np.ascontiguousarray(planes.squeeze(2) if planes.shape[2] == 1 else planes)
    )


def described(image: Image) -> dict[str, Any]:
    """What came with the image, in Pillow's words."""
    carried = {"icc_profile": image.icc, "exif": image.exif, "dpi": image.dpi, "xmp": image.xmp}
    return {key: value for key, value in carried.items() if value is not None}
