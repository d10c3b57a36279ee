"""What `srup upscale --dry-run` says, beside what the same command then takes.

`python -m tests.benchmarks.forecast IMAGE... [-m NAME]... [-s SCALE]... [--runs 1]`
Whole processes, one after the other: wall time, and the peak of memory as the system counts it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WEIGHED = [
    "lite",
    "imdn",
    "imdn-as",
    "imdn-rtc",
    "imdn-rte",
    "imdn-plus",
    "lesrcnn",
    "rfdn",
    "rdsrn",
]


def main() -> None:
    """Prints a row for each image, network and scale."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("-m", "--model", action="append")
    parser.add_argument("-s", "--scale", action="append")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    print(f"{'':<28} {'memory':>16} {'ratio':>6} {'time':>16} {'ratio':>6} {'dry run':>8}")
    for image in options.images:
        for model in options.model or WEIGHED:
            for scale in options.scale or ["2", "4"]:
                compare(image, model, scale, options.runs)


def compare(image: Path, model: str, scale: str, runs: int) -> None:
    """Prints what was forecast and what it took, the medians of several runs that take turns."""
    forecasts, taken = [], []
    for _ in range(runs):
        forecasts.append(forecast(image, model, scale))
        taken.append(took(image, model, scale))
    memory, seconds, dry = (statistics.median(column) for column in zip(*forecasts, strict=True))
    peak, wall = (statistics.median(column) for column in zip(*taken, strict=True))
    print(
        f"{image.stem[:12]:<12} {model:<10} ×{scale:<3} "
        f"{memory / 1e9:6.2f} → {peak / 1e9:4.2f} GB {memory / peak:6.2f} "
        f"{seconds:6.1f} → {wall:5.1f} s {seconds / wall:6.2f} {dry:6.1f} s",
        flush=True,
    )


def forecast(image: Path, model: str, scale: str) -> tuple[float, float, float]:
    """Bytes and seconds that a dry run says, and the seconds that it takes itself."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        command = [*words(image, model, scale, folder), "--dry-run", "--json"]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(said)["forecast"]
        return found["memory"], found["seconds"], time.perf_counter() - started


def took(image: Path, model: str, scale: str) -> tuple[float, float]:
    """Bytes at the peak and seconds of the command itself."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        child = subprocess.Popen(words(image, model, scale, folder), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        assert status == 0, f"srup ended with {status}"
        return usage.ru_maxrss * 1024, time.perf_counter() - started


def words(image: Path, model: str, scale: str, folder: str) -> list[str]:
    """The command line that enlarges an image into a folder."""
    out = str(Path(folder) / "larger.png")
    return [
        sys.executable,
        "-m",
        "srup",
        "upscale",
        str(image),
        "-m",
        model,
        "-s",
        scale,
        "-o",
        out,
    ]


if __name__ == "__main__":
    main()
