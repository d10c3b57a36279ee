"""Speed of IMDN in srup against its published form, and against this machine's convolutions.

`python -m tests.benchmarks.published [--side 512] [--runs 7]`
One process, one thread, interleaved; medians and ratios, and the share of the rate that 3×3
convolutions with 64 channels reach alone. The published form is a plain transcription of the
paper's graph in eager PyTorch, without gradients. It has a process of its own, since it runs with
glibc's allocator as it is, and takes turns with the others by a line on its standard input.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from srup import memory

SERVE = "--serve"  # makes this process the one of the published form

if __name__ == "__main__" and SERVE not in sys.argv:
    memory.keep_freed()  # as `srup` does, before torch is imported

import numpy as np  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from srup.inference.engines.pytorch import stages_on  # noqa: E402
from srup.models import registry  # noqa: E402
from srup.networks.stages import whole  # noqa: E402
from tests.benchmarks.turns import Turn, medians, timed  # noqa: E402

SCALE = 4
CHANNELS, ROUNDS = 64, 4


class Published(nn.Module):
    """IMDN ×4 as its paper draws it: six blocks, all their outputs concatenated, NCHW."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 64, 3, padding=1)
        self.blocks = nn.ModuleList(Block() for _ in range(6))
        self.fusion = nn.Sequential(nn.Conv2d(6 * 64, 64, 1), nn.LeakyReLU(0.05, inplace=True))
        self.last = nn.Conv2d(64, 64, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(64, 3 * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE)
        )

    def forward(self, image: Tensor) -> Tensor:
        features = x = self.first(image)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        enlarged: Tensor = self.upsampler(self.last(self.fusion(torch.cat(outputs, 1))) + features)
        return enlarged


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for before, after in ((64, 64), (48, 64), (48, 64), (48, 16))
        )
        self.activation = nn.LeakyReLU(0.05, inplace=True)
        self.squeeze, self.stretch = nn.Conv2d(64, 4, 1), nn.Conv2d(4, 64, 1)
        self.fusion = nn.Conv2d(64, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        *steps, last = self.steps
        kept, rest = [], x
        for step in steps:
            part, rest = torch.split(self.activation(step(rest)), (16, 48), 1)
            kept.append(part)
        distilled = torch.cat([*kept, last(rest)], 1)
        size = distilled.shape[2] * distilled.shape[3]
        mean = distilled.sum(3, keepdim=True).sum(2, keepdim=True) / size
        variance = (distilled - mean).pow(2).sum(3, keepdim=True).sum(2, keepdim=True) / size
        contrast = variance.pow(0.5) + F.adaptive_avg_pool2d(distilled, 1)
        factors = torch.sigmoid(self.stretch(torch.relu(self.squeeze(contrast))))
        fused: Tensor = self.fusion(distilled * factors) + x
        return fused


def serve(side: int) -> None:
    """Runs the published form once for every line that comes, and answers with the seconds."""
    network, image = Published().eval(), torch.rand(1, 3, side, side)
    with torch.no_grad():
        for _ in sys.stdin:
            print(timed(lambda: network(image)), flush=True)


def ceiling(side: int, dtype: torch.dtype) -> tuple[Callable[[], object], float]:
    """3×3 convolutions of 64 channels and nothing else, and how many multiply-adds they are."""
    x = torch.rand(1, CHANNELS, side, side).to(dtype, memory_format=torch.channels_last)
    weight = torch.rand(CHANNELS, CHANNELS, 3, 3).to(dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def run() -> None:
        for _ in range(ROUNDS):
            F.conv2d(x, weight, padding=1)

    return run, ROUNDS * side**2 * CHANNELS**2 * 9


def multiply_adds(side: int) -> int:
    """Of IMDN ×4 itself, by its paper: what srup computes besides does not count."""
    convolutions = [(3, 64, 9), (64, 64, 9), (64, 48, 9), (6 * 64, 64, 1)]
    block = [(64, 64, 9), (48, 64, 9), (48, 64, 9), (48, 16, 9), (64, 64, 1)]
    return side**2 * sum(
        before * after * taps for before, after, taps in [*convolutions, *(6 * block)]
    )


class PublishedProcess:
    """The published form in a process of its own, as a turn that can be timed."""

    def __init__(self, side: int) -> None:
        module = [sys.executable, "-m", "tests.benchmarks.published"]
        self.process = subprocess.Popen(
            [*module, SERVE, "--side", str(side)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self) -> float:
        assert self.process.stdin and self.process.stdout
        print(file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """Ends the process, which stops at the end of its input."""
        assert self.process.stdin
        self.process.stdin.close()


def srup_turn(side: int, precision: str) -> Turn:
    """IMDN as srup runs it, in one window."""
    network = registry.build(registry.find("imdn")[SCALE])
    pixels = np.random.default_rng(0).random((1, side, side, 3), np.float32)
    image = pixels.transpose(0, 3, 1, 2)
    stages = stages_on(network.stages(), precision=precision)
    return lambda: timed(lambda: whole(stages, image))


def report(side: int, runs: int) -> None:
    """Measures and prints."""
    ceilings = {"fp32": ceiling(side, torch.float32), "bf16": ceiling(side, torch.bfloat16)}
    published = PublishedProcess(side)
    turns: dict[str, Turn] = {"published form": published}
    for precision, (run, _) in ceilings.items():
        turns[f"srup {precision}"] = srup_turn(side, precision)
        turns[f"ceiling {precision}"] = partial(timed, run)
    seconds = medians(turns, runs)
    published.close()
    print(f"IMDN ×{SCALE}, {side}×{side}, one thread, medians of {runs}")
    print(f"published form  {seconds['published form']:.3f} s")
    for precision, (_, work) in ceilings.items():
        own, rate = seconds[f"srup {precision}"], work / seconds[f"ceiling {precision}"]
        share = multiply_adds(side) / own / rate
        faster = seconds["published form"] / own
        print(
            f"srup {precision}       {own:.3f} s  {faster:.2f} times as fast; "
            f"{share:.0%} of {2 * rate / 1e9:.0f} GFLOP/s"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument(SERVE, action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.serve:
        serve(options.side)
    else:
        report(options.side, options.runs)


if __name__ == "__main__":
    main()
