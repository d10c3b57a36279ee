from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from srup.errors import UsageError
from srup.images import Image, Pages, read_pages
from srup.models import choosing, registry, routing
from srup.models.choosing import CLEAN, PHOTO, Choice, choose, given
from srup.models.inspect import Inspection, inspection_of
from srup.models.weights import loaded, verified
from tests.data.draw import draw

PICTURE = draw(320, 240)


def read_back(path: Path, **options: object) -> Pages:
    PICTURE.save(path, **options)
    return read_pages(path)


def noisy(sigma: float) -> Pages:
    noise = np.random.default_rng(3).normal(0, sigma, (240, 320, 3))
    return Pages((Image((np.full((240, 320, 3), 128) + noise).round().astype(np.uint8)),))


def test_what_is_clean_is_left_to_the_network_for_clean_pictures(tmp_path: Path) -> None:
    assert choose(inspection_of(read_back(tmp_path / "a.png"))).model == CLEAN
    assert choose(inspection_of(read_back(tmp_path / "a.jpg", quality=98))).model == CLEAN
    assert choose(inspection_of(noisy(1))).model == CLEAN
    sixteen = Pages((Image(np.asarray(PICTURE).astype(np.uint16) * 257),))
    assert choose(inspection_of(sixteen)).model == CLEAN


@pytest.mark.parametrize(("quality", "strength"), [(30, 1.0), (75, 1.0), (90, 0.75)])
def test_what_is_compressed_is_not(quality: int, strength: float, tmp_path: Path) -> None:
    found = choose(inspection_of(read_back(tmp_path / "a.jpg", quality=quality)))
    assert (found.model, found.strength) == (PHOTO, strength)
    assert found.why.startswith(f"JPEG of quality about {quality}")


def test_nor_what_is_noisy_or_was_compressed_before(tmp_path: Path) -> None:
    found = choose(inspection_of(noisy(8)))
    assert found.model == PHOTO and "noise of σ" in found.why
    buffer = io.BytesIO()
    PICTURE.save(buffer, "JPEG", quality=40)
    Pillow.open(buffer).save(tmp_path / "again.png")
    again = choose(inspection_of(read_pages(tmp_path / "again.png")))
    assert again.model == PHOTO and "quality about 4" in again.why


def test_strength_falls_with_quality() -> None:
    strengths = []
    for quality in range(30, 101):
        strengths.append(choosing.strength_for(Inspection((100, 100), traces=quality)))
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[0] == 1 and strengths[-1] == 0


def test_a_name_or_a_strength_is_obeyed_without_a_look() -> None:
    assert given("auto", None, own_weights=False) is None
    assert given("auto", 0.5, own_weights=False) == Choice(PHOTO, 0.5)
    assert given("auto", 0.0, own_weights=False) == Choice(CLEAN)
    assert given("imdn", None, own_weights=False) == Choice("imdn")
    assert given("auto", None, own_weights=True) == Choice(registry.DEFAULT)


def test_advice_is_for_those_who_named_the_other_kind() -> None:
    compressed, clean = Inspection((9, 9), traces=50), Inspection((9, 9))
    said = choosing.advice("imdn", compressed)
    assert said.startswith("once JPEG of quality about 50: lite-photo scores about 0.")
    assert "lite keeps more" in choosing.advice("lite-photo", clean)
    for name in ("lite-photo", "imdn-rte", "imdn-as"):
        assert not choosing.advice(name, compressed)
    assert not choosing.advice("imdn", clean)


def test_weights_are_mixed_by_strength() -> None:
    ends = [loaded(row, verified(row)).state_dict() for row in (_row(CLEAN), _row(PHOTO))]
    (half,) = routing.route(PHOTO, 2, strength=0.5)
    for name, tensor in loaded(half, verified(half)).state_dict().items():
        assert torch.allclose(tensor, (ends[0][name] + ends[1][name]) / 2, atol=1e-7)
    (none,) = routing.route(PHOTO, 2, strength=0.0)
    mixed = loaded(none, verified(none)).state_dict()
    assert all(torch.equal(mixed[name], tensor) for name, tensor in ends[0].items())


def _row(name: str) -> registry.Model:
    return registry.find(name)[2]


def test_only_networks_with_an_origin_have_a_strength() -> None:
    with pytest.raises(UsageError, match="only lite-photo has a strength"):
        routing.route("imdn", 4, strength=0.5)
