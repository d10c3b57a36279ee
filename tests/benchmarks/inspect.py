"""How well `srup inspect` tells what was done to pictures, and how long it takes.

`python -m tests.benchmarks.inspect FOLDER`
The folder holds clean photographs, such as Kodak's. Each is compressed, made noisy or enlarged by a
known amount. A cell is the mean of what was told ± the largest error, and of how many pictures it
was told if not of all. Times are medians in one process.
"""

from __future__ import annotations

import argparse
import io
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from srup import memory

memory.keep_freed()  # as `srup` does

import numpy as np  # noqa: E402
from PIL import Image as Pillow  # noqa: E402

from srup.images import Image, Pages, read_pages  # noqa: E402
from srup.models.inspect import Inspection, inspection_of  # noqa: E402
from srup.resize import imresize  # noqa: E402
from tests.benchmarks.turns import timed  # noqa: E402

Picture = np.ndarray  # H×W×3, uint8
Change = Callable[[Picture], Pages]

QUALITIES = (30, 50, 60, 70, 80, 90, 95, 98)
SIGMAS = (0, 2, 3, 5, 10, 15)
AGAIN = 92  # quality of the second compression
CROP = (3, 5)  # rows and columns cut off before it, so that blocks begin elsewhere


def held(picture: Picture) -> Pages:
    """The pixels alone, as a file without loss holds them."""
    return Pages((Image(picture),))


def encoded(picture: Picture, kind: str, quality: int) -> Pages:
    """The pixels saved in a lossy format and read again, with what the header says."""
    file = io.BytesIO()
    Pillow.fromarray(picture).save(file, kind, quality=quality)
    return read_pages(file)


def compressed(picture: Picture, quality: int) -> Picture:
    """The pixels after having been saved as JPEG."""
    return encoded(picture, "JPEG", quality).images[0].pixels


def cropped(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[CROP[0] :, CROP[1] :])


def noisy(picture: Picture, sigma: float) -> Picture:
    """The pixels with white Gaussian noise of this σ, independent in each channel."""
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return np.rint(picture + noise).clip(0, 255).astype(np.uint8)


def enlarged(picture: Picture, scale: float) -> Picture:
    """The middle of the picture enlarged by bicubic, no larger than the picture was."""
    height, width = picture.shape[:2]
    rows, columns = int(height / scale), int(width / scale)
    top, left = (height - rows) // 2, (width - columns) // 2
    part = picture[top : top + rows, left : left + columns]
    return imresize(np.ascontiguousarray(part), scale=scale)


def inspected(pictures: Sequence[Picture], change: Change) -> list[Inspection]:
    return [inspection_of(change(picture)) for picture in pictures]


def estimate(expected: float, values: Sequence[float | None]) -> str:
    """A cell: the mean ± the largest error, and how many were told if not all."""
    told = [value for value in values if value is not None]
    if not told:
        return "–"
    error = max(abs(value - expected) for value in told)
    cell = f"{statistics.mean(told):.1f} ± {error:.1f}"
    return cell if len(told) == len(values) else f"{cell} ({len(told)} of {len(values)})"


def print_row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |")


def print_head(*columns: object) -> None:
    print()
    print_row(*columns)
    print_row(*["---"] * len(columns))


def print_qualities(pictures: Sequence[Picture]) -> None:
    """From headers, and from pixels that were compressed once and twice."""
    print_head("quality", *QUALITIES)
    for kind in ("JPEG", "WebP"):
        cells = []
        for quality in QUALITIES:
            found = inspected(pictures, partial(encoded, kind=kind, quality=quality))
            headers = [each.compression.quality for each in found if each.compression]
            cells.append(estimate(quality, headers))
        print_row(f"{kind}, by the header", *cells)
    once, again = [], []
    resaved = partial(encoded, kind="JPEG", quality=AGAIN)
    for quality in QUALITIES:
        before = [compressed(each, quality) for each in pictures]
        found = inspected(before, held)
        once.append(estimate(quality, [each.traces for each in found]))
        found = inspected([cropped(each) for each in before], resaved)
        again.append(estimate(quality, [each.quality for each in found]))
    print_row("JPEG saved as PNG", *once)
    print_row(f"JPEG cropped, saved again at {AGAIN}", *again)


def print_noise(pictures: Sequence[Picture]) -> None:
    """Noise as it was added, and what is left of it after compression."""
    print_head("σ of noise", *SIGMAS)
    changes: dict[str, Change] = {"PNG": held}
    for quality in (95, 85, 75, 50):
        changes[f"JPEG of {quality}"] = partial(encoded, kind="JPEG", quality=quality)
    for name, change in changes.items():
        cells = []
        for sigma in SIGMAS:
            found = inspected([noisy(each, sigma) for each in pictures], change)
            cells.append(estimate(sigma, [each.noise for each in found]))
        print_row(name, *cells)


def print_answers(pictures: Sequence[Picture]) -> None:
    """What pictures are taken for."""
    cases: dict[str, Change] = {
        "as they are": held,
        "JPEG of 75": partial(encoded, kind="JPEG", quality=75),
        "WebP of 75": partial(encoded, kind="WEBP", quality=75),
    }
    for scale in (1.5, 2, 3, 4):
        cases[f"bicubic ×{scale:g}"] = lambda each, scale=scale: held(enlarged(each, scale))
    cases["bicubic ×2, JPEG of 90"] = lambda each: encoded(enlarged(each, 2), "JPEG", 90)
    print_head("pictures", "enlarged", "not enlarged", "not told", "compressed", "drawings")
    for name, change in cases.items():
        found = inspected(pictures, change)
        answers = [each.enlarged for each in found]
        counts = [answers.count(answer) for answer in (True, False, None)]
        counts.append(sum(each.compressed for each in found))
        counts.append(sum(each.kind == "drawing" for each in found))
        print_row(name, *counts)


def print_times(picture: Picture) -> None:
    """Milliseconds for a small and a large picture."""
    large = np.asarray(Pillow.fromarray(picture).resize((4000, 3000), Pillow.Resampling.BICUBIC))
    print_head("size", "ms")
    for each in (picture, large):
        pages = held(each)
        inspection_of(pages)  # once to warm up
        seconds = [timed(partial(inspection_of, pages)) for _ in range(9)]
        print_row(f"{each.shape[1]}×{each.shape[0]}", round(1000 * statistics.median(seconds)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    pictures = []
    for path in sorted(options.folder.iterdir()):
        with Pillow.open(path) as opened:
            pictures.append(np.asarray(opened.convert("RGB")))
    print_qualities(pictures)
    print_noise(pictures)
    print_answers(pictures)
    print_times(pictures[0])


if __name__ == "__main__":
    main()
