"""Image files of every format: whatever is in them, they are read or refused."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np

from srup.images import Image, Pages, looks_like_image, read_pages
from srup.models.inspect import inspection_of
from tests.fuzz import seeds
from tests.fuzz.mutation import mutated

MAX_PIXELS = 20_000_000


def make(chance: Random) -> bytes:
    return mutant(chance)


def mutant(chance: Random) -> bytes:
    """A file of any format, mutated."""
    others = list(seeds.files()[chance.choice(list(seeds.files()))].values())
    return mutated(chance.choice(others), chance, others)


def run(case: bytes, folder: Path) -> None:
    path = folder / "case.png"
    path.write_bytes(case)
    looks_like_image(path)
    pages = read_pages(path, max_pixels=MAX_PIXELS)
    check(pages)
    inspection_of(pages)
    with path.open("rb") as file:  # as from standard input
        again = read_pages(file, max_pixels=MAX_PIXELS)
    assert sizes(again) == sizes(pages), "an open file is another picture than its name"


def check(pages: Pages) -> None:
    """Raises AssertionError for what no decoder may make."""
    pixels = 0
    for image in pages.images:
        check_image(image)
        pixels += image.size[0] * image.size[1]
    assert pixels <= MAX_PIXELS, f"{pixels} pixels"


def check_image(image: Image) -> None:
    height, width, channels = image.pixels.shape
    assert height and width and channels in (1, 3), image.pixels.shape
    assert image.pixels.dtype in (np.uint8, np.uint16)
    if image.alpha is not None:
        assert (image.alpha.shape, image.alpha.dtype) == ((height, width), image.pixels.dtype)
    for block in (image.exif, image.xmp, image.icc, image.iptc):
        assert block is None or isinstance(block, bytes)
    assert image.dpi is None or all(0 < each < 1e6 for each in image.dpi)


def sizes(pages: Pages) -> list[tuple[int, int]]:
    return [image.size for image in pages.images]
