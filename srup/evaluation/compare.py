"""Versions of one image side by side: files for a page, each with its time and scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from srup.errors import ImageError
from srup.evaluation.consistency import consistency_of
from srup.evaluation.protocols import colours, score_files
from srup.images import Image, fill_transparent, read_image, write_image
from srup.inference.target import Target
from srup.report import Picture, Row, Value
from srup.resize import imresize

Enlarge = Callable[[Image], Image]

VERSION_COLUMNS = {"seconds": ".2f", "PSNR": ".2f", "SSIM": ".4f", "consistency": ".1f"}
TOLERANCE = 0.02  # relative difference in aspect ratio that versions of one image may have


def enlarged(
    path: Path,
    networks: Mapping[str, Enlarge],
    scale: float,
    folder: Path,
    reference: Path | None = None,
) -> Row:
    """A row whose pictures are the input, bicubic, each network's result, and the reference.

    Results are written to `folder` as PNG. Their values: seconds; PSNR and SSIM by the protocol
    "paper" where there is a reference; consistency with the input. Raises ImageError.
    """
    image = read_image(path)
    pictures = [Picture("input", path)]
    for name, enlarge in {"bicubic": bicubic(scale), **networks}.items():
        started = time.perf_counter()
        result = enlarge(image)
        seconds = time.perf_counter() - started
        made = folder / f"{name}.png"
        write_image(result, made)
        values: dict[str, Value] = {"seconds": seconds}
        values |= _scores(made, reference, border=int(np.ceil(scale)))
        values["consistency"] = consistency_of(image, result, name=f"{path}, {name}")
        pictures.append(Picture(name, made, values))
    return Row(path.name, pictures=(*pictures, *_last(reference)))


def given(paths: Sequence[Path], reference: Path | None = None) -> Row:
    """A row whose pictures are the files as they are, and the reference last.

    Values: size; PSNR and SSIM by the protocol "paper" where the reference has the same size.
    Raises ImageError if the files differ in shape.
    """
    everything = [*paths, reference] if reference else list(paths)
    sizes = {path: read_image(path).size for path in everything}
    _check_shapes(sizes)
    names = [path.name for path in paths]
    pictures = []
    for path in paths:
        width, height = sizes[path]
        values: dict[str, Value] = {"size": f"{width}×{height}"}
        values |= _scores(path, reference, border=0)
        unique = names.count(path.name) == 1
        pictures.append(Picture(path.name if unique else str(path), path, values))
    return Row(" · ".join(names), pictures=(*pictures, *_last(reference)))


def _check_shapes(sizes: Mapping[Path, tuple[int, int]]) -> None:
    """Raises ImageError unless all (width, height) have the aspect ratio of the first."""
    (first, (width, height)), *others = sizes.items()
    for path, (other_width, other_height) in others:
        if abs(other_width / other_height * height / width - 1) > TOLERANCE:
            raise ImageError(
                f"{first} is {width}×{height} and {path} is {other_width}×{other_height}: "
                "not two versions of one image; crop one to the shape of the other"
            )


def bicubic(scale: float) -> Enlarge:
    """MATLAB's bicubic as an enlarging function, with which every network is compared.

    Colours under full transparency are filled in as the networks' inputs are.
    """

    def enlarge(image: Image) -> Image:
        size = Target(scale).size(image.size)
        if image.alpha is None:
            return image.with_pixels(imresize(image.pixels, size=size), None)
        filled = fill_transparent(image.pixels, image.alpha)
        return image.with_pixels(imresize(filled, size=size), imresize(image.alpha, size=size))

    return enlarge


def _scores(path: Path, reference: Path | None, *, border: int) -> dict[str, Value]:
    """PSNR and SSIM where there is a reference of the same size, else nothing."""
    if reference is None or path == reference or colours(path).shape != colours(reference).shape:
        return {}
    measured = score_files(path, reference, border=border)
    return {"PSNR": measured.psnr, "SSIM": measured.ssim}


def _last(reference: Path | None) -> tuple[Picture, ...]:
    return (Picture("reference", reference),) if reference else ()
