"""Which share of `lite-photo` suits which damage: the thresholds of `models.choosing`.

`python -m tests.benchmarks.strength HR_FOLDER [--every 2]`
Mean Y-PSNR in dB of mixtures of `lite` and `lite-photo` on LR images that were degraded, for ×2 and
×4; bfloat16 where the processor has it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from srup import memory

memory.keep_freed()  # as `srup` does, before torch is imported

import numpy as np  # noqa: E402

import srup  # noqa: E402
from srup.evaluation.benchmark import Case, cases, lr_and_hr  # noqa: E402
from srup.evaluation.protocols import score  # noqa: E402
from srup.images.degrade import CLEAN, degraded_by  # noqa: E402

QUALITIES = (98, 96, 95, 93, 90, 85, 80, 75)
SPECS = (CLEAN, *(f"jpeg:{quality}" for quality in QUALITIES), "noise:2", "noise:3", "noise:5")
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def mean_psnr(upscaler: srup.Upscaler, spec: str, images: list[Case], scale: int) -> float:
    """The mean over images whose LR version is degraded."""
    found = []
    for case in images:
        lr, hr = lr_and_hr(case, scale, "mirror")
        enlarged = upscaler(degraded_by(spec, lr))
        found.append(score(enlarged, hr, protocol="paper", border=scale).psnr)
    return float(np.mean(found))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take one image in so many")
    options = parser.parse_args()

    images = cases(options.folder, None)[0][:: options.every]
    for scale in (2, 4):
        print(f"| ×{scale} | {' | '.join(map(str, STRENGTHS))} |")
        upscalers = [
            srup.load("lite-photo", scale=scale, strength=strength, engine="pytorch")
            for strength in STRENGTHS
        ]
        for spec in SPECS:
            means = [mean_psnr(upscaler, spec, images, scale) for upscaler in upscalers]
            cells = [f"{mean:.2f}" for mean in means]
            print(f"| {spec} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
