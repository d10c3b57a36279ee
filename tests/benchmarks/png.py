"""Time and size of PNG at each compression level.

`python -m tests.benchmarks.png PHOTO... [--runs 5]`

Interleaved; medians of processor time, and bytes beside Pillow's default (6).
"""

from __future__ import annotations

import argparse
import io
import statistics
import time

from PIL import Image

LEVELS = range(1, 7)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()

    images = [Image.open(path).convert("RGB") for path in options.photos]
    seconds: dict[int, list[float]] = {level: [] for level in LEVELS}
    sizes = dict.fromkeys(LEVELS, 0)
    for run in range(options.runs):
        for level in LEVELS:
            started = time.process_time()
            for image in images:
                file = io.BytesIO()
                image.save(file, "PNG", compress_level=level)
                sizes[level] += file.tell() if run == 0 else 0
            seconds[level].append(time.process_time() - started)
    for level in LEVELS:
        more = 100 * sizes[level] / sizes[6] - 100
        milliseconds = 1000 * statistics.median(seconds[level])
        megabytes = sizes[level] / 1e6
        print(f"level {level}  {milliseconds:.0f} ms  {megabytes:.2f} MB  {more:+.1f} %")


if __name__ == "__main__":
    main()
