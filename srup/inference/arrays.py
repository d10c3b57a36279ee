"""NumPy arrays as images and back: uint8, uint16, or floats in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from srup.errors import UsageError
from srup.images import Image

Array = NDArray[Any]

KINDS = "uint8, uint16 or floats in [0, 1], H×W or H×W×1, 3 or 4"
CHANNELS = (1, 3, 4)
LEVELS = 65_535  # floats are computed as whole numbers of 16 bits


def image_of(array: Array) -> Image:
    """The image that an array H×W or H×W×C (grey, RGB or RGBA) holds.

    Floats become 16 bits per channel. Raises UsageError for arrays of other kinds and shapes, and
    for floats beyond [0, 1].
    """
    whole = array.dtype in (np.uint8, np.uint16)
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in CHANNELS)
    if not (shaped and array.size and (whole or is_float(array))):
        raise UsageError(f"an array must be {KINDS}, not {array.dtype} {array.shape}")
    planes = array.reshape(*array.shape[:2], -1)
    if is_float(array):
        planes = _whole_numbers(planes)
    return Image(planes[:, :, :3], planes[:, :, 3] if planes.shape[2] == 4 else None)


def is_float(array: Array) -> bool:
    """Whether an array holds numbers with fractions."""
    return bool(np.issubdtype(array.dtype, np.floating))


def _whole_numbers(planes: Array) -> NDArray[np.uint16]:
    """Floats in [0, 1] as 16 bits. Raises UsageError."""
    low, high = planes.min(), planes.max()
    if not (low >= 0 and high <= 1):  # not a number is neither
        raise UsageError(
            f"an array of floats must be in [0, 1], not from {low:g} to {high:g}; "
            "divide it by what stands for white"
        )
    return np.rint(planes * np.float32(LEVELS)).astype(np.uint16)


def array_of(image: Image, like: Array) -> Array:
    """The pixels of an image as an array of the type and with the dimensions of another one."""
    planes: Array = image.pixels
    if image.alpha is not None:
        planes = np.dstack([image.pixels, image.alpha])
    if is_float(like):
        planes = (planes / np.float64(LEVELS)).astype(like.dtype)
    return planes.reshape(*planes.shape[:2], *like.shape[2:])
