"""Published checkpoints score what they should, to 0.01 dB of PSNR and 0.0005 of SSIM.

The expected means were measured with the authors' own code on these images: Y as floats, results
rounded to bytes, a border of `scale` pixels cropped.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from srup.evaluation.benchmark import BICUBIC, Evaluation
from srup.models import registry
from tests.conftest import evaluated

slow = partial(pytest.param, marks=pytest.mark.slow)
MEASURED = [
    ("imdn", "Set5", 2, 37.996, 0.9605),
    ("imdn", "Set5", 3, 34.360, 0.9270),
    ("imdn", "Set5", 4, 32.210, 0.8948),
    slow("imdn", "Set14", 2, 33.632, 0.9177),
    slow("imdn", "Set14", 3, 30.325, 0.8417),
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
    ("imdn-as", "Set5", 2, 28.46, None),  # trained on real photographs: harms clean bicubic input
]


@pytest.mark.parametrize(("name", "images", "scale", "psnr", "ssim"), MEASURED)
def test_scores(
    shared: Path,
    checkpoints: Path,
    name: str,
    images: str,
    scale: int,
    psnr: float,
    ssim: float | None,
) -> None:
    measured = evaluated(Evaluation(name, scale), shared, images)
    assert measured.psnr == pytest.approx(psnr, abs=0.01)
    assert ssim is None or measured.ssim == pytest.approx(ssim, abs=0.0005)


@pytest.mark.slow
@pytest.mark.parametrize("images", ["Set5", "Set14"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lesrcnn_scores_as_its_paper_prints_it(
    shared: Path, checkpoints: Path, images: str, scale: int
) -> None:
    """The paper's figures: bytes truncated instead of rounded, Y rounded to whole levels."""
    measured = evaluated(Evaluation("lesrcnn", scale, "truncated"), shared, images)
    psnr, ssim = registry.find("lesrcnn")[scale].published[images]
    assert measured.psnr == pytest.approx(psnr, abs=0.01)
    assert measured.ssim == pytest.approx(ssim, abs=0.0005)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_scores_as_papers_print_it(shared: Path, scale: int) -> None:
    """Computed from Y alone, equal to the printed digits on Set5."""
    measured = evaluated(Evaluation(BICUBIC, scale, "y-only"), shared, "Set5")
    psnr, ssim = registry.BICUBIC[scale]["Set5"]
    assert (f"{measured.psnr:.2f}", f"{measured.ssim:.4f}") == (f"{psnr:.2f}", f"{ssim:.4f}")
