"""Networks of others: recognised, how far they see, tiled against whole, and the time of it.

`python -m tests.benchmarks.checkpoints [NAME...]` prints a Markdown table for small random networks
of the architectures in tests/models/checkpoints_of_others.py. Differences are in levels of 255,
between windows of 32, 64 and 96 pixels and one window, on 200×150 pixels in float32. Seconds are
medians of 3: srup in one window with PyTorch, with OpenVINO where that converts the network, and
the descriptor of spandrel alone.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from srup.errors import SrupError
from srup.inference.loading import load
from srup.inference.upscaler import Upscaler
from srup.models import registry, state_dicts
from srup.networks.community import Community, without_torchvision
from tests.data.draw import draw
from tests.models.checkpoints_of_others import ARCHITECTURES, saved

TILES = (32, 64, 96)
SIZE = (200, 150)
RUNS = 3
HEAD = (
    *("architecture", "scale", "sees", "period", "windows"),
    *(f"difference, {tile} px" for tile in TILES),
    *("bfloat16, dB", "srup, s", "OpenVINO, s", "spandrel, s"),
)


def main() -> None:
    print(f"| {' | '.join(HEAD)} |")
    print("|" + " --- |" * len(HEAD))
    for architecture in sys.argv[1:] or ARCHITECTURES:
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {' | '.join(cells(saved(Path(folder), architecture)))} |", flush=True)


def cells(path: Path) -> list[str]:
    """The row of a checkpoint."""
    (row,) = registry.find(str(path)).values()
    upscaler = load(str(path), engine="pytorch", precision="fp32")
    network = upscaler.network
    assert isinstance(network, Community)
    sight, pixels = network.sight, np.asarray(draw(*SIZE))
    whole = replace(upscaler, tile="none")
    expected = whole(pixels).astype(int)
    differences = [np.abs(replace(upscaler, tile=tile)(pixels) - expected).max() for tile in TILES]
    kind = f"blended over {sight.overlap} px, seam {sight.rest:g}"
    if sight.reach is not None:
        kind = "exact" if not sight.rest else f"{sight.overlap} px decide all but {sight.rest:g}"
    return [
        row.paper,
        f"×{row.scale}",
        "everything" if sight.reach is None else f"{sight.reach} px",
        str(sight.period),
        kind,
        *map(str, differences),
        f"{sight.half_psnr:g}",
        f"{median(lambda: whole(pixels)):.2f}",
        by_openvino(path, pixels),
        f"{median(plain(path, pixels)):.2f}",
    ]


def by_openvino(path: Path, pixels: np.ndarray) -> str:
    """The seconds that OpenVINO takes, or why it does not."""
    try:
        upscaler: Upscaler = load(str(path), engine="openvino", precision="fp32", tile="none")
        upscaler(pixels)
    except SrupError:
        return "–"
    return f"{median(lambda: upscaler(pixels)):.2f}"


def plain(path: Path, pixels: np.ndarray) -> Callable[[], object]:
    """The call of spandrel's descriptor on an image."""
    with without_torchvision():
        import spandrel
    descriptor = spandrel.ModelLoader(device="cpu").load_from_state_dict(state_dicts.read(path))
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    return lambda: descriptor(image)


def median(call: Callable[[], object]) -> float:
    """The median time of a few calls, in seconds."""
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
