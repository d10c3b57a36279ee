from __future__ import annotations

import pytest

from srup.errors import ScaleError
from srup.models.routing import LARGEST_SCALE, SMALLEST_SCALE, route


@pytest.mark.parametrize(
    ("name", "scale", "steps"),
    [
        ("imdn", 1, [2]),
        ("imdn", 2, [2]),
        ("imdn", 2.5, [3]),
        ("imdn", 4, [4]),
        ("imdn", 4.1, [2, 3]),
        ("imdn", 6, [2, 3]),
        ("imdn", 8, [2, 4]),
        ("imdn", 9, [3, 3]),
        ("imdn", 16, [4, 4]),
        ("imdn", 32, [2, 4, 4]),
        ("imdn-rtc", 3, [2, 2]),
        ("imdn-rtc", 32, [2, 2, 2, 2, 2]),
        ("imdn-plus", 2, [4]),
        ("imdn-as", 7.7, [0]),
    ],
)
def test_takes_the_least_chain_that_suffices(name: str, scale: float, steps: list[int]) -> None:
    assert [model.scale for model in route(name, scale)] == steps


def test_unreleased_scales_need_own_weights() -> None:
    assert [model.scale for model in route("rfdn", 2)] == [4]
    assert [model.scale for model in route("rfdn", 2, own_weights=True)] == [2]
    assert [model.scale for model in route("rdcab", 2)] == [4]  # it has no others


@pytest.mark.parametrize("name", ["imdn", "imdn-as"])
@pytest.mark.parametrize("scale", [0, 0.5, -2, 33, float("nan"), float("inf")])
def test_scales_out_of_range(name: str, scale: float) -> None:
    with pytest.raises(ScaleError, match=f"{SMALLEST_SCALE} to {LARGEST_SCALE}"):
        route(name, scale)
