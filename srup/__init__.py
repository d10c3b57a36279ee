"""srup enlarges images with super-resolution networks.

import srup

enlarge = srup.load("lite", scale=4)
enlarge("photo.jpg").save("photo_x4.png")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from srup.version import __version__

if TYPE_CHECKING:
    from srup import batch
    from srup.errors import SrupError, UsageError
    from srup.images import Image, Pages, read_image, read_pages, write_image, write_pages
    from srup.inference.loading import load
    from srup.inference.upscaler import Upscaler

# Imported when first asked for: most of these bring torch, which takes seconds.
_MODULES = ("batch",)
_PUBLIC = {  # name → module
    "Image": "srup.images",
    "Pages": "srup.images",
    "SrupError": "srup.errors",
    "Upscaler": "srup.inference.upscaler",
    "UsageError": "srup.errors",
    "load": "srup.inference.loading",
    "read_image": "srup.images",
    "read_pages": "srup.images",
    "write_image": "srup.images",
    "write_pages": "srup.images",
}

__all__ = [
    "Image",
    "Pages",
    "SrupError",
    "Upscaler",
    "UsageError",
    "__version__",
    "batch",
    "load",
    "read_image",
    "read_pages",
    "write_image",
    "write_pages",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"srup.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'srup' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """What there is, whether it was imported already or not."""
    return sorted(__all__)
