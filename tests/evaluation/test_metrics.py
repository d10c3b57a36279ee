from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srup.evaluation.metrics import STRIP, luma, psnr, ssim
from srup.resize import imresize
from tests.data.draw import draw

Pair = tuple[np.ndarray, np.ndarray]
WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}


@pytest.fixture
def pair() -> Pair:
    clean = luma(np.asarray(draw(64, 48)))
    return clean, clean + np.random.default_rng(0).normal(0, 5, clean.shape)


def noise() -> Pair:
    """Two random images of more rows than are computed at once."""
    random = np.random.default_rng(1)
    return random.uniform(0, 255, (2 * STRIP + 17, 40)), random.uniform(
        0, 255, (2 * STRIP + 17, 40)
    )


def drawn() -> Pair:
    """A picture and its bicubic enlargement from a quarter."""
    clean = np.asarray(draw(160, 120))
    return luma(clean), luma(imresize(imresize(clean, scale=1 / 4), scale=4))


@pytest.mark.parametrize("border", [0, 4])
@pytest.mark.parametrize("made", [noise, drawn])
def test_agree_with_scikit_image(made: Callable[[], Pair], border: int) -> None:
    a, b = made()
    inner = np.s_[border : a.shape[0] - border, border : a.shape[1] - border]
    assert psnr(a, b, border=border) == pytest.approx(
        peak_signal_noise_ratio(a[inner], b[inner], data_range=255), abs=1e-9
    )
    assert ssim(a, b, border=border) == pytest.approx(
        structural_similarity(a[inner], b[inner], **WANG), abs=1e-9
    )


@pytest.mark.parametrize("name", ["baby", "woman"])
def test_agree_with_scikit_image_on_photographs(shared: Path, name: str) -> None:
    lr, hr = (
        np.asarray(Image.open(shared / "datasets" / "Set5" / folder / f"{name}.png"))
        for folder in ("LR_x4", "HR")
    )
    a, b = luma(hr), luma(imresize(lr, scale=4))
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)
    assert ssim(a, b) == pytest.approx(structural_similarity(a, b, **WANG), abs=1e-9)


def test_equal_images(pair: Pair) -> None:
    assert psnr(pair[0], pair[0]) == math.inf
    assert ssim(pair[0], pair[0]) == 1.0


def test_nan_is_never_good(pair: Pair) -> None:
    broken = pair[1].copy()
    broken[3, 3] = np.nan
    assert not psnr(pair[0], broken) > 0
    assert not ssim(pair[0], broken) > 0


def test_luma_is_studio_range() -> None:
    assert luma(np.zeros((1, 1, 3)))[0, 0] == 16
    assert luma(np.full((1, 1, 3), 255))[0, 0] == pytest.approx(235)
