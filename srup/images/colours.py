"""Colour profiles: what is not RGB, or goes where no profile can be told, becomes sRGB."""

from __future__ import annotations

import io
import logging

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

from srup.images.values import Bytes

log = logging.getLogger(__name__)

_srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
SRGB: bytes = _srgb.tobytes()


def to_srgb(image: Pillow.Image, icc: bytes | None, name: str) -> Pillow.Image:
    """Inks or L*a*b* as colours of a screen: through the profile if there is one, and says so."""
    if icc or image.mode == "LAB":
        try:
            own = ImageCms.ImageCmsProfile(io.BytesIO(icc) if icc else ImageCms.createProfile("LAB"))
            described = ImageCms.getProfileDescription(own).strip()
            converted = _converted(image, own)
        except (ImageCms.PyCMSError, OSError):
            log.warning("%s has a colour profile that cannot be used", name)
        else:
            log.warning("%s is in %s: converted to sRGB through its profile (%s)", name, image.mode, described)
            return converted
    log.warning("%s is in %s without a profile: converted to sRGB by the plain formula", name, image.mode)
    return image.convert("RGB")


def as_srgb(pixels: Bytes, icc: bytes) -> Bytes | None:
    """Pixels H×W×3 of a profile as those of sRGB; None if the profile is none for them."""
    try:
        return np.asarray(_converted(Pillow.fromarray(np.ascontiguousarray(pixels)), ImageCms.ImageCmsProfile(io.BytesIO(icc))))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _converted(image: Pillow.Image, own: ImageCms.ImageCmsProfile) -> Pillow.Image:
    """As Photoshop does by default: relative colorimetric, black points matched."""
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    converted = ImageCms.profileToProfile(image, own, _srgb, renderingIntent=intent, outputMode="RGB", flags=flags)
    assert converted is not None
    return converted
