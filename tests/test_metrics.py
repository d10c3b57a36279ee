from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srup.metrics import luma, psnr, ssim
from tests.data.draw import draw


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    clean = luma(np.asarray(draw(64, 48)))
    return clean, clean + np.random.default_rng(0).normal(0, 5, clean.shape)


@pytest.mark.parametrize("border", [0, 4])
def test_agree_with_scikit_image(pair: tuple[np.ndarray, np.ndarray], border: int) -> None:
    a, b = pair
    inner = np.s_[border : 48 - border, border : 64 - border]
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    assert psnr(a, b, border=border) == pytest.approx(peak_signal_noise_ratio(a[inner], b[inner], data_range=255), abs=1e-9)
    assert ssim(a, b, border=border) == pytest.approx(structural_similarity(a[inner], b[inner], **settings), abs=1e-9)


def test_equal_images(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert psnr(pair[0], pair[0]) == math.inf
    assert ssim(pair[0], pair[0]) == pytest.approx(1)


def test_nan_is_never_good(pair: tuple[np.ndarray, np.ndarray]) -> None:
    broken = pair[1].copy()
    broken[3, 3] = np.nan
    assert not psnr(pair[0], broken) > 0


def test_luma_is_studio_range() -> None:
    assert luma(np.zeros((1, 1, 3)))[0, 0] == 16
    assert luma(np.full((1, 1, 3), 255))[0, 0] == pytest.approx(235)
