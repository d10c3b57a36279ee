from __future__ import annotations

import pytest

from srup.errors import UsageError
from srup.inference.target import Target, target


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
