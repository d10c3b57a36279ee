"""Speed of networks on this machine, compared with one another.

`python -m tests.benchmarks.speed 4 lite imdn [--side 512] [--runs 7]`
Interleaved in one process; medians in LR megapixels per second, and the ratio to the last network
named.
"""

from __future__ import annotations

import argparse
from functools import partial

from srup import memory

memory.keep_freed()  # as `srup` does, before torch is imported

import numpy as np  # noqa: E402

import srup  # noqa: E402
from tests.benchmarks import turns  # noqa: E402
from tests.benchmarks.turns import timed  # noqa: E402
from tests.data.draw import draw  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("scale", type=int)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()

    image = np.asarray(draw(options.side, options.side))
    upscalers = {
        name: srup.load(name, scale=options.scale, device="cpu") for name in options.models
    }
    medians = turns.medians(
        {name: partial(timed, partial(upscaler, image)) for name, upscaler in upscalers.items()},
        options.runs,
    )
    for name, median in medians.items():
        last = options.models[-1]
        rate, ratio = options.side**2 / 1e6 / median, medians[last] / median
        speed = f"{median:.3f} s  {rate:.3f} LR MP/s  {ratio:.2f} times {last}"
        print(f"{name:<10} ×{options.scale}  {speed}")


if __name__ == "__main__":
    main()
