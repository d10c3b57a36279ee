"""Scores of a network on the benchmark images, as the published tables were made.

Y of BT.601 in float, the result rounded to bytes, a border of `scale` pixels left out.
`python -m tests.scoring Set14 4 imdn lite` prints PSNR and SSIM, bicubic first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import srup
from srup.images import read_image
from srup.metrics import luma, psnr, ssim
from srup.resize import imresize

SHARED = Path(__file__).resolve().parents[2] / "shared"
Enlarge = Callable[[np.ndarray], np.ndarray]


def pairs(shared: Path, name: str, scale: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """LR and HR of a benchmark set, HR cropped to a multiple of the scale."""
    folder = shared / "datasets" / name
    hr_folder = folder / "HR" if (folder / "HR").exists() else folder / f"HR_x{scale}"
    for path in sorted((folder / f"LR_x{scale}").glob("*.png")):
        lr, hr = (np.array(np.broadcast_to(p, (*p.shape[:2], 3))) for p in (rgb(path), rgb(hr_folder / path.name)))
        yield lr, hr[: lr.shape[0] * scale, : lr.shape[1] * scale]


def rgb(path: Path) -> np.ndarray:
    return read_image(path).pixels


def score(shared: Path, name: str, scale: int, enlarge: Enlarge) -> tuple[float, float]:
    """Mean PSNR in dB and mean SSIM of what `enlarge` makes of the LR images."""
    measured = []
    for lr, hr in pairs(shared, name, scale):
        sr, truth = luma(enlarge(lr)), luma(hr)
        measured.append((psnr(sr, truth, border=scale), ssim(sr, truth, border=scale)))
    psnrs, ssims = zip(*measured, strict=True)
    return sum(psnrs) / len(psnrs), sum(ssims) / len(ssims)


def main() -> None:
    name, scale, *models = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]
    bicubic: Enlarge = lambda lr: imresize(lr, scale=scale)  # noqa: E731
    for model, enlarge in [("bicubic", bicubic), *((model, srup.load(model, scale=scale)) for model in models)]:
        print("{:<10} {} ×{}  {:.3f} dB  {:.4f}".format(model, name, scale, *score(SHARED, name, scale, enlarge)), flush=True)


if __name__ == "__main__":
    main()
