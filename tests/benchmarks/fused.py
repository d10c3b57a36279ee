"""What convolving in one pass with additions and activations brings, and the share of the ceiling.

`python -m tests.benchmarks.fused PHOTO [MODEL...] [--scale 4] [--runs 5]`
Interleaved in one process, one thread, PyTorch, one window; medians. The ceiling is the rate of 3×3
convolutions of 64 channels alone; a network's multiply-adds are those that its paper counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from srup import memory

memory.keep_freed()  # as `srup` does, before torch is imported

import torch  # noqa: E402

from srup.images import read_image  # noqa: E402
from srup.inference.engines import Conversion  # noqa: E402
from srup.inference.engines.pytorch import TYPES, program_of  # noqa: E402
from srup.inference.run_options import Precision  # noqa: E402
from srup.models import registry  # noqa: E402
from srup.models.costs import OUTPUT, cost  # noqa: E402
from srup.networks import convolution  # noqa: E402
from srup.networks.stages import Array, whole  # noqa: E402
from srup.processor import has_bfloat16, instructions  # noqa: E402
from tests.benchmarks.published import ceiling  # noqa: E402
from tests.benchmarks.turns import medians, of_a_photo, timed  # noqa: E402

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def main() -> None:
    options = of_a_photo()

    torch.set_num_threads(1)
    image = read_image(options.photo).pixels[None].transpose(0, 3, 1, 2)
    height, width = image.shape[2:]
    print(f"{instructions()}, ×{options.scale}, {width}×{height}")
    for name in options.models:
        for precision in PRECISIONS if has_bfloat16() else PRECISIONS[:1]:
            row = registry.find(name)[options.scale]
            print(f"{name} {precision}: {measured(row, precision, image, options.runs)}")


def measured(row: registry.Model, precision: Precision, image: Array, runs: int) -> str:
    """Seconds in parts and in one pass, and the share of the ceiling."""
    network = registry.build(row)
    stages = program_of(network, device="cpu", precision=precision).stages(
        Conversion(255, 255), False
    )
    alone, alone_work = ceiling(256, TYPES[precision])

    def enlarge() -> object:
        return whole(stages, image)

    turns: dict[str, Callable[[], object]] = {"ceiling": alone, "one pass": enlarge}
    if precision == "bf16":
        turns["parts"] = partial(in_parts, enlarge)
    seconds = medians({name: partial(timed, turn) for name, turn in turns.items()}, runs)
    pixels = image.shape[2] * image.shape[3]
    work = cost(network)[1] * 1e9 * pixels * network.scale**2 / (OUTPUT[0] * OUTPUT[1])
    rate, own = alone_work / seconds["ceiling"], seconds["one pass"]
    said = f"{own:.3f} s, {work / own / rate:.0%} of {2 * rate / 1e9:.0f} GFLOP/s"
    if "parts" not in seconds:
        return said
    return f"{said}; in parts {seconds['parts']:.3f} s, {seconds['parts'] / own:.3f} times"


def in_parts(run: Callable[[], object]) -> object:
    """Runs with convolutions apart from what follows them."""
    with _without_operators():
        return run()


@contextmanager
def _without_operators() -> Iterator[None]:
    usable = convolution.usable
    convolution.usable = lambda: False  # type: ignore[assignment]
    try:
        yield
    finally:
        convolution.usable = usable


if __name__ == "__main__":
    main()
