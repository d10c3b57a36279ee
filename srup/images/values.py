"""What travels: an image with everything that came with it, and several of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Pixels = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Image:
    """`pixels` H×W×3 (RGB) or H×W×1 (grey), `alpha` H×W, both uint8 or both uint16, upright; and
    what came with them in the file.

    `icc` says what the values mean. `exif` is a block as JPEG has it ("Exif", two zeros, a TIFF
    header), `xmp` an XML packet, `iptc` IIM records, `text` the keys and values of a PNG file,
    `dpi` pixels per inch across and down.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def depth(self) -> int:
        """Bits per channel: 8 or 16."""
        return self.pixels.dtype.itemsize * 8

    @property
    def nbytes(self) -> int:
        return self.pixels.nbytes + (0 if self.alpha is None else self.alpha.nbytes)

    def with_pixels(self, pixels: Pixels, alpha: Pixels | None) -> Image:
        return replace(self, pixels=pixels, alpha=alpha)

    def stripped(self) -> Image:
        """Without metadata; profile and density stay, which say what the values are and how large
        it prints.
        """
        return replace(self, exif=None, xmp=None, iptc=None, text=())

    def eight(self) -> Image:
        """With 8 bits per channel."""
        if self.depth == 8:
            return self
        alpha = None if self.alpha is None else _eight(self.alpha)
        return self.with_pixels(_eight(self.pixels), alpha)


def _eight(values: Pixels) -> Bytes:
    """16 bits to 8, rounded: n·255/65535 in whole numbers."""
    return ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)


@dataclass(frozen=True, eq=False)
class Pages:
    """The pictures of a file: one, the pages of a document, or the frames of an animation, each
    complete.

    `durations` are those of an animation's frames in milliseconds; where there are none, `images`
    are pages. `plays` is how often an animation is shown, 0 for ever.
    """

    images: tuple[Image, ...]
    durations: tuple[float, ...] = ()
    plays: int = 0

    def __post_init__(self) -> None:
        assert self.images, "no pages"
        assert not self.durations or len(self.durations) == len(self.images), (
            "a duration for each frame"
        )

    @property
    def animated(self) -> bool:
        return bool(self.durations)

    def __len__(self) -> int:
        return len(self.images)

    def map(self, change: Callable[[Image], Image]) -> Pages:
        """The same with each image changed."""
        return replace(self, images=tuple(change(image) for image in self.images))
