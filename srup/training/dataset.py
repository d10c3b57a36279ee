"""Training data: images on disk become LR/HR patches.

HR images are cropped to sides that every scale divides, shrunk once by `resize.imresize`, and kept in the cache as flat arrays that
are mapped, not read, so that a set larger than memory trains as well.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srup.errors import ReadError, TrainingError
from srup.files import replacing
from srup.images import named_like_image, read_image
from srup.progress import Progress, ignore
from srup.resize import imresize

log = logging.getLogger(__name__)

Bytes = NDArray[np.uint8]

HDF5 = (".h5", ".hdf5")


@dataclass(frozen=True)
class Pairs:
    """HR images and their LR versions at each scale, flat H·W·3 bytes one after the other in `planes[scale]` (HR: scale 1)."""

    planes: Mapping[int, Bytes]
    sides: dict[int, list[tuple[int, int]]]  # (height, width)
    starts: dict[int, list[int]]

    def __len__(self) -> int:
        return len(self.sides[1])

    def image(self, scale: int, index: int) -> Bytes:
        height, width = self.sides[scale][index]
        start = self.starts[scale][index]
        return self.planes[scale][start : start + height * width * 3].reshape(height, width, 3)


def find_images(sources: Sequence[Path]) -> list[Path]:
    """The image and HDF5 files among `sources` and, recursively, in the folders among them, in order."""
    found = []
    for source in sources:
        if not source.exists():
            raise TrainingError(f"cannot read {source}: no such file or folder; check the name")
        inside = sorted(source.rglob("*")) if source.is_dir() else [source]
        found += [path for path in inside if named_like_image(path) or path.suffix.lower() in HDF5]
    if not found:
        raise TrainingError(
            f"no images in {', '.join(map(str, sources))}; give folders of PNG, JPEG, WebP, TIFF or HDF5 files"
        )
    return found


def prepare(
    sources: Sequence[Path], scales: Sequence[int], *, cache: Path, progress: Progress | None = None
) -> Pairs:
    """The LR/HR pairs of the images in `sources`, made on first use and kept in `cache`. Raises TrainingError.

    `progress(done, total)` counts files.
    """
    paths = find_images(sources)
    folder = cache / _key(paths, scales)
    if not (folder / "sides.json").exists():
        _build(paths, scales, folder, progress or ignore)
    sides = {
        int(scale): [(h, w) for h, w in rows]
        for scale, rows in json.loads((folder / "sides.json").read_text()).items()
    }
    planes = {scale: np.memmap(folder / f"x{scale}.bin", np.uint8, "r") for scale in sides}
    starts = {
        scale: [0, *np.cumsum([h * w * 3 for h, w in rows]).tolist()]
        for scale, rows in sides.items()
    }
    return Pairs(planes, sides, starts)


def _key(paths: Sequence[Path], scales: Sequence[int]) -> str:
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(json.dumps([facts, sorted(scales)]).encode()).hexdigest()[:16]


def _build(paths: Sequence[Path], scales: Sequence[int], folder: Path, progress: Progress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sides: dict[int, list[tuple[int, int]]] = {scale: [] for scale in (1, *scales)}
    files = {scale: (folder / f"x{scale}.bin").open("wb") for scale in sides}
    try:
        for done, path in enumerate(paths, 1):
            for versions in _versions(path, scales):
                for scale, image in versions.items():
                    files[scale].write(image.tobytes())
                    sides[scale].append((image.shape[0], image.shape[1]))
            progress(done, len(paths))
    finally:
        for file in files.values():
            file.close()
    if not sides[1]:
        raise TrainingError(
            f"none of the {len(paths)} images could be used; see the warnings above"
        )
    with replacing(
        folder / "sides.json"
    ) as temporary:  # last: its presence says that the rest is whole
        temporary.write_text(json.dumps(sides))


def _versions(path: Path, scales: Sequence[int]) -> Iterator[dict[int, Bytes]]:
    """For each image in a file its HR version (scale 1) and its LR versions."""
    if path.suffix.lower() in HDF5:
        yield from _hdf5(path, scales)
        return
    try:
        pixels = read_image(path).eight().pixels
    except ReadError as error:
        log.warning("left out: %s", error)
        return
    step = math.lcm(*scales)
    height, width = (length // step * step for length in pixels.shape[:2])
    hr: Bytes = np.broadcast_to(pixels[:height, :width], (height, width, 3)).astype(np.uint8)
    if hr.size:
        yield {1: hr, **{scale: imresize(hr, scale=1 / scale) for scale in scales}}


def _hdf5(path: Path, scales: Sequence[int]) -> Iterator[dict[int, Bytes]]:
    """Groups `lr` and `hr` of images H×W×3 under equal keys, as RDN-pytorch and RDCAB-RecursiveSRNet write them."""
    try:
        import h5py
    except ImportError as error:
        raise TrainingError(
            f"cannot read {path}: HDF5 needs an extra; pip install 'srup[hdf5]'"
        ) from error
    with h5py.File(path) as file:
        if "lr" not in file or "hr" not in file:
            raise TrainingError(
                f"{path} has no groups 'lr' and 'hr'; srup reads the layout of RDN-pytorch"
            )
        for key in file["hr"]:
            hr, lr = (np.asarray(file[group][key], np.uint8) for group in ("hr", "lr"))
            if [hr.shape[0], hr.shape[1]] != [
                lr.shape[0] * scales[0],
                lr.shape[1] * scales[0],
            ] or len(scales) > 1:
                raise TrainingError(
                    f"{path}: hr/{key} is not {scales[0]} times lr/{key}; give the scale it was made for with -s"
                )
            yield {1: hr, scales[0]: lr}


def batch(
    pairs: Pairs, *, scale: int, size: int, patch: int, seed: tuple[int, ...]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """`size` random patches: LR N×patch×patch×3 and HR, `scale` times as large, bytes, flipped and transposed at random.

    A function of its arguments alone: the same seed gives the same batch, which is what makes training resume exactly.
    Images are drawn by their area. Raises TrainingError if none is as large as a patch.
    """
    random = np.random.default_rng(seed)
    areas = np.array([(h >= patch) * (w >= patch) * float(h) * w for h, w in pairs.sides[scale]])
    if not areas.any():
        raise TrainingError(
            f"no image is as large as a patch of {patch * scale} pixels; give larger ones, or a smaller --patch"
        )
    chosen = random.choice(len(areas), size, p=areas / areas.sum())
    both = [_patch(pairs, int(index), scale, patch, random) for index in chosen]
    lr, hr = zip(*both, strict=True)
    return np.stack(lr), np.stack(hr)


def _patch(
    pairs: Pairs, index: int, scale: int, side: int, random: np.random.Generator
) -> tuple[Bytes, Bytes]:
    height, width = pairs.sides[scale][index]
    top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
    mirrored, upended, transposed = random.integers(2, size=3)
    patches = []
    for version, factor in ((scale, 1), (1, scale)):
        rows = slice(top * factor, (top + side) * factor)
        patch = pairs.image(version, index)[rows, left * factor : (left + side) * factor]
        patch = patch[:, ::-1] if mirrored else patch
        patch = patch[::-1] if upended else patch
        patches.append(patch.transpose(1, 0, 2) if transposed else patch)
    return patches[0], patches[1]
