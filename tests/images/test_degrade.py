from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from srup.errors import UsageError
from srup.images.degrade import KINDS, Operation, degraded_by, parsed
from tests.data.draw import draw

GREY = np.full((201, 180, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.asarray(draw(61, 45))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_a_spec_is_a_list_of_operations() -> None:
    assert parsed("clean") == ()
    assert parsed("blur:0.6") == (Operation("blur", 0.6),)
    assert parsed("noise:5+jpeg:75") == (Operation("noise", 5), Operation("jpeg", 75))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("jpg:75", "called 'jpg:75'; there are blur:N .*jpeg:N .*webp:N .*clean"),
        ("", "called ''"),
        ("noise:5+", "called ''"),
        ("clean+jpeg:75", "called 'clean'"),
        ("jpeg", "'jpeg' needs a whole number from 1 to 100"),
        ("jpeg:75.5", "a whole number"),
        ("webp:0", "from 1 to 100"),
        ("noise:lots", "a number from 0 to 100"),
        ("noise:nan", "a number from 0 to 100"),
        ("blur:-1", "σ in pixels"),
        ("noise:5+jpeg:101", "'jpeg:101' needs"),
    ],
)
def test_a_wrong_spec_says_what_there_is(spec: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parsed(spec)


def test_the_document_lists_every_kind() -> None:
    document = Path(__file__).parents[2] / ".github" / "docs" / "measuring.md"
    listed = re.findall(r"^\| `([\w-]+):N` .* (\d+)–(\d+) \|$", document.read_text(), re.MULTILINE)
    assert listed == [(name, f"{kind.low:g}", f"{kind.high:g}") for name, kind in KINDS.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_an_image_in_the_same_way_each_time(
    kind: str, picture: np.ndarray
) -> None:
    before = picture.copy()
    first, again = degraded_by(f"{kind}:9", picture), degraded_by(f"{kind}:9", picture)
    assert first.shape == picture.shape and first.dtype == np.uint8
    assert (first == again).all()
    assert (first != picture).any()
    assert (picture == before).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (9, 2, 3)])
def test_every_size_can_be_degraded(kind: str, shape: tuple[int, int, int]) -> None:
    assert degraded_by(f"{kind}:10", np.zeros(shape, np.uint8)).shape == shape


def test_clean_and_nothing_leave_an_image_as_it_is(picture: np.ndarray) -> None:
    for spec in ("clean", "blur:0", "noise:0", "sensor-noise:0"):
        assert (degraded_by(spec, picture) == picture).all(), spec


def saved(pixels: np.ndarray, **options: object) -> np.ndarray:
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, **options)  # type: ignore[arg-type]
    return np.asarray(Pillow.open(file).convert("RGB"))


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("jpeg:40", {"format": "JPEG", "quality": 40, "subsampling": 2}),
        ("jpeg444:40", {"format": "JPEG", "quality": 40, "subsampling": 0}),
        ("webp:40", {"format": "WEBP", "quality": 40}),
    ],
)
def test_codecs_are_those_of_pillow(
    spec: str, options: dict[str, object], picture: np.ndarray
) -> None:
    assert (degraded_by(spec, picture) == saved(picture, **options)).all()


def test_operations_are_applied_in_order(picture: np.ndarray) -> None:
    expected = saved(degraded_by("blur:1", picture), format="JPEG", quality=20, subsampling=2)
    assert (degraded_by("blur:1+jpeg:20", picture) == expected).all()
    assert (degraded_by("jpeg:20+blur:1", picture) != expected).any()


@pytest.mark.parametrize("sigma", [0.6, 2.0])
def test_a_blur_has_its_spread(sigma: float) -> None:
    """A dot becomes a spot whose variance along each axis is σ²."""
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[18:23, 18:23] = 250  # large enough that rounding to bytes takes little from its tails
    spot = degraded_by(f"blur:{sigma}", dot)[:, :, 0].astype(float)
    for axis in (0, 1):
        profile = spot.sum(1 - axis)
        variance = (profile * (np.arange(41) - 20.0) ** 2).sum() / profile.sum()
        # (n² - 1)/12 is the variance of n equal pixels
        assert variance - (5**2 - 1) / 12 == pytest.approx(sigma**2, rel=0.05)


@pytest.mark.parametrize("kind", ["noise", "sensor-noise"])
@pytest.mark.parametrize("sigma", [2.0, 8.0])
def test_noise_has_its_spread(kind: str, sigma: float) -> None:
    error = degraded_by(f"{kind}:{sigma}", GREY).astype(float) - 128
    rounding = 1 / 12  # the variance that rounding to bytes adds
    assert (error**2).mean() == pytest.approx(sigma**2 + rounding, rel=0.03)
    assert abs(error.mean()) < 0.05 * sigma


NEIGHBOURS: list[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]] = [
    lambda error: (error[1:], error[:-1]),
    lambda error: (error[:, 1:], error[:, :-1]),
    lambda error: (error[:, :, 0], error[:, :, 1]),
    lambda error: (error[:, :, 1], error[:, :, 2]),
]


@pytest.mark.parametrize("both", NEIGHBOURS, ids=["rows", "columns", "red-green", "green-blue"])
def test_demosaicing_makes_neighbours_and_channels_alike(
    both: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> None:
    white = degraded_by("noise:8", GREY).astype(float)
    demosaiced = degraded_by("sensor-noise:8", GREY).astype(float)
    assert abs(correlation(*both(white))) < 0.02
    assert correlation(*both(demosaiced)) > 0.15
