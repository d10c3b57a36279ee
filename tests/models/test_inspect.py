"""What is found about pictures that were made, compressed, made noisy and enlarged as known."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from srup.images import Compression, Image, Pages, read_image, read_pages
from srup.models.inspect import Inspection, inspection_of
from srup.resize import imresize
from tests.data.draw import draw

DRAWN = np.asarray(draw(384, 288))


@pytest.fixture(scope="module")
def kodak(shared: Path) -> Sequence[np.ndarray]:
    """Some of the photographs of Kodak's set."""
    folder = shared / "datasets" / "Kodak"
    if not folder.is_dir():
        pytest.skip(f"needs the photographs in {folder}")
    return [read_image(path).pixels for path in sorted(folder.iterdir())[::4]]


def smooth(height: int = 320, width: int = 320) -> np.ndarray:
    """A picture H×W×3 of floats without any detail, around the middle of the range."""
    y, x = np.mgrid[:height, :width]
    light = 110 + 50 * np.sin(x / 90) + 40 * np.cos(y / 70)
    return np.asarray(light[:, :, None] * [1.0, 0.9, 0.8])


def noisy(pixels: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, pixels.shape)
    return np.rint(pixels + noise).clip(0, 255).astype(np.uint8)


def found_in(pixels: np.ndarray, alpha: np.ndarray | None = None) -> Inspection:
    return inspection_of(Pages((Image(pixels, alpha),)))


def saved(pixels: np.ndarray, kind: str, quality: int) -> Pages:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, kind, quality=quality)
    return read_pages(file)


