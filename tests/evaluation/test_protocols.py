from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from srup.errors import ImageError
from srup.evaluation.consistency import POOR, consistency
from srup.evaluation.metrics import luma
from srup.evaluation.protocols import PROTOCOLS, mean, score, score_files
from srup.resize import imresize
from tests.data.draw import draw


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    clean = np.asarray(draw(96, 72))
    return imresize(imresize(clean, scale=1 / 2), scale=2), clean


def test_protocols_are_what_they_say(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Each protocol's figures, computed by scikit-image from its words."""
    compared = {
        "paper": luma,
        "y-rounded": lambda rgb: np.rint(luma(rgb)),
        "rgb": lambda rgb: rgb.astype(float),
    }
    assert set(compared) == set(PROTOCOLS)
    for protocol, planes in compared.items():
        a, b = (planes(image)[4:-4, 4:-4] for image in pair)
        found = score(*pair, protocol=protocol, border=4)
        axis = {"channel_axis": 2} if protocol == "rgb" else {}
        settings = {
            "gaussian_weights": True,
            "sigma": 1.5,
            "use_sample_covariance": False,
            "data_range": 255,
            **axis,
        }
        assert found.psnr == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)
        assert found.ssim == pytest.approx(structural_similarity(a, b, **settings), abs=1e-6)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_equal_images(pair: tuple[np.ndarray, np.ndarray], protocol: str) -> None:
    found = score(pair[1], pair[1], protocol=protocol)
    assert (found.psnr, found.ssim) == (math.inf, 1.0)


def test_grey_and_colour_files_of_one_picture_are_equal(tmp_path: Path) -> None:
    grey = draw(40, 30).convert("L")
    grey.save(tmp_path / "grey.png")
    grey.convert("RGB").save(tmp_path / "rgb.png")
    assert score_files(tmp_path / "grey.png", tmp_path / "rgb.png").psnr == math.inf


def test_sizes_that_differ_name_both(tmp_path: Path) -> None:
    for name, size in (("a.png", (40, 30)), ("b.png", (39, 30)), ("tiny.png", (12, 12))):
        Image.new("RGB", size).save(tmp_path / name)
    with pytest.raises(ImageError, match=r"a\.png is 40×30 and .*b\.png is 39×30"):
        score_files(tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(ImageError, match="smaller than SSIM's window"):
        score_files(tmp_path / "tiny.png", tmp_path / "tiny.png", border=1)


def test_means() -> None:
    assert mean([1.0, 2.0]) == 1.5
    assert mean([1.0, math.inf]) == math.inf
    assert math.isnan(mean([1.0, math.nan]))
    assert math.isnan(mean([]))


def test_consistency_tells_a_faithful_result_from_another(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    _, image = pair
    faithful = consistency(image, imresize(image, scale=3))
    shifted = consistency(image, np.roll(imresize(image, scale=3), 9, 1))
    assert faithful > 28 > POOR > shifted
    assert consistency(image, image) == math.inf
    assert consistency(image, imresize(image, size=(131, 99))) > 28  # no whole scale
