"""PNG files written by several threads hold the pixels, and filters choose themselves."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from srup.images import png
from srup.images.values import Image

SMOOTH = np.indices((600, 2500)).sum(0)  # a ramp: several bands in colour and 16 bits
NOISE = np.random.default_rng(5).integers(0, 65_536, (600, 2500))


def idat(path: Path) -> bytes:
    """The data of all IDAT chunks, each of whose checksums is checked."""
    file, joined, at = path.read_bytes(), b"", len(png.SIGNATURE)
    while at < len(file):
        length = int.from_bytes(file[at : at + 4], "big")
        body = file[at + 4 : at + 8 + length]
        assert zlib.crc32(body) == int.from_bytes(file[at + 8 + length : at + 12 + length], "big")
        joined += body[4:] if body.startswith(b"IDAT") else b""
        at += 12 + length
    return joined


def filters(path: Path, row: int) -> set[int]:
    """The filters of a file's rows of `row` bytes each, which must be one whole stream."""
    rows = np.frombuffer(zlib.decompress(idat(path)), np.uint8).reshape(-1, row + 1)
    return set(rows[:, 0].tolist())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("values", [SMOOTH, NOISE, NOISE[:1, :1], NOISE[:, :1]])
def test_pillow_reads_what_was_written(
    channels: int, alpha: bool, values: NDArray[np.int64], tmp_path: Path
) -> None:
    planes = np.stack([values * (number + 1) for number in range(4)], 2).astype(np.uint8)
    image = Image(planes[:, :, :channels], planes[:, :, 3] if alpha else None)
    png.write(image, tmp_path / "written.png")
    shown = [*range(channels), *([3] if alpha else [])]
    found = np.asarray(Pillow.open(tmp_path / "written.png"))
    assert (found.reshape(*values.shape, -1) == planes[:, :, shown]).all()


def test_sixteen_bits_of_grey(tmp_path: Path) -> None:
    png.write(Image(NOISE.astype(np.uint16)[:, :, None]), tmp_path / "written.png")
    assert (np.asarray(Pillow.open(tmp_path / "written.png")) == NOISE).all()


def test_a_picture_larger_than_a_band_is_one_stream(tmp_path: Path) -> None:
    image = Image(np.dstack([NOISE, SMOOTH, NOISE]).astype(np.uint16))
    assert image.nbytes > 2 * png.BAND
    png.write(image, tmp_path / "written.png")
    assert filters(tmp_path / "written.png", 2500 * 6) <= set(png.FILTERS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.random.default_rng(6).choice([0, 1, 77], (90, 400)), png.NONE),
        (np.random.default_rng(6).integers(0, 256, (90, 1)) + np.arange(400), png.SUB),
        (np.random.default_rng(6).integers(0, 256, (1, 400)) + np.arange(90)[:, None], png.UP),
    ],
)
def test_the_filter_is_chosen_by_the_picture(
    values: NDArray[np.int64], expected: int, tmp_path: Path
) -> None:
    png.write(Image(values.astype(np.uint8)[:, :, None]), tmp_path / "written.png")
    assert filters(tmp_path / "written.png", 400) == {expected}


def test_enlarged_photographs_are_smaller_by_average(tmp_path: Path) -> None:
    coarse = np.random.default_rng(7).integers(0, 256, (40, 40)).astype(np.uint8)
    enlarged = np.asarray(Pillow.fromarray(coarse).resize((400, 400), Pillow.Resampling.BICUBIC))
    png.write(Image(enlarged[:, :, None]), tmp_path / "written.png")
    assert filters(tmp_path / "written.png", 400) == {png.AVERAGE}
