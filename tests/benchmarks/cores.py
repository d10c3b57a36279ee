"""Gain from all cores: windows of one network on one thread against a thread for each core.

`python -m tests.benchmarks.cores [--model imdn] [--scale 4] [--side 512] [--runs 5]`
Interleaved in one process; medians and the ratio.
"""

from __future__ import annotations

import argparse
from functools import partial

from srup import memory

memory.keep_freed()  # as `srup` does, before torch is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402

from srup.inference.engines import Conversion  # noqa: E402
from srup.inference.engines.pytorch import program_of  # noqa: E402
from srup.inference.tiling import tiled  # noqa: E402
from srup.models import registry  # noqa: E402
from tests.benchmarks.turns import medians, timed  # noqa: E402

WINDOW = 256


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="imdn")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()

    network = registry.build(registry.find(options.model)[options.scale])
    image = (
        np.random.default_rng(0)
        .integers(0, 256, (1, options.side, options.side, 3), np.uint8)
        .transpose(0, 3, 1, 2)
    )
    cores = torch.get_num_threads()

    def run(precision: str, workers: int) -> None:
        program = program_of(network, device="cpu", precision=precision)
        torch.set_num_threads(1 if workers == 1 else cores)
        tiled(
            program.stages(Conversion(255, 255), False),
            image,
            WINDOW,
            workers=workers,
            pool=program.pool,
        )
        torch.set_num_threads(cores)

    turns = {
        f"{precision} {count}": partial(run, precision, count)
        for precision in ("fp32", "bf16")
        for count in (1, cores)
    }
    seconds = medians({name: partial(timed, turn) for name, turn in turns.items()}, options.runs)
    for precision in ("fp32", "bf16"):
        one, all_of_them = seconds[f"{precision} 1"], seconds[f"{precision} {cores}"]
        print(
            f"{options.model} {precision}: "
            f"{one:.3f} s on one, {all_of_them:.3f} s on {cores} cores: "
            f"{one / all_of_them:.2f} times"
        )


if __name__ == "__main__":
    main()
