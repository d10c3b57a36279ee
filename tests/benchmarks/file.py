"""Time for the pixels of a file against those of a writeable array, for networks and precisions.

`python -m tests.benchmarks.file PHOTO [MODEL...] [--scale 4] [--runs 5]`
Arrays of files are read-only, and what is made of them must suit convolutions all the same.
Interleaved in one process, one thread, PyTorch; medians and the ratio.
"""

from __future__ import annotations

from functools import partial

from srup import memory

memory.keep_freed()  # as `srup` does, before torch is imported

import torch  # noqa: E402

import srup  # noqa: E402
from srup.images import read_image  # noqa: E402
from srup.processor import has_bfloat16, instructions  # noqa: E402
from tests.benchmarks.turns import medians, of_a_photo, timed  # noqa: E402


def main() -> None:
    options = of_a_photo()

    torch.set_num_threads(1)
    pixels = read_image(options.photo).pixels
    assert not pixels.flags.writeable
    print(f"{instructions()}, ×{options.scale}, {pixels.shape[1]}×{pixels.shape[0]}")
    for name in options.models:
        for precision in ("fp32", "bf16") if has_bfloat16() else ("fp32",):
            upscaler = srup.load(
                name, scale=options.scale, device="cpu", engine="pytorch", precision=precision
            )
            turns = {
                "file": partial(timed, partial(upscaler, pixels)),
                "array": partial(timed, partial(upscaler, pixels.copy())),
            }
            found = medians(turns, options.runs)
            ratio = found["file"] / found["array"]
            print(f"{name:<10} {precision}  file {found['file']:.3f} s  {ratio:.3f} times an array")


if __name__ == "__main__":
    main()
