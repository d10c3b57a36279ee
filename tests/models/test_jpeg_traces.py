"""Traces of JPEG in pixels that were compressed with a known quality."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as Pillow

from srup.models.jpeg_traces import JpegTraces, jpeg_traces
from srup.resize import imresize
from tests.data.draw import draw

SIDE = 384
CLEAN = np.asarray(draw(SIDE + 16, SIDE + 16).convert("L"))
TILE = 64


def compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "JPEG", quality=quality)
    with Pillow.open(file) as opened:
        return np.asarray(opened)


def traces(pixels: np.ndarray) -> JpegTraces:
    """Those in the top left of a grey picture."""
    count = SIDE // TILE
    tiles = pixels[:SIDE, :SIDE].reshape(count, TILE, count, TILE).transpose(0, 2, 1, 3)
    return jpeg_traces(np.float32(tiles.reshape(-1, TILE, TILE)))


@pytest.mark.parametrize("quality", [15, 30, 45, 60, 75, 85, 90, 95])
def test_quality_of_a_picture_that_was_compressed_once(quality: int) -> None:
    assert traces(compressed(CLEAN, quality)).quality == pytest.approx(quality, abs=2)


@pytest.mark.parametrize("quality", [30, 50, 70])
@pytest.mark.parametrize(("down", "across"), [(0, 0), (3, 0), (2, 7)])
def test_the_grid_may_begin_anywhere(quality: int, down: int, across: int) -> None:
    found = traces(compressed(CLEAN, quality)[down:, across:])
    assert found.quality == pytest.approx(quality, abs=2)
    assert found.offset == (-down % 8, -across % 8)
    assert found.blockiness is not None and found.blockiness > 1.05


@pytest.mark.parametrize("quality", [30, 50, 70])
@pytest.mark.parametrize("crop", [0, 4])
def test_the_coarser_of_two_compressions_is_found(quality: int, crop: int) -> None:
    twice = compressed(compressed(CLEAN, quality)[crop:, crop:], 95)
    assert traces(twice).quality == pytest.approx(quality, abs=3)


def test_blocks_outlive_a_change_of_brightness() -> None:
    brighter = 255 * (compressed(CLEAN, 40) / 255) ** 0.8
    found = traces(np.rint(brighter))
    assert found.blockiness is not None and found.blockiness > 1.05


def test_coarser_compression_makes_stronger_blocks() -> None:
    strengths = [traces(compressed(CLEAN, quality)).blockiness for quality in (20, 40, 60, 80)]
    assert strengths == sorted(strengths, reverse=True)


@pytest.mark.parametrize(
    "pixels",
    [
        CLEAN,
        imresize(CLEAN[:200, :200], scale=2),
        imresize(CLEAN[:100, :100], scale=4),
        CLEAN[:50, :50].repeat(8, 0).repeat(8, 1),  # a mosaic has borders, but nothing within
        np.random.default_rng(0).integers(0, 256, (SIDE, SIDE)),
        np.where(CLEAN > 128, 255, 0),
        np.full((SIDE, SIDE), 77),
        np.zeros((SIDE, SIDE)),
    ],
    ids=["clean", "twice", "four times", "mosaic", "noise", "two values", "flat", "black"],
)
def test_nothing_is_found_where_nothing_was_compressed(pixels: np.ndarray) -> None:
    found = traces(pixels)
    assert found.quality is None
    assert found.blockiness is not None and found.blockiness < 1.05


def test_few_blocks_tell_no_blockiness() -> None:
    assert jpeg_traces(np.zeros((1, TILE, TILE), np.float32)).blockiness is None
