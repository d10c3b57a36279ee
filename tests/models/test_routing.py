from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from srup.errors import ScaleError, UsageError
from srup.models import registry
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


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_strengths_out_of_range(strength: float) -> None:
    with pytest.raises(UsageError, match="must be from 0 to 1"):
        route("lite-photo", 4, strength=strength)


NAMES = sorted({model.name for model in registry.MODELS})


@given(some.sampled_from(NAMES), some.floats(SMALLEST_SCALE, LARGEST_SCALE), some.booleans())
def test_no_smaller_product_suffices(name: str, scale: float, own_weights: bool) -> None:
    """Of all products of the network's scales, each as often as it may be."""
    chain = [model.scale for model in route(name, scale, own_weights=own_weights)]
    if chain == [0]:
        return
    assert chain == sorted(chain) and math.prod(chain) >= scale - 1e-9
    rows = registry.find(name).values()
    steps = [row.scale for row in rows if row.released or own_weights] or [r.scale for r in rows]
    powers = [[step**count for count in range(6)] for step in steps]
    smaller = [p for p in map(math.prod, itertools.product(*powers)) if 1 < p < math.prod(chain)]
    assert all(product < scale - 1e-9 for product in smaller)


@given(some.sampled_from(NAMES), some.lists(some.floats(SMALLEST_SCALE, LARGEST_SCALE), min_size=2))
def test_a_larger_scale_takes_no_smaller_chain(name: str, scales: list[float]) -> None:
    products = [math.prod(row.scale for row in route(name, scale)) for scale in sorted(scales)]
    assert products == sorted(products)
