"""What teachers make of the training images: enlarged once, before the first step.

A network that is distilled (Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network",
https://arxiv.org/abs/1503.02531) follows larger ones, which show of HR what can be known from LR.
They are given the whole image, and it as bicubic made it even where a run degrades its patches.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from srup.files import replacing
from srup.inference.loading import load
from srup.inference.upscaler import Upscaler
from srup.models import registry
from srup.progress import Progress, share
from srup.training.dataset import Bytes, Pairs


def taught(
    pairs: Pairs, teachers: Sequence[str], *, device: str = "auto", progress: Progress | None = None
) -> Pairs:
    """The pairs with what the teachers make of LR: at each scale the mean of those that have it.

    `teachers` are names of networks. Their images are made on first use, and kept beside the pairs.
    Raises SrupError as `load` and the Upscaler do.
    """
    planes = {}
    scales = [scale for scale in pairs.sides if scale > 1]
    for number, scale in enumerate(scales):
        names = with_scale(teachers, scale)
        path = pairs.folder / f"x{scale}-{_key(names, scale)}.bin"
        if not path.exists():
            enlarges = [load(name, scale=scale, device=device) for name in names]
            with replacing(path) as temporary, temporary.open("wb") as file:
                for index in range(len(pairs)):
                    file.write(_mean(enlarges, pairs.image(scale, index)).tobytes())
                    share(progress, number, len(scales))(index + 1, len(pairs))
        planes[scale] = np.memmap(path, np.uint8, "r")
    return dataclasses.replace(pairs, taught=planes)


def with_scale(teachers: Sequence[str], scale: int) -> list[str]:
    """Those of the teachers whose weights for a scale were released."""
    having = []
    for name in teachers:
        row = registry.find(name).get(scale)
        if row and row.released:
            having.append(name)
    return having


def _key(names: Sequence[str], scale: int) -> str:
    """A name for what these teachers, with the weights they have now, make at a scale."""
    digests = sorted(registry.find(name)[scale].digest for name in names)
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]


def _mean(enlarges: Sequence[Upscaler], lr: Bytes) -> Bytes:
    """The mean of what Upscalers make of an image H×W×3."""
    total: NDArray[np.float32] = np.zeros((), np.float32)
    for enlarge in enlarges:
        total = total + enlarge(lr)
    return np.rint(total / len(enlarges)).astype(np.uint8)
