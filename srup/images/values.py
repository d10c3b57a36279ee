"""`Image`, pixels with all that came with them in the file, and `Pages`, several of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srup.images.provenance import Provenance

Bytes = NDArray[np.uint8]
Pixels = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Image:
    """An upright picture with its colour profile, density and metadata.

    `pixels` and `alpha` are both uint8 or both uint16. Alpha is not multiplied into the colours.
    """

    pixels: Pixels  # H×W×3 (RGB) or H×W×1 (grey)
    alpha: Pixels | None = None  # H×W, 0 for transparent
    icc: bytes | None = None  # colour profile: which colours the values stand for
    exif: bytes | None = None  # as in JPEG: "Exif", two zeros, a TIFF header
    dpi: tuple[float, float] | None = None  # pixels per inch, across and down
    xmp: bytes | None = None  # an XML packet
    iptc: bytes | None = None  # IIM records
    text: tuple[tuple[str, str], ...] = ()  # keys and values of a PNG file
    provenance: Provenance | None = None  # what made it, if srup did

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def depth(self) -> int:
        """Bits per channel: 8 or 16."""
        return self.pixels.dtype.itemsize * 8

    @property
    def nbytes(self) -> int:
        """Bytes of memory that pixels and alpha take."""
        if self.alpha is None:
            return self.pixels.nbytes
        return self.pixels.nbytes + self.alpha.nbytes

    def with_pixels(self, pixels: Pixels, alpha: Pixels | None) -> Image:
        """The same profile, density and metadata with other pixels."""
        return replace(self, pixels=pixels, alpha=alpha)

    def stripped(self) -> Image:
        """The image without EXIF, XMP, IPTC and texts, and without what made it.

        Profile and density stay: without them it would show other colours and print at another
        size.
        """
        return replace(self, exif=None, xmp=None, iptc=None, text=(), provenance=None)

    def eight(self) -> Image:
        """The image with 8 bits per channel, rounded."""
        if self.depth == 8:
            return self
        alpha = None if self.alpha is None else _rounded_to_bytes(self.alpha)
        return self.with_pixels(_rounded_to_bytes(self.pixels), alpha)


def _rounded_to_bytes(values: Pixels) -> Bytes:
    """n·255/65535 of 16-bit values, rounded in whole numbers."""
    return ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)


@dataclass(frozen=True)
class Compression:
    """How a file was compressed, by its header. None is what the header does not say."""

    format: str  # "jpeg", as in `FORMATS`, or Pillow's name in lower case
    lossy: bool | None = None  # False: it holds exactly the pixels that it was made of
    quality: int | None = None  # 1–100, as libjpeg counts for JPEG and libwebp for WebP
    chroma: str | None = None  # samples of chroma: "4:4:4", "4:2:2", "4:2:0"


@dataclass(frozen=True, eq=False)
class Pages:
    """The pictures of a file: one, the pages of a document, or the frames of an animation.

    Frames are complete pictures of one size. Pages may differ in size, depth and metadata.
    """

    images: tuple[Image, ...]
    durations: tuple[float, ...] = ()  # milliseconds of each frame; () if `images` are pages
    plays: int = 0  # how many times an animation is shown, 0 for ever
    compression: Compression | None = None  # of the file they were read from, if from one

    def __post_init__(self) -> None:
        assert self.images, "no pages"
        if self.durations:
            assert len(self.durations) == len(self.images), "a duration for each frame"

    @property
    def animated(self) -> bool:
        """Whether the images are the frames of an animation."""
        return bool(self.durations)

    def __len__(self) -> int:
        return len(self.images)

    def map(self, change: Callable[[Image], Image]) -> Pages:
        """The same pages with `change` applied to each image."""
        return replace(self, images=tuple(change(image) for image in self.images))