def clipart() -> Pillow.Image:
    """Ellipses of one colour each, with soft black outlines."""
    picture = Pillow.new("RGB", (1536, 1024), "#87ceeb")
    pen, random = ImageDraw.Draw(picture), np.random.default_rng(3)
    for _ in range(30):
        x, y, radius = (int(value) for value in random.integers(200, 900, 3))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        box = [x, y, x + radius, y + radius // 2]
        pen.ellipse(box, fill=colour, outline="black", width=12)
    return picture.resize((768, 512), Pillow.Resampling.LANCZOS)


@pytest.mark.parametrize("sigma", [1, 2, 3, 5, 8, 10, 15])
def test_noise_of_a_smooth_picture(sigma: float) -> None:
    assert found_in(noisy(smooth(), sigma)).noise == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("sigma", [2, 3, 5, 8, 10, 15])
def test_noise_of_photographs(kodak: Sequence[np.ndarray], sigma: float) -> None:
    """Their own grain counts, too: squares of deviations add up."""
    for pixels in kodak:
        own, noise = found_in(pixels).noise, found_in(noisy(pixels, sigma)).noise
        assert own is not None
        assert noise == pytest.approx(np.hypot(sigma, own), rel=0.15)


@pytest.mark.parametrize("sigma", [0, 5, 10, 15])
@pytest.mark.parametrize("side", [48, 64, 100, 120])
def test_noise_of_a_small_smooth_picture(sigma: float, side: int) -> None:
    noise = found_in(noisy(smooth(side, side), sigma)).noise
    assert noise == (pytest.approx(sigma, rel=0.15) if sigma else None)


@pytest.mark.parametrize("sigma", [10, 15])
def test_noise_of_small_photographs(kodak: Sequence[np.ndarray], sigma: float) -> None:
    """What is detail in a clean one is not told, and adds hardly to the noise of others."""
    for pixels in kodak:
        small = imresize(pixels, scale=1 / 6)
        assert found_in(small).noise is None
        assert found_in(noisy(small, sigma)).noise == pytest.approx(sigma, rel=0.2)


def test_clean_photographs(kodak: Sequence[np.ndarray]) -> None:
    found = [found_in(pixels) for pixels in kodak]
    assert np.median([each.noise for each in found if each.noise is not None]) < 1.3
    for each in found:
        assert each.noise is not None and each.noise < 2.2
        assert each.enlarged is False
        assert (each.kind, each.quality, each.compressed) == ("photograph", None, False)


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_photographs_saved_as_jpeg_and_again_as_png(
    kodak: Sequence[np.ndarray], quality: int
) -> None:
    for pixels in kodak:
        pages = saved(pixels, "JPEG", quality)
        found = inspection_of(Pages(pages.images))
        assert found.traces == pytest.approx(quality, abs=3)
        assert found.compressed
        assert (found.kind, found.enlarged) == ("photograph", False)


def test_photographs_that_were_enlarged(kodak: Sequence[np.ndarray]) -> None:
    for pixels in kodak:
        for scale in (2, 4):
            part = np.ascontiguousarray(pixels[100:292, 100:292])
            assert found_in(imresize(part, scale=scale)).enlarged
            assert not found_in(imresize(part, scale=scale)).compressed


def test_noise_is_not_enlarged_detail_nor_the_other_way_round() -> None:
    enlarged = imresize(DRAWN, scale=2)
    assert found_in(enlarged).enlarged
    assert not found_in(noisy(enlarged, 10)).enlarged
    assert found_in(DRAWN).enlarged is False


def test_noise_that_was_enlarged_is_still_seen() -> None:
    noise = found_in(imresize(noisy(smooth(), 8), scale=2)).noise
    assert noise is not None and noise > 4


@pytest.mark.parametrize("quality", [95, 90, 80])
def test_noise_that_compression_left(quality: int) -> None:
    """Fine compression lowers noise; it is neither taken for clean, nor for more than it was."""
    noise = inspection_of(saved(noisy(smooth(), 8), "JPEG", quality)).noise
    assert noise is not None and 4 < noise < 8.8
    clean = inspection_of(saved(noisy(smooth(), 0), "JPEG", quality)).noise
    assert clean is not None and clean < 1


def test_noise_that_compression_hides_is_not_told() -> None:
    assert inspection_of(saved(noisy(smooth(), 3), "JPEG", 30)).noise is None
    assert inspection_of(saved(noisy(smooth(), 0), "JPEG", 30)).noise is None


def test_noise_is_looked_for_in_the_blocks_of_a_crop() -> None:
    """Corners of blocks in the middle of what is looked at would be noise."""
    pixels = saved(DRAWN, "JPEG", 80).images[0].pixels
    for crop in (0, 4):
        noise = found_in(np.ascontiguousarray(pixels[crop:, crop:])).noise
        assert noise is not None and noise < 1


def test_noise_beside_a_border_of_one_colour() -> None:
    """Blocks of one value are left out. Half of a block may still be border."""
    framed = np.pad(noisy(smooth(), 5), ((99, 99), (99, 99), (0, 0)), constant_values=128)
    assert found_in(framed).noise == pytest.approx(5, rel=0.2)


def test_the_quality_is_the_lowest_that_is_known() -> None:
    once = saved(DRAWN, "JPEG", 50)
    again = saved(once.images[0].pixels, "JPEG", 92)
    assert inspection_of(again).compression == Compression("jpeg", True, 92, "4:2:0")
    assert inspection_of(again).quality == pytest.approx(50, abs=3)
    assert inspection_of(once).quality == 50
    webp = saved(DRAWN, "WEBP", 60)
    assert inspection_of(webp).quality == pytest.approx(60, abs=3)
    assert found_in(DRAWN).quality is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_drawings(kind: str) -> None:
    assert inspection_of(saved(np.asarray(clipart()), kind, 85)).kind == "drawing"


def test_a_photograph_on_white_is_no_drawing(kodak: Sequence[np.ndarray]) -> None:
    for pixels in kodak:
        framed = np.pad(pixels, ((300, 300), (300, 300), (0, 0)), constant_values=255)
        assert found_in(framed).kind == "photograph"


def test_every_kind_of_page_is_looked_at_alike() -> None:
    colours = noisy(smooth(), 6)
    grey = np.ascontiguousarray(colours[:, :, 1:2])
    expected = found_in(colours).noise
    assert found_in(grey).noise == pytest.approx(expected)
    assert found_in(grey.repeat(3, 2)).noise == pytest.approx(expected)
    assert found_in(colours.astype(np.uint16) * 257).noise == pytest.approx(expected)
    frames = Pages((Image(colours), Image(noisy(smooth(), 20))), durations=(40.0, 40.0))
    assert inspection_of(frames).noise == pytest.approx(expected)


@pytest.mark.parametrize("depth", [8, 16])
def test_hidden_pixels_are_not_looked_at(depth: int) -> None:
    """What lies under alpha 0 here is noise, and what is visible has next to none."""
    alpha = np.zeros((320, 320), np.uint8)
    alpha[64:256, 64:256] = 255
    hidden = np.random.default_rng(0).integers(0, 256, (320, 320, 3))
    pixels = np.where(alpha[:, :, None] > 0, noisy(smooth(), 1), hidden).astype(np.uint8)
    if depth == 16:
        pixels, alpha = pixels.astype(np.uint16) * 257, alpha.astype(np.uint16) * 257
    noise = found_in(pixels, alpha).noise
    assert noise == pytest.approx(1, abs=0.2)


def test_an_outline_leaves_no_trace_of_what_it_hides() -> None:
    """No tile is wholly visible, so hidden pixels get the colours around them."""
    y, x = np.mgrid[:64, :64]
    alpha = np.where((y - 32) ** 2 + (x - 32) ** 2 < 700, 255, 0).astype(np.uint8)
    hidden = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    visible = np.array([200, 60, 30])
    pixels = np.where(alpha[:, :, None] > 0, visible, hidden).astype(np.uint8)
    assert found_in(pixels, alpha) == found_in(np.full((64, 64, 3), visible, np.uint8))


def test_nothing_is_told_of_what_cannot_be_seen() -> None:
    nothing = Inspection((320, 320), None)
    assert found_in(noisy(smooth(), 5), np.zeros((320, 320), np.uint8)) == nothing


def test_of_a_large_picture_that_is_mostly_hidden_only_what_is_visible_counts() -> None:
    alpha = np.zeros((320, 2000), np.uint8)
    alpha[64:128, 64:128] = 255
    picture = np.concatenate([noisy(smooth(320, 1000), 10), smooth(320, 1000).astype(np.uint8)], 1)
    assert found_in(picture, alpha).noise == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 3)])
def test_pictures_too_small_to_tell(size: tuple[int, int]) -> None:
    width, height = size
    assert found_in(np.asarray(draw(width, height))) == Inspection(size, None)


@pytest.mark.parametrize("size", [(16, 16), (40, 30), (17, 2000), (63, 64), (100, 90)])
def test_small_pictures_are_no_error(size: tuple[int, int]) -> None:
    found = found_in(np.asarray(draw(*size)))
    assert found.kind
    assert found.size == size
    assert found.noise is None or size == (17, 2000)


def test_the_same_picture_gives_the_same_answer() -> None:
    large = noisy(smooth(1600, 1600), 5)
    assert found_in(large) == found_in(large)
    assert found_in(large).noise == pytest.approx(5, rel=0.1)
