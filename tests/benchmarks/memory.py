"""Peak memory and time of whole `srup upscale` processes on growing images.

`python -m tests.benchmarks.memory -m imdn -s 4` enlarges 1, 4 and 12 megapixels; all options go to
`srup upscale`.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.draw import draw

MEGAPIXELS = (1, 4, 12)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in MEGAPIXELS:
            image = picture(megapixels)
            source = Path(folder) / f"{megapixels}mp.png"
            image.save(source, compress_level=1)
            output = str(Path(folder) / "out.png")
            arguments = ["upscale", str(source), "-o", output, "-y", "-v", *sys.argv[1:]]
            seconds, peak = run(arguments)
            size = f"{megapixels} MP ({image.width}×{image.height})"
            print(f"{size}: {seconds:.0f} s, {peak / 1e9:.2f} GB", flush=True)


def picture(megapixels: int) -> Image.Image:
    """The drawn sample, repeated to about this many megapixels at 3:2."""
    tile = np.asarray(draw(640, 480))
    width, height = round(math.sqrt(megapixels * 1.5e6)), round(math.sqrt(megapixels * 1e6 / 1.5))
    rows, columns = -(-height // 480), -(-width // 640)
    return Image.fromarray(np.tile(tile, (rows, columns, 1))[:height, :width])


def run(arguments: list[str]) -> tuple[float, int]:
    """Runs a srup process; its seconds and peak resident bytes."""
    started = time.perf_counter()
    process = os.posix_spawn(sys.executable, [sys.executable, "-m", "srup", *arguments], os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise SystemExit("srup failed")
    return time.perf_counter() - started, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
