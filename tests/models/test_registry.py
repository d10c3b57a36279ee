from __future__ import annotations

import itertools

import pytest
import torch

from srup.errors import UnknownModel
from srup.models import costs, registry
from srup.models.registry import MODELS, Model
from tests.conftest import model_id


@pytest.mark.parametrize("model", MODELS, ids=model_id)
def test_rows_state_what_the_network_costs(model: Model) -> None:
    with torch.device("meta"):
        network = registry.build(model)
    parameters, multi_adds = costs.cost(network)
    assert model.parameters == parameters
    assert model.multi_adds == round(multi_adds, 1)
    assert model.largest == costs.largest_map(network)


def again(_: str, *channels: int, times: int, scale: int = 4) -> float:
    """Multiply-adds, in 1e9, of 3×3 convolutions that srup repeats instead of keeping their maps.

    `_` names the convolutions, `channels` are before the first and after each of them.
    """
    per_pixel = sum(9 * before * after for before, after in itertools.pairwise(channels))
    return times * per_pixel * 1280 * 720 / scale**2 / 1e9


@pytest.mark.parametrize(
    ("name", "scale", "published", "extra"),
    [
        ("imdn", 2, 158.8, again("fea_conv", 3, 64, times=2, scale=2)),
        ("imdn", 3, 71.5, again("fea_conv", 3, 64, times=2, scale=3)),
        ("imdn", 4, 40.9, again("fea_conv", 3, 64, times=2)),
        ("rdn", 4, 1309, again("sfe1", 3, 64, times=1)),
        ("rdcab", 4, 750, again("sfe1, sfe2", 3, 64, 64, times=8)),
        ("rdcab-split", 4, 567, again("sfe1, sfe2", 3, 64, 64, times=1)),
    ],
)
def test_multi_adds_are_those_of_the_papers(
    name: str, scale: int, published: float, extra: float
) -> None:
    """To 0.5 %, without `extra`, which srup computes again because keeping it costs more."""
    assert registry.find(name)[scale].multi_adds - extra == pytest.approx(published, rel=0.005)


def test_fdirb_costs_three_times_what_is_published() -> None:
    """The published 293 G are three applications of the block; the checkpoint fuses nine."""
    block = 9 * 64 * 64 * sum(range(1, 8)) + 9 * 512 * 32 + 7 * 64 * 32 + 256 * 64
    six_blocks = 6 * block * 320 * 180 / 1e9
    extra = six_blocks + again("sfe1, sfe2", 3, 64, 64, times=1)
    assert registry.find("rdcab-fdirb")[4].multi_adds - extra == pytest.approx(293, rel=0.01)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("edsr", 43e6),
        ("mdsr-baseline", 3.2e6),
        ("rdn", 22e6),
        ("rdcab", 2.1e6),
        ("rdcab-split", 1.2e6),
        ("rdcab-fdirb", 1.63e6),
    ],
)
def test_parameters_are_those_of_the_papers(name: str, published: float) -> None:
    assert registry.find(name)[4].parameters == pytest.approx(published, rel=0.02)


def test_the_largest_map() -> None:
    """IMDN computes 64 channels at the input's size, LESRCNN 64 at the output's."""
    assert costs.largest_map(registry.build(registry.find("imdn")[4])) == 64
    assert costs.largest_map(registry.build(registry.find("lesrcnn")[4])) == 64 * 16


def test_names_and_scales_are_unique() -> None:
    assert len({(model.name, model.scale) for model in MODELS}) == len(MODELS)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("imnd", "imdn"), ("imdn-az", "imdn-as"), ("esrgan", "edsr"), ("zzz", "there are")],
)
def test_an_unknown_name_gets_a_suggestion(asked: str, hint: str) -> None:
    with pytest.raises(UnknownModel, match=hint):
        registry.find(asked)


@pytest.mark.parametrize("asked", ["IMDN_AS", "Imdn-As", " imdn-as"])
def test_a_name_in_another_spelling(asked: str) -> None:
    assert registry.find(asked) == registry.find("imdn-as")
