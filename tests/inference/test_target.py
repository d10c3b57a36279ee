from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from srup.errors import ScaleError, UsageError
from srup.inference.target import Target, parse_size, target


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        (Target(scale=4), (400, 300)),
        (Target(scale=2.5), (250, 188)),
        (Target(width=333), (333, 250)),
        (Target(height=333), (444, 333)),
        (Target(width=1920, height=1080), (1440, 1080)),
        (Target(width=300, height=1080), (300, 225)),
        (Target(width=1920, height=1080, fit="fill"), (1920, 1080)),
        (Target(width=1920, height=1080, fit="stretch"), (1920, 1080)),
        (Target(long_edge=333), (333, 250)),
        (Target(megapixels=1), (1155, 867)),
        (Target(scale=1.1), (110, 83)),
    ],
)
def test_sizes(wanted: Target, size: tuple[int, int]) -> None:
    assert wanted.size((100, 75)) == size


@pytest.mark.parametrize("side", range(1, 40))
def test_asked_sides_are_exact(side: int) -> None:
    assert Target(width=side).size((7, 3))[0] == side
    assert Target(height=side).size((7, 3))[1] == side


@pytest.mark.parametrize("megapixels", [0.5, 1, 2, 3.7, 12])
def test_never_fewer_pixels_than_asked(megapixels: float) -> None:
    for size in ((100, 75), (333, 111), (7, 1000), (50, 50)):
        width, height = Target(megapixels=megapixels).size(size)
        assert megapixels * 1e6 <= width * height < megapixels * 1e6 * 1.05


@pytest.mark.parametrize("side", range(10, 60))
def test_what_covers_is_never_smaller(side: int) -> None:
    """Cropped from a picture of the image's own shape that is as large as asked on both sides."""
    wanted = Target(width=side, height=97 - side, fit="fill")
    width, height = wanted.enlarged((7, 5))
    assert width >= side and height >= 97 - side
    assert width == side or height == 97 - side
    assert wanted.size((7, 5)) == (side, 97 - side)


def test_no_rounding_error_takes_a_pixel() -> None:
    """1.15 · 10 is 11.499999999999998 and 1.1 · 10 is 11.000000000000002."""
    assert Target(scale=1.15).size((10, 10)) == (12, 12)
    assert Target(width=11, height=11, fit="fill").enlarged((10, 10)) == (11, 11)


def test_four_times_unless_told() -> None:
    assert target(scale=None, size=None, width=None, height=None) == Target(scale=4)


@pytest.mark.parametrize(
    "options",
    [
        {"size": "100"},
        {"size": "0x5"},
        {"size": "5x5", "width": 5},
        {"scale": 2.0, "width": 5},
        {"scale": 2.0, "size": "5x5"},
    ],
)
def test_contradictions(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        target(**{"scale": None, "size": None, "width": None, "height": None, **options})  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0, -1, math.nan, math.inf, 1e300])
def test_scales_that_cannot_be(scale: float) -> None:
    with pytest.raises(ScaleError, match="out of range: srup enlarges 1 to 32 times"):
        Target(scale)


@pytest.mark.parametrize("options", [{"megapixels": math.inf}, {"megapixels": -1}])
@pytest.mark.parametrize("side", [0, -3, 1.5, math.nan, 10**10])
def test_sizes_that_cannot_be(options: dict[str, float], side: float) -> None:
    for name in ("width", "height", "long_edge"):
        with pytest.raises(UsageError, match="no side of a picture; give 1 to"):
            Target(**{name: side})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="are no size"):
        Target(**options)  # type: ignore[arg-type]


def test_more_digits_than_python_counts() -> None:
    with pytest.raises(UsageError, match="no side of a picture"):
        target(size="9" * 5000 + "x1")


sides = some.integers(1, 20_000)
sizes = some.tuples(sides, sides)


@given(sizes, sides, sides)
def test_inside_is_never_larger_and_what_fills_is_never_smaller(
    before: tuple[int, int], width: int, height: int
) -> None:
    inside = Target(width=width, height=height).size(before)
    assert inside[0] <= width and inside[1] <= height
    assert inside[0] == width or inside[1] == height
    covering = Target(width=width, height=height, fit="fill").enlarged(before)
    assert covering[0] >= width and covering[1] >= height
    assert covering[0] == width or covering[1] == height


@given(sizes, some.floats(1, 32))
def test_a_scale_keeps_the_shape_to_half_a_pixel(before: tuple[int, int], scale: float) -> None:
    for side, enlarged in zip(before, Target(scale).size(before), strict=True):
        assert abs(enlarged - side * scale) <= 0.5 + 1e-6
        assert enlarged >= side


@given(sizes, sides)
def test_the_longer_edge_is_exact(before: tuple[int, int], edge: int) -> None:
    size = Target(long_edge=edge).size(before)
    assert max(size) == edge and min(size) >= 1
    assert (size[0] >= size[1]) == (before[0] >= before[1]) or size[0] == size[1]


@given(sizes, some.floats(0.001, 400))
def test_megapixels_are_reached(before: tuple[int, int], megapixels: float) -> None:
    width, height = Target(megapixels=megapixels).size(before)
    assert width * height >= megapixels * 1e6 * (1 - 1e-6)


@given(sizes)
def test_a_size_in_words(size: tuple[int, int]) -> None:
    assert parse_size(f"{size[0]}x{size[1]}") == parse_size(f"{size[0]}×{size[1]}") == size


numbers = some.floats() | some.integers(-5, 10**30)
whole = some.integers(-5, 100_000)
size_in_words = some.text(max_size=12) | some.from_regex(r"\d{1,6}[xX×]\d{1,6}")
asked = some.fixed_dictionaries(
    {},
    optional={
        "scale": numbers,
        "size": size_in_words,
        "width": whole,
        "height": whole,
        "long_edge": whole,
        "megapixels": numbers,
        "fill": some.just(True),
        "stretch": some.just(True),
    },
)


@settings(max_examples=500)
@given(asked, sizes)
def test_whatever_is_asked_it_is_a_size_or_a_line(
    options: dict[str, Any], before: tuple[int, int]
) -> None:
    try:
        made = target(**options)
    except (UsageError, ScaleError) as error:
        assert str(error)
        return
    size = made.size(before)
    assert all(isinstance(side, int) and side >= 1 for side in size)
    assert 0 < made.factor(before) < math.inf
