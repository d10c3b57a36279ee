"""Validation of a network in training: Y-PSNR on HR images that it does not see."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from srup.errors import ImageError, OutOfMemory, TrainingError
from srup.evaluation.metrics import luma, psnr
from srup.images.degrade import CLEAN, degraded_by
from srup.networks.base import Network
from srup.resize import cropped_to_multiple, imresize, lr_of
from srup.training.dataset import Bytes, read_bytes

log = logging.getLogger(__name__)

Enlarge = Callable[[Bytes], Bytes]


def network_input(pixels: Tensor) -> Tensor:
    """N×H×W×3 bytes as N×3×H×W in [0, 1], channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float() / 255


class Validation:
    """HR images, shrunk once for each scale, and degraded by each of the specs besides "clean".

    Y-PSNR is the mean over them, with the scale as border and results rounded to bytes. Files that
    cannot be read are left out, with a warning. Raises TrainingError if none is left.
    """

    def __init__(
        self, paths: Sequence[Path], scales: Sequence[int], specs: Sequence[str] = ()
    ) -> None:
        self.specs = (CLEAN, *specs)
        self.pairs: dict[tuple[str, int], list[tuple[Bytes, Bytes]]] = {}
        for path in paths:
            try:
                pixels = read_bytes(path)
            except (ImageError, OutOfMemory) as error:
                log.warning("left out of validation: %s", error)
                continue
            for scale in scales:
                hr = np.ascontiguousarray(cropped_to_multiple(pixels, scale))
                lr = lr_of(hr, scale)
                for spec in self.specs:
                    pair = degraded_by(spec, lr), hr
                    self.pairs.setdefault((spec, scale), []).append(pair)
        if not self.pairs:
            raise TrainingError(f"none of the {len(paths)} images to validate on could be read")

    def bicubic(self, scale: int, spec: str = CLEAN) -> float:
        """The Y-PSNR of bicubic in dB."""
        return self._mean(scale, spec, lambda lr: imresize(lr, scale=scale))

    def psnr(self, network: Network, spec: str = CLEAN) -> float:
        """The Y-PSNR of a network in dB, at the scale that it is bound to."""
        device = next(network.parameters()).device.type

        def enlarge(lr: Bytes) -> Bytes:
            pixels = torch.from_numpy(lr[None]).to(device)
            sr = network(network_input(pixels))[0].permute(1, 2, 0)
            return np.asarray((sr * 255).round().clamp(0, 255).byte().cpu().numpy())

        with torch.inference_mode():
            return self._mean(network.scale, spec, enlarge)

    def _mean(self, scale: int, spec: str, enlarge: Enlarge) -> float:
        pairs = self.pairs[spec, scale]
        values = [psnr(luma(enlarge(lr)), luma(hr), border=scale) for lr, hr in pairs]
        return sum(values) / len(values)
