"""Details of photographs, degraded and enlarged by several networks: to be looked at.

`python -m tests.benchmarks.crops FOLDER a.jpg@LEFT,TOP b.jpg@LEFT,TOP …`

Each photograph is halved, so that what its own compression did is gone, degraded, and enlarged
four times. The detail begins at LEFT, TOP of the halved picture. FOLDER receives a sheet for each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import srup
from srup.images.degrade import degraded_by
from srup.resize import imresize
from srup.training.dataset import read_bytes
from tests.benchmarks.sheet import sheet

SCALE = 4
SIDE = 52  # of a detail, in pixels of the halved picture
SPECS = {"clean": "clean", "q60": "jpeg:60", "q30": "jpeg:30", "noise 10": "noise:10"}
NETWORKS = ("lite", "lite-photo", "imdn")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    enlarge = {name: srup.load(name, scale=SCALE) for name in NETWORKS}
    for argument in sys.argv[2:]:
        path, _, corner = argument.rpartition("@")
        left, top = (int(number) * SCALE for number in corner.split(","))
        detail = slice(top, top + SIDE * SCALE), slice(left, left + SIDE * SCALE)
        half = imresize(read_bytes(Path(path)), scale=0.5)
        rows = {}
        for label, spec in SPECS.items():
            lr = degraded_by(spec, half)
            results = [imresize(lr, scale=SCALE), *(network(lr) for network in enlarge.values())]
            rows[label] = [np.ascontiguousarray(each[detail]) for each in results]
        out = folder / f"{Path(path).stem}.webp"
        sheet(("bicubic", *NETWORKS), rows).save(out, quality=90, method=6)
        print(out)


if __name__ == "__main__":
    main()
