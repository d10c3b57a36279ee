"""Colour profiles: what is not RGB, or goes where no profile can be told, becomes sRGB."""

from __future__ import annotations

import io
import logging
import struct

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

from srup.images.values import Bytes

log = logging.getLogger(__name__)

_srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB: bytes = _srgb.tobytes()


PRIMARIES = {  # code of ITU-T H.273 → name, x and y of red, green and blue, and their X, Y, Z adapted to D50 (Bradford)
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
    """The profile for primaries that a file names by a code alone: sRGB's, with these.

    None for sRGB's own and unknown ones.
    """
    if primaries not in PRIMARIES:
        return None
    name, chromaticities, columns = PRIMARIES[primaries]
    profile = bytearray(SRGB)
    for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True):
        struct.pack_into(
            ">3i", profile, _place(profile, tag) + 8, *(round(value * 65536) for value in column)
        )
    struct.pack_into(
        ">6I",
        profile,
        _place(profile, b"chrm") + 12,
        *(round(value * 65536) for value in chromaticities),
    )
    place, length = profile.index("sRGB".encode("utf-16-be")), len("sRGB built-in")
    profile[place : place + 2 * length] = name.ljust(length).encode("utf-16-be")
    return bytes(profile)


def _place(profile: bytes | bytearray, tag: bytes) -> int:
    """Where the data of a tag begin."""
    count = int.from_bytes(profile[128:132], "big")
    entries = (profile[132 + 12 * number : 144 + 12 * number] for number in range(count))
    return next(int.from_bytes(entry[4:8], "big") for entry in entries if entry[:4] == tag)


def to_srgb(image: Pillow.Image, icc: bytes | None, name: str) -> Pillow.Image:
    """Inks or L*a*b* as colours of a screen: through the profile if there is one, and says so."""
    if icc or image.mode == "LAB":
        try:
            own = ImageCms.ImageCmsProfile(
                io.BytesIO(icc) if icc else ImageCms.createProfile("LAB")
            )
            described = ImageCms.getProfileDescription(own).strip()
            converted = _converted(image, own)
        except (ImageCms.PyCMSError, OSError):
            log.warning("%s has a colour profile that cannot be used", name)
        else:
            log.warning(
                "%s is in %s: converted to sRGB through its profile (%s)",
                name,
                image.mode,
                described,
            )
            return converted
    log.warning(
        "%s is in %s without a profile: converted to sRGB by the plain formula", name, image.mode
    )
    return image.convert("RGB")


def as_srgb(pixels: Bytes, icc: bytes) -> Bytes | None:
    """Pixels H×W×3 of a profile as those of sRGB; None if the profile is none for them."""
    try:
        return np.asarray(
            _converted(
                Pillow.fromarray(np.ascontiguousarray(pixels)),
                ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            )
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _converted(image: Pillow.Image, own: ImageCms.ImageCmsProfile) -> Pillow.Image:
    """As Photoshop does by default: relative colorimetric, black points matched."""
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    converted = ImageCms.profileToProfile(
        image, own, _srgb, renderingIntent=intent, outputMode="RGB", flags=flags
    )
    assert converted is not None
    return converted
