from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from srup.images.degrade import Operation
from srup.training.degradations import DEGRADATIONS, MARGIN, Degradation, degrade_batch, draw
from tests.data.draw import draw as picture

PHOTO = DEGRADATIONS["photo"]
# one thing at a time, to every patch
NOISE = replace(PHOTO, clean=0.0, blurred=0.0, noisy=1.0, compressed=0.0)
JPEG = replace(PHOTO, clean=0.0, blurred=0.0, noisy=0.0, compressed=1.0, webp=0.0, subsampled=0.0)
DRAWS = 6000


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Operation, ...]]:
    random = np.random.default_rng(0)
    return [draw(PHOTO, random) for _ in range(DRAWS)]


def strengths(drawn: list[tuple[Operation, ...]], *kinds: str) -> np.ndarray:
    return np.array([each.strength for patch in drawn for each in patch if each.kind in kinds])


def wide(count: int, side: int = 32) -> np.ndarray:
    """`count` times the same picture with margins."""
    length = side + 2 * MARGIN
    return np.stack([np.asarray(picture(length, length))] * count)


def test_a_sixth_stays_clean_and_the_rest_has_its_shares(
    drawn: list[tuple[Operation, ...]],
) -> None:
    assert drawn.count(()) / DRAWS == pytest.approx(1 / 6, abs=0.02)
    rest = DRAWS * (1 - PHOTO.clean)
    compressed = len(strengths(drawn, "jpeg", "jpeg444", "webp"))
    assert compressed / rest == pytest.approx(PHOTO.compressed, abs=0.02)
    assert len(strengths(drawn, "webp")) / compressed == pytest.approx(PHOTO.webp, abs=0.02)
    halved, full = len(strengths(drawn, "jpeg")), len(strengths(drawn, "jpeg444"))
    assert halved / (halved + full) == pytest.approx(PHOTO.subsampled, abs=0.02)
    noisy = len(strengths(drawn, "noise", "sensor-noise"))
    assert noisy / rest == pytest.approx(PHOTO.noisy, abs=0.02)
    assert len(strengths(drawn, "sensor-noise")) / noisy == pytest.approx(0.5, abs=0.04)
    assert len(strengths(drawn, "blur")) / rest == pytest.approx(PHOTO.blurred, abs=0.02)


@pytest.mark.parametrize(
    ("kinds", "low", "high"),
    [
        (("blur",), 0.0, 0.6),
        (("noise",), 0.0, 8.0),
        (("sensor-noise",), 0.0, 8.0),
        (("jpeg",), 30, 97),
        (("jpeg444",), 30, 97),
        (("webp",), 30, 97),
    ],
)
def test_strengths_fill_their_ranges(
    drawn: list[tuple[Operation, ...]], kinds: tuple[str, ...], low: float, high: float
) -> None:
    found = strengths(drawn, *kinds)
    spread = high - low
    assert low <= found.min() < low + 0.03 * spread
    assert high - 0.03 * spread < found.max() <= high
    assert found.mean() == pytest.approx((low + high) / 2, abs=0.03 * spread)


def test_operations_come_in_the_order_of_a_camera(drawn: list[tuple[Operation, ...]]) -> None:
    order = ("blur", "noise", "sensor-noise", "jpeg", "jpeg444", "webp")
    for patch in drawn:
        places = [order.index(each.kind) for each in patch]
        assert places == sorted(places)
    assert max(map(len, drawn)) == 3


def test_a_batch_is_a_function_of_its_seed() -> None:
    lr = wide(8)
    first, again, other = (degrade_batch(lr, PHOTO, seed=(0, n, 2)) for n in (1, 1, 2))
    assert first.shape == (8, 32, 32, 3)
    assert (first == again).all()
    assert (first != other).any()


def test_clean_patches_are_what_is_inside_the_margin() -> None:
    lr = wide(3)
    clean = degrade_batch(lr, replace(PHOTO, clean=1.0), seed=(0,))
    assert (clean == lr[:, MARGIN:-MARGIN, MARGIN:-MARGIN]).all()


def test_noise_is_as_strong_as_it_was_drawn() -> None:
    grey = np.full((400, 32 + 2 * MARGIN, 32 + 2 * MARGIN, 3), 128, np.uint8)
    error = degrade_batch(grey, NOISE, seed=(5,)).astype(float) - 128
    measured = error.std((1, 2, 3))
    assert measured.max() < 8.0 * 1.1
    assert measured.mean() == pytest.approx(4.0, abs=0.4)
    assert measured.min() < 0.5


def phase(patch: np.ndarray) -> int:
    """The column, modulo 8, left of which a compressed patch is least smooth."""
    jumps = np.abs(np.diff(patch.astype(float), axis=1)).mean((0, 2))
    means = [jumps[start::8].mean() for start in range(8)]
    return (int(np.argmax(means)) + 1) % 8


@pytest.mark.parametrize("turned", [False, True])
def test_blocks_of_jpeg_lie_anywhere_in_a_patch(turned: bool) -> None:
    """Of a soft slope at the lowest quality little but the edges of blocks is left."""
    length = 48 + 2 * MARGIN
    slope = np.add.outer(np.arange(length), np.arange(length)) * 1.0 + 30
    lr = np.repeat(slope.astype(np.uint8)[None, :, :, None], 3, 3).repeat(80, 0)
    patches = degrade_batch(lr, replace(JPEG, quality=(1, 1)), seed=(1,))
    if turned:
        patches = patches.transpose(0, 2, 1, 3)
    assert {phase(patch) for patch in patches} == set(range(8))


def test_surroundings_are_degraded_with_a_patch() -> None:
    """A blur takes from beyond the patch: it is that of the whole, cut out."""
    lr = wide(4)
    blur = replace(PHOTO, clean=0.0, blurred=1.0, blur=(2.0, 2.0), noisy=0.0, compressed=0.0)
    patches = degrade_batch(lr, blur, seed=(1,))
    assert (patches == patches[0]).all()


def test_the_document_has_the_table() -> None:
    document = Path(__file__).parents[2] / ".github" / "docs" / "training.md"
    text = document.read_text()
    for name, share, (low, high), unit in (
        ("blur", PHOTO.blurred, PHOTO.blur, "σ {} LR pixels"),
        ("noise", PHOTO.noisy, PHOTO.noise, "σ {} of 255"),
        ("JPEG or WebP", PHOTO.compressed, PHOTO.quality, "quality {}"),
    ):
        assert f"| {name} | {share} | {unit.format(f'{low:g}–{high:g}')} |" in text


def test_ranges_of_ones_own() -> None:
    own = Degradation(
        clean=0.0,
        blurred=0.0,
        blur=(0.0, 0.0),
        noisy=1.0,
        noise=(20.0, 20.0),
        demosaiced=0.0,
        compressed=1.0,
        webp=1.0,
        subsampled=0.0,
        quality=(60, 60),
        validated=("webp:60",),
    )
    assert draw(own, np.random.default_rng(0)) == (Operation("noise", 20.0), Operation("webp", 60))
