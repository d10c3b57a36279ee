from __future__ import annotations

import pytest

from srup.errors import UsageError
from srup.sizes import Target, target


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        (Target(scale=4), (400, 300)),
        (Target(scale=2.5), (250, 188)),
        (Target(width=333), (333, 250)),
        (Target(height=333), (444, 333)),
        (Target(width=1920, height=1080), (1440, 1080)),
        (Target(width=300, height=1080), (300, 225)),
    ],
)
def test_sizes(wanted: Target, size: tuple[int, int]) -> None:
    assert wanted.size((100, 75)) == size


@pytest.mark.parametrize("side", range(1, 40))
def test_asked_sides_are_exact(side: int) -> None:
    assert Target(width=side).size((7, 3))[0] == side
    assert Target(height=side).size((7, 3))[1] == side


def test_four_times_unless_told() -> None:
    assert target(scale=None, size=None, width=None, height=None) == Target(scale=4)


@pytest.mark.parametrize(
    "options",
    [{"size": "100"}, {"size": "0x5"}, {"size": "5x5", "width": 5}, {"scale": 2.0, "width": 5}, {"scale": 2.0, "size": "5x5"}],
)
def test_contradictions(options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        target(**{"scale": None, "size": None, "width": None, "height": None, **options})  # type: ignore[arg-type]
