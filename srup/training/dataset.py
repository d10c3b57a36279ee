"""Training data: images on disk become random pairs of LR and HR patches.

HR images are cropped to sides that every scale divides and shrunk once, by `resize.imresize`. Both
are kept in the cache as flat arrays that are memory-mapped, so that a set larger than memory trains
as well.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from srup.errors import ImageError, OutOfMemory, ReadError, TrainingError, reason_of
from srup.files import check_regular, replacing
from srup.images import named_like_image, read_image
from srup.images.codec_errors import codec_errors
from srup.progress import Progress, ignore
from srup.resize import cropped_to_multiple, lr_of

log = logging.getLogger(__name__)

Bytes = NDArray[np.uint8]
Sides = dict[int, list[tuple[int, int]]]  # scale → (height, width) of each image

HDF5 = (".h5", ".hdf5")
SIDES = "sides.json"  # written last: its presence says that the other files are complete


@dataclass(frozen=True)
class Pairs:
    """HR images and their LR versions at each scale, kept in `folder`.

    `planes[scale]` (HR: scale 1) holds the H·W·3 bytes of one image after the other, which begin at
    `starts[scale]`; `sides[scale]` are their (height, width). `taught[scale]`, where there is a
    teacher, is what it made of LR, and lies as HR does.
    """

    folder: Path
    planes: Mapping[int, Bytes]
    sides: Sides
    starts: Mapping[int, Sequence[int]]
    taught: Mapping[int, Bytes] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sides[1])

    def image(self, scale: int, index: int) -> Bytes:
        """An image H×W×3 at a scale; HR at scale 1."""
        return self._cut(self.planes[scale], scale, index)

    def taught_image(self, scale: int, index: int) -> Bytes:
        """What the teacher made of an image at a scale, H×W×3 as HR."""
        return self._cut(self.taught[scale], 1, index)

    def _cut(self, plane: Bytes, scale: int, index: int) -> Bytes:
        height, width = self.sides[scale][index]
        start = self.starts[scale][index]
        return plane[start : start + height * width * 3].reshape(height, width, 3)


class Patches(NamedTuple):
    """LR patches N×h×w×3, and N×H×W×3 of HR and of what the teacher made, None without one."""

    lr: Bytes
    hr: Bytes
    taught: Bytes | None


def find_images(sources: Sequence[Path]) -> list[Path]:
    """The image and HDF5 files among `sources` and, recursively, in the folders among them.

    Raises TrainingError if a source does not exist or nothing is found.
    """
    found = []
    for source in sources:
        if not source.exists():
            raise TrainingError(f"cannot read {source}: no such file or folder; check the name")
        inside = _below(source) if source.is_dir() else [source]
        found += [path for path in inside if named_like_image(path) or path.suffix.lower() in HDF5]
    if not found:
        raise TrainingError(
            f"no images in {', '.join(map(str, sources))}; "
            "give folders of PNG, JPEG, WebP, TIFF or HDF5 files"
        )
    return found


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(folder.rglob("*"))
    except RecursionError as error:
        raise TrainingError(f"cannot read {folder}: folders lie too deep in each other") from error


def prepare(
    sources: Sequence[Path], scales: Sequence[int], *, cache: Path, progress: Progress | None = None
) -> Pairs:
    """The LR/HR pairs of the images in `sources`, made on first use and kept in `cache`.

    `progress(done, total)` counts files. Raises TrainingError.
    """
    paths = find_images(sources)
    folder = cache / _key(paths, scales)
    if not (folder / SIDES).exists():
        _build(paths, scales, folder, progress or ignore)
    sides: Sides = {}
    planes: dict[int, Bytes] = {}
    starts: dict[int, list[int]] = {}
    for name, rows in json.loads((folder / SIDES).read_text()).items():
        scale = int(name)
        sides[scale] = [(height, width) for height, width in rows]
        planes[scale] = np.memmap(folder / f"x{scale}.bin", np.uint8, "r")
        sizes = [height * width * 3 for height, width in rows]
        starts[scale] = [0, *np.cumsum(sizes).tolist()]
    return Pairs(folder, planes, sides, starts)


def _key(paths: Sequence[Path], scales: Sequence[int]) -> str:
    """A name for the pairs of these files as they are now, at these scales."""
    identities = []
    for path in paths:
        status = path.stat()
        # contents are not read for it: gigabytes, to find that nothing has changed
        identities.append((str(path.resolve()), status.st_size, status.st_mtime_ns))
    text = json.dumps([identities, sorted(scales)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _build(paths: Sequence[Path], scales: Sequence[int], folder: Path, progress: Progress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sides: Sides = {scale: [] for scale in (1, *scales)}
    # one flat file a scale can be mapped, so a set larger than memory trains as well
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
    with replacing(folder / SIDES) as temporary:
        temporary.write_text(json.dumps(sides))


def _versions(path: Path, scales: Sequence[int]) -> Iterator[dict[int, Bytes]]:
    """For each image in a file its HR version (scale 1) and its LR versions.

    A file that cannot be read is left out, with a warning; of a damaged HDF5 file what follows.
    """
    read = _hdf5 if path.suffix.lower() in HDF5 else _picture
    try:
        yield from read(path, scales)
    except (ImageError, OutOfMemory) as error:
        log.warning("left out: %s", error)


def _picture(path: Path, scales: Sequence[int]) -> Iterator[dict[int, Bytes]]:
    # one HR image serves all scales, so its sides must suit each of them
    hr = np.ascontiguousarray(cropped_to_multiple(read_bytes(path), math.lcm(*scales)))
    if hr.size:
        yield {1: hr, **{scale: lr_of(hr, scale) for scale in scales}}


def read_bytes(path: Path) -> Bytes:
    """The pixels of an image file as bytes H×W×3, transparency left out.

    Raises ReadError, OutOfMemory.
    """
    pixels = read_image(path).eight().pixels
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.uint8)


def _hdf5(path: Path, scales: Sequence[int]) -> Iterator[dict[int, Bytes]]:
    """Images H×W×3 under equal keys in the groups `lr` and `hr`.

    RDN-pytorch and RDCAB-RecursiveSRNet write their training sets so.
    """
    try:
        import h5py
    except ImportError as error:
        raise TrainingError(
            f"cannot read {path}: HDF5 needs an extra; pip install 'srup[hdf5]'"
        ) from error
    with _hdf5_errors(path), h5py.File(path) as file:
        if not all(isinstance(file.get(group), h5py.Group) for group in ("lr", "hr")):
            raise TrainingError(
                f"{path} has no groups 'lr' and 'hr'; srup reads the layout of RDN-pytorch"
            )
        scale = scales[0]
        for key in file["hr"]:
            hr, lr = (_hdf5_image(path, file[group], key) for group in ("hr", "lr"))
            # made for another scale, LR and HR patches would not show the same
            fitting = hr.shape[:2] == (lr.shape[0] * scale, lr.shape[1] * scale)
            if not fitting or len(scales) > 1:
                raise TrainingError(
                    f"{path}: hr/{key} is not {scale} times lr/{key}",
                    "give the one scale that it was made for as {scales}",
                )
            yield {1: hr, scale: lr}


def _hdf5_image(path: Path, group: Any, key: str) -> Bytes:
    stored = group[key]
    shape: tuple[int, ...] = getattr(stored, "shape", None) or (0,)
    if len(shape) != 3 or shape[2] != 3:
        raise TrainingError(f"{path}: {group.name}/{key} is no image of 3 colours (H×W×3)")
    return np.asarray(stored, np.uint8)


@contextmanager
def _hdf5_errors(path: Path) -> Iterator[None]:
    """Turns what the HDF5 library raises into a ReadError."""
    about = f"cannot read {path}: damaged or cut short"
    try:
        check_regular(path)
        with codec_errors(ReadError, about):
            yield
    except OSError as error:
        raise ReadError(f"{about} ({reason_of(error)})") from error


def batch(
    pairs: Pairs, *, scale: int, size: int, patch: int, seed: tuple[int, ...], margin: int = 0
) -> Patches:
    """`size` random patches: LR of `patch` pixels a side, HR and the teacher's `scale` times that.

    They are flipped and transposed at random; images are drawn by their area. The same arguments
    give the same batch, which is what makes training resume exactly. With a `margin`, LR patches
    come with so many pixels more on each side; which patches are drawn does not depend on it.
    Raises TrainingError if no image is as large as a patch.
    """
    random = np.random.default_rng(seed)
    areas = np.array([(h >= patch) * (w >= patch) * float(h) * w for h, w in pairs.sides[scale]])
    if not areas.any():
        raise TrainingError(
            f"no image is as large as a patch of {patch * scale} pixels; give larger images",
            "take a smaller {patch}",
        )
    drawn = []
    for index in random.choice(len(areas), size, p=areas / areas.sum()):
        drawn.append(_patch(pairs, int(index), scale, patch, margin, random))
    lr, hr, *taught = (np.stack(patches) for patches in zip(*drawn, strict=True))
    return Patches(lr, hr, taught[0] if taught else None)


def _patch(
    pairs: Pairs, index: int, scale: int, side: int, margin: int, random: np.random.Generator
) -> list[Bytes]:
    """A patch of LR, of HR and of what the teacher made, if there is one."""
    # Runs resume exactly, even across versions, only if these draws keep their order.
    height, width = pairs.sides[scale][index]
    top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
    mirrored, flipped, transposed = random.integers(2, size=3)
    versions = [(pairs.image(scale, index), 1, margin), (pairs.image(1, index), scale, 0)]
    if pairs.taught:
        versions.append((pairs.taught_image(scale, index), scale, 0))
    patches = []
    for image, factor, around in versions:
        patch = _window(image, top * factor, left * factor, side * factor, around)
        if mirrored:
            patch = patch[:, ::-1]
        if flipped:
            patch = patch[::-1]
        if transposed:
            patch = patch.transpose(1, 0, 2)
        patches.append(patch)
    return patches


def _window(image: Bytes, top: int, left: int, side: int, margin: int) -> Bytes:
    """A square of an image with a margin; outside of the image its outermost pixels repeat."""
    if not margin:  # padding copies, even by nothing
        return image[top : top + side, left : left + side]
    parts, missing = [], []
    for start, length in ((top, image.shape[0]), (left, image.shape[1])):
        first, last = start - margin, start + side + margin
        parts.append(slice(max(first, 0), last))
        missing.append((max(-first, 0), max(last - length, 0)))
    return np.pad(image[parts[0], parts[1]], (*missing, (0, 0)), "edge")
