"""Time and size of PNG as srup writes it and as Pillow does, at several levels.

`python -m tests.benchmarks.png PHOTO... [--runs 5]`

Interleaved; medians of processor time, and bytes beside Pillow's default (6). Give enlarged
photographs, since that is what srup writes.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from srup.images import png
from srup.images.values import Image

PILLOWS = (1, 3, 6)
OWN = (1, 2, 3)


def by_pillow(picture: Pillow.Image, level: int) -> int:
    """Writes a PNG file and returns its bytes."""
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=level)
    return file.tell()


def by_srup(picture: Pillow.Image, level: int) -> int:
    """Writes a PNG file and returns its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        png.write(Image(np.asarray(picture)), path, level=level)
        return path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()

    Pillow.MAX_IMAGE_PIXELS = None
    pictures = [Pillow.open(path).convert("RGB") for path in options.photos]
    ways: dict[str, Callable[[Pillow.Image], int]] = {}
    ways |= {f"Pillow, level {level}": partial(by_pillow, level=level) for level in PILLOWS}
    ways |= {f"srup, level {level}": partial(by_srup, level=level) for level in OWN}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    sizes: dict[str, int] = {}
    for _ in range(options.runs):
        for name, write in ways.items():
            started = time.process_time()
            sizes[name] = sum(map(write, pictures))
            seconds[name].append(time.process_time() - started)
    for name, size in sizes.items():
        more = 100 * size / sizes["Pillow, level 6"] - 100
        milliseconds = 1000 * statistics.median(seconds[name])
        print(f"{name:<16}  {milliseconds:.0f} ms  {size / 1e6:.2f} MB  {more:+.1f} %")


if __name__ == "__main__":
    main()
