"""The README's picture: a detail of the drawn sample, enlarged by bicubic and by srup.

`python -m tests.benchmarks.picture .github/picture.png`
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import srup
from srup.resize import imresize
from tests.benchmarks.sheet import sheet
from tests.data.draw import draw

SCALE = 4
DETAIL = (50, 96, 146, 196)  # left, top, right, bottom in the small image


def main() -> None:
    small = np.asarray(draw(320, 240))
    versions = {
        "as it is": small.repeat(SCALE, 0).repeat(SCALE, 1),
        "bicubic, 4 times": imresize(small, scale=SCALE),
        "srup, 4 times": srup.load("lite", scale=SCALE)(small),
    }
    left, top, right, bottom = (side * SCALE for side in DETAIL)
    cells = [pixels[top:bottom, left:right] for pixels in versions.values()]
    made = sheet(list(versions), {"": cells})
    made.quantize(256).save(Path(sys.argv[1]), optimize=True)


if __name__ == "__main__":
    main()
