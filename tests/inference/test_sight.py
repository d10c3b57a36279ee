"""How far networks of others see is measured, and windows are cut by it."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from srup.errors import EngineUnavailable
from srup.inference.loading import load
from srup.inference.overlapping import blended
from srup.inference.upscaler import Upscaler
from srup.networks.community import Community, Sight, recognised, without_torchvision
from tests.data.draw import draw
from tests.models.checkpoints_of_others import needs_spandrel, saved

slow = pytest.mark.slow
# architecture → its reach where it is known by construction; None for the whole image
REACHES = {
    "compact": 4 + 2,  # 3×3 convolutions
    "span": 21,
    "swinir": 22,
    "nafnet": None,
    "realcugan": None,
}
EXACT = ("compact", "swinir", "span", "safmn", "esrgan", "plksr")
FAST = ("compact", "swinir", "nafnet")


@cache
def loaded(architecture: str) -> Upscaler:
    """An upscaler of a small random network, whose sight was measured once for all tests."""
    with tempfile.TemporaryDirectory() as folder:
        return load(str(saved(Path(folder), architecture)), precision="fp32")


def sight_of(architecture: str) -> Sight:
    network = loaded(architecture).network
    assert isinstance(network, Community)
    return network.sight


@needs_spandrel
@pytest.mark.parametrize(
    "architecture",
    [name if name in FAST else pytest.param(name, marks=slow) for name in REACHES],
)
def test_the_reach(architecture: str) -> None:
    found = sight_of(architecture)
    if REACHES[architecture] is not None or found.reach is None:
        assert found.reach == REACHES[architecture]
    assert found.overlap > 0


@needs_spandrel
def test_windows_of_attention_have_a_period() -> None:
    assert sight_of("swinir").period == 8
    assert sight_of("compact").period == 1


def enlarged(upscaler: Upscaler, tile: int | str, size: tuple[int, int] = (150, 120)) -> np.ndarray:
    return replace(upscaler, tile=tile, precision="fp32")(np.asarray(draw(*size)))


@needs_spandrel
@pytest.mark.parametrize(
    "architecture",
    [
        "compact",
        "swinir",
        *(pytest.param(name, marks=slow) for name in ("span", "esrgan", "plksr")),
    ],
)
@pytest.mark.parametrize("tile", [32, 50, 96])
def test_tiled_equals_whole_where_the_reach_ends(architecture: str, tile: int) -> None:
    upscaler = loaded(architecture)
    whole, tiled = enlarged(upscaler, "none"), enlarged(upscaler, tile)
    assert np.abs(whole.astype(int) - tiled).max() <= 1  # other sums at other sizes
    assert (whole != tiled).mean() < 1e-3


@needs_spandrel
def test_what_sees_everything_is_blended() -> None:
    upscaler = loaded("nafnet")
    (program,) = upscaler.programs
    assert program.overlap > 0
    size = (300, 200)
    whole, tiled = enlarged(upscaler, "auto", size), enlarged(upscaler, 128, size)
    assert (whole == enlarged(upscaler, "none", size)).all()  # one window, where memory allows
    difference = tiled.astype(int) - whole
    assert np.abs(np.diff(difference, axis=1)).max() <= 3  # rounding adds up to two levels


@pytest.mark.parametrize("overlap", [0, 8, 20])
@pytest.mark.parametrize("multiple", [1, 8])
def test_windows_that_blend_add_up(overlap: int, multiple: int) -> None:
    image = np.random.default_rng(0).random((1, 3, 96, 152), np.float32)

    def twice(crop: np.ndarray) -> np.ndarray:
        assert not crop.shape[-1] % multiple
        return doubled(crop)

    made = blended(twice, image, 40, overlap, multiple)
    np.testing.assert_allclose(made, doubled(image), atol=1e-6)


def doubled(image: np.ndarray) -> np.ndarray:
    return image.repeat(2, -1).repeat(2, -2)


@needs_spandrel
def test_it_is_measured_once(tmp_path: Path) -> None:
    path = saved(tmp_path, "compact")
    first = load(str(path)).programs[0]
    place = next((tmp_path / "cache" / "community").glob("*.sight.json"))
    place.write_text(place.read_text().replace('"overlap": 6', '"overlap": 7'))
    (stage,) = load(str(path)).network.stages()
    assert stage.margin == 7
    place.write_text("[]")
    (stage,) = load(str(path)).network.stages()
    assert stage.margin == 6
    assert isinstance(first.network, Community)


@needs_spandrel
@pytest.mark.parametrize("channels", [1, 4])
def test_networks_of_other_channels_get_what_they_expect(channels: int) -> None:
    """Of one: colours one by one. Of four: an opaque image, whose alpha is left out."""
    with without_torchvision():
        compact = importlib.import_module("spandrel.architectures.Compact").Compact
    torch.manual_seed(0)
    inner = compact(num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=2, upscale=2)
    network = recognised(dict(inner.state_dict()), "x.pth")
    image = torch.rand(2, 3, 20, 17)
    made = network.enlarged(image)
    assert made.shape == (2, 3, 40, 34)
    with torch.no_grad():
        if channels == 1:
            expected = torch.cat([inner(image[:, colour, None]) for colour in range(3)], 1)
        else:
            expected = inner(torch.cat([image, torch.ones(2, 1, 20, 17)], 1))[:, :3]
    assert (made - expected.clamp(0, 1)).abs().max() < 1e-5


@needs_spandrel
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")
def test_openvino_computes_what_pytorch_does_or_says_that_it_cannot(tmp_path: Path) -> None:
    upscaler = load(str(saved(tmp_path, "compact")), engine="openvino", precision="fp32")
    for tile in ("none", 50):
        difference = enlarged(upscaler, tile).astype(int) - enlarged(loaded("compact"), "none")
        assert np.abs(difference).max() <= 1
    with pytest.raises(EngineUnavailable, match="OpenVINO cannot run swinir"):
        load(str(saved(tmp_path, "swinir")), engine="openvino")
