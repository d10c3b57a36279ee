"""Conversion to sRGB, and profiles for colour spaces that a file names by a code alone."""

from __future__ import annotations

import io
import logging
import struct

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

from srup.images.values import Bytes

log = logging.getLogger(__name__)

HEADER = 128  # bytes at the beginning of a profile

_srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB: bytes = _srgb.tobytes()

# Code of ITU-T H.273 → name; x and y of red, green and blue; and the X, Y, Z of these, adapted to
# the white point D50 of profiles (Bradford).
PRIMARIES = {
    9: (
        "Rec. 2020",
        (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
        ((0.67348, 0.27904, -0.00194), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79686)),
    ),
    12: (
        "Display P3",
        (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
        ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    ),
}


def profile_of(primaries: int) -> bytes | None:
    """A profile for primaries given as a code of ITU-T H.273: sRGB's, with these primaries.

    None for those of sRGB itself, which needs no profile, and for unknown codes.
    """
    if primaries not in PRIMARIES:
        return None
    name, chromaticities, columns = PRIMARIES[primaries]
    profile = bytearray(SRGB)
    # Eight bytes of type come before the numbers of a tag, and four more in "chrm".
    for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True):
        struct.pack_into(">3i", profile, _offset(profile, tag) + 8, *_fixed_point(column))
    place = _offset(profile, b"chrm") + 12
    struct.pack_into(">6I", profile, place, *_fixed_point(chromaticities))
    # The new name takes the place of "sRGB built-in", padded with spaces to the same length.
    place, length = profile.index("sRGB".encode("utf-16-be")), len("sRGB built-in")
    profile[place : place + 2 * length] = name.ljust(length).encode("utf-16-be")
    return bytes(profile)


def _fixed_point(values: tuple[float, ...]) -> list[int]:
    """Numbers as profiles store them, with 16 bits behind the point."""
    return [round(value * 65536) for value in values]


def _offset(profile: bytes | bytearray, tag: bytes) -> int:
    """Where the data of a tag begin, from the table behind the header."""
    count = int.from_bytes(profile[HEADER : HEADER + 4], "big")
    for number in range(count):
        start = HEADER + 4 + 12 * number
        if profile[start : start + 4] == tag:
            return int.from_bytes(profile[start + 4 : start + 8], "big")
    raise LookupError(tag)


def space_of(icc: bytes | None) -> bytes:
    """The colour space that a profile is for, such as b"RGB " or b"GRAY"; b"" without a profile."""
    return (icc or b"")[16:20]


def name_of(icc: bytes) -> str:
    """What a profile calls itself; "unknown" for one that cannot be read."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.getProfileDescription(profile).strip() or "unknown"
    except (ImageCms.PyCMSError, OSError):
        return "unknown"


def to_srgb(image: Pillow.Image, icc: bytes | None, name: str) -> Pillow.Image:
    """Converts CMYK or L*a*b* to sRGB, through the profile `icc` if there is one.

    Warns, because the result is not what the file had; `name` is what the warning calls it.
    """
    if icc or image.mode == "LAB":
        try:
            data = io.BytesIO(icc) if icc else ImageCms.createProfile("LAB")
            profile = ImageCms.ImageCmsProfile(data)
            description = ImageCms.getProfileDescription(profile).strip()
            converted = _converted(image, profile)
        except (ImageCms.PyCMSError, OSError):
            log.warning("%s has a colour profile that cannot be used", name)
        else:
            text = "%s is in %s: converted to sRGB through its profile (%s)"
            log.warning(text, name, image.mode, description)
            return converted
    text = "%s is in %s without a profile: converted to sRGB by the plain formula"
    log.warning(text, name, image.mode)
    return image.convert("RGB")


def as_srgb(pixels: Bytes, icc: bytes) -> Bytes | None:
    """Pixels H×W×3 converted to sRGB from the profile `icc`; None if it is not for RGB."""
    try:
        image = Pillow.fromarray(np.ascontiguousarray(pixels))
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return np.asarray(_converted(image, profile))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _converted(image: Pillow.Image, profile: ImageCms.ImageCmsProfile) -> Pillow.Image:
    """The image in sRGB, with Photoshop's defaults: relative colorimetric, black points matched."""
    converted = ImageCms.profileToProfile(
        image,
        profile,
        _srgb,
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return converted
