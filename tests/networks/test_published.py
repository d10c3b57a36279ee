"""The published checkpoints score what they were measured to score: 0.01 dB, 0.0005 of SSIM.

Figures: the means measured with the authors' own code on these images (float Y, results rounded to bytes, border = scale).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import srup
from srup.metrics import luma, psnr
from tests.scoring import pairs, score

slow = partial(pytest.param, marks=pytest.mark.slow)
MEASURED = [
    ("imdn", "Set5", 2, 37.996, 0.9605),
    ("imdn", "Set5", 3, 34.360, 0.9270),
    ("imdn", "Set5", 4, 32.210, 0.8948),
    slow("imdn", "Set14", 2, 33.632, 0.9177),
    ("imdn", "Set14", 3, 30.325, 0.8417),
    ("imdn", "Set14", 4, 28.587, 0.7811),
    ("imdn-plus", "Set5", 4, 32.135, None),
    ("imdn-rtc", "Set5", 2, 37.31, 0.9583),
    ("imdn-rtc", "Set14", 2, 32.98, 0.9130),
    ("imdn-rte", "Set5", 2, 35.41, 0.9380),
    ("imdn-rte", "Set14", 2, 31.69, 0.8831),
    slow("lesrcnn", "Set14", 2, 33.371, 0.9157),
    slow("lesrcnn", "Set14", 3, 30.164, 0.8388),
    ("lesrcnn", "Set14", 4, 28.464, 0.7779),
    ("rfdn", "Set5", 4, 32.161, 0.8946),
    ("rfdn", "Set14", 4, 28.650, 0.7825),
    ("rdsrn", "Set5", 2, 38.03, None),
    ("rdsrn", "Set5", 3, 34.37, None),
    ("rdsrn", "Set5", 4, 32.28, None),
    ("imdn-as", "Set5", 2, 28.46, None),  # made for real photographs: it hurts clean bicubic input
]


@pytest.mark.parametrize(("name", "images", "scale", "psnr", "ssim"), MEASURED)
def test_scores(shared: Path, checkpoints: Path, name: str, images: str, scale: int, psnr: float, ssim: float | None) -> None:
    measured = score(shared, images, scale, srup.load(name, scale=scale))
    assert measured[0] == pytest.approx(psnr, abs=0.01)
    assert ssim is None or measured[1] == pytest.approx(ssim, abs=0.0005)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "published"), [(2, 33.32), (3, 30.12), (4, 28.44)])
def test_lesrcnn_as_its_authors_scored_it(shared: Path, checkpoints: Path, scale: int, published: float) -> None:
    """Bytes truncated instead of rounded, Y rounded to whole levels: Set14 as the paper prints it."""
    enlarge = srup.load("lesrcnn", scale=scale).network

    def truncated(lr: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            sr = enlarge(torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255)[0]
        return np.asarray((sr * 255).clamp(0, 255).byte().permute(1, 2, 0).numpy())

    figures = []
    for lr, hr in pairs(shared, "Set14", scale):
        sr_y, hr_y = (np.rint(luma(image)) for image in (truncated(lr), hr))
        figures.append(psnr(sr_y, hr_y, border=scale))
    assert sum(figures) / len(figures) == pytest.approx(published, abs=0.01)
