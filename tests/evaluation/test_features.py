from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from srup.evaluation.features import FeatureMap, grid, maps, stretched
from srup.models import registry
from tests.conftest import random_network


@pytest.mark.parametrize(
    ("name", "scale"), [("imdn", 2), ("imdn-as", 0), ("rfdn", 4), ("edsr-baseline", 2), ("lite", 3)]
)
def test_maps_are_the_stages_own_and_end_in_the_result(
    name: str, scale: int, noise: Callable[..., torch.Tensor]
) -> None:
    network = random_network(registry.find(name)[scale])
    image = noise(24, 32)
    found = maps(network, image)
    assert len(found) == len(network.stages())
    with torch.no_grad():
        assert np.array_equal(found[-1].values, network(image)[0].numpy())


def test_the_first_block_of_imdn(noise: Callable[..., torch.Tensor]) -> None:
    """What the first block distils, computed without stages."""
    network = random_network(registry.find("imdn")[2])
    with torch.no_grad():
        block = network.get_submodule("IMDB1")
        first = network.get_submodule("fea_conv")(noise(24, 32))
        expected = block.distil(first)[0]  # type: ignore[operator]
        assert np.array_equal(maps(network, noise(24, 32))[0].values, expected.numpy())


def test_a_tile_for_the_mean_and_each_channel() -> None:
    values = np.random.default_rng(0).random((12, 10, 20), np.float32)
    result = FeatureMap(2, values[:3])
    four, every = (
        grid([FeatureMap(1, values), result], "title", channels) for channels in (4, None)
    )
    assert every.height > four.height
    tiles = np.asarray(four.crop((14, 60, four.width, 125)).convert("L"))
    dark = (tiles < 100).any(0)
    assert np.count_nonzero(np.diff(dark.astype(int)) == 1) >= 4


def test_stretched_to_black_and_white() -> None:
    values = np.linspace(-3, 8, 1000).reshape(20, 50)
    assert (stretched(values).min(), stretched(values).max()) == (0, 255)
    assert (stretched(np.ones((4, 4))) == 128).all()
