from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from srup.evaluation.benchmark import Evaluation
from srup.inference.run_options import RunOptions
from srup.inference.self_ensemble import self_ensemble
from tests.conftest import evaluated

Noise = Callable[[int, int], Tensor]


def doubled(image: np.ndarray) -> np.ndarray:
    return image.repeat(2, 2).repeat(2, 3)


def test_what_treats_all_orientations_alike_is_unchanged(noise: Noise) -> None:
    image = noise(7, 9).numpy()
    assert np.allclose(self_ensemble(doubled, image), doubled(image))


def test_what_does_not_is_evened_out(noise: Noise) -> None:
    """A shift to the right becomes the mean of the shifts to all four sides."""

    def shifted(image: np.ndarray) -> np.ndarray:
        return np.roll(image, 1, 3)

    image = noise(8, 6).numpy()
    expected = sum(np.roll(image, by, axis) for by in (-1, 1) for axis in (2, 3)) / 4
    assert np.allclose(self_ensemble(shifted, image), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "scale", "gain"),
    [("Set5", 4, 0.096), ("Set5", 2, 0.092)],
)
def test_it_gains_what_was_measured(
    shared: Path, checkpoints: Path, images: str, scale: int, gain: float
) -> None:
    each_way = [RunOptions(self_ensemble=on, precision="fp32") for on in (False, True)]
    plain, ensemble = (
        evaluated(Evaluation("imdn", scale, run_options=run_options), shared, images).psnr
        for run_options in each_way
    )
    assert ensemble - plain == pytest.approx(gain, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "gain"), [(4, 0.083), (2, 0.057)])
def test_it_gains_what_was_measured_on_set14(
    shared: Path, checkpoints: Path, scale: int, gain: float
) -> None:
    test_it_gains_what_was_measured(shared, checkpoints, "Set14", scale, gain)
