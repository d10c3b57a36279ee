"""Versions of an image side by side: as files for a page, each with what is said of it."""

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
TOLERANCE = 0.02  # by which the shapes of versions of one image may differ


def enlarged(
    path: Path,
    networks: Mapping[str, Enlarge],
    scale: float,
    folder: Path,
    reference: Path | None = None,
) -> Row:
    """A row whose pictures are the input, bicubic, what each network makes of it (files in `folder`), and the reference.

    Values: seconds; PSNR and SSIM as papers have them where there is a reference; consistency with the input. Raises ImageError.
    """
    image = read_image(path)
    pictures = [Picture("input", path)]
    for name, enlarge in {"bicubic": bicubic(scale), **networks}.items():
        started = time.perf_counter()
        result = enlarge(image)
        seconds = time.perf_counter() - started
        made = folder / f"{name}.png"
        write_image(result, made)
        values = {
            "seconds": seconds,
            **_against(made, reference, scale),
            "consistency": consistency_of(image, result, name=f"{path}, {name}"),
        }
        pictures.append(Picture(name, made, values))
    return Row(path.name, pictures=(*pictures, *_last(reference)))


def given(paths: Sequence[Path], reference: Path | None = None) -> Row:
    """A row whose pictures are files as they are, and the reference. Raises ImageError where they are not of one shape."""
    sizes = {path: read_image(path).size for path in (*paths, *([reference] if reference else []))}
    (first, (width, height)), *others = sizes.items()
    for path, (other_width, other_height) in others:
        if abs(other_width / other_height * height / width - 1) > TOLERANCE:
            shapes = f"{first} is {width}×{height} and {path} is {other_width}×{other_height}"
            raise ImageError(
                f"{shapes}: not two versions of one image; crop one to the other's shape"
            )
    names = [path.name for path in paths]
    pictures = [
        Picture(
            path.name if names.count(path.name) == 1 else str(path),
            path,
            _size(sizes[path]) | _against(path, reference, 0),
        )
        for path in paths
    ]
    return Row(" · ".join(names), pictures=(*pictures, *_last(reference)))


def bicubic(scale: float) -> Enlarge:
    """What every network is compared with: MATLAB's bicubic, transparency treated as the networks' is."""

    def enlarge(image: Image) -> Image:
        size = Target(scale).size(image.size)
        if image.alpha is None:
            return image.with_pixels(imresize(image.pixels, size=size), None)
        return image.with_pixels(
            imresize(fill_transparent(image.pixels, image.alpha), size=size),
            imresize(image.alpha, size=size),
        )

    return enlarge


def _size(size: tuple[int, int]) -> dict[str, Value]:
    return {"size": f"{size[0]}×{size[1]}"}


def _against(path: Path, reference: Path | None, border: float) -> dict[str, Value]:
    """PSNR and SSIM where there is a reference of the same size."""
    if reference is None or path == reference or colours(path).shape != colours(reference).shape:
        return {}
    measured = score_files(path, reference, border=int(np.ceil(border)))
    return {"PSNR": measured.psnr, "SSIM": measured.ssim}


def _last(reference: Path | None) -> tuple[Picture, ...]:
    return (Picture("reference", reference),) if reference else ()
