"""Where a map of the whole image is parked between stages: in memory, or in a file that memory
maps.
"""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srup.errors import OutOfMemory

STRIP = 32 << 20  # bytes a strip takes, about


@dataclass(frozen=True, eq=False)
class MapSpec:
    """What a map of the whole image takes: its shape N×C×H×W and type, and where it lies.

    `reusable` says that it may be written over; the image that was given to the tiler may not.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    reusable: bool = True
    on_disk: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of all its values."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def resident(self) -> int:
        """Bytes of memory that it holds for good."""
        return 0 if self.on_disk else self.nbytes


@dataclass(frozen=True, eq=False)
class Canvas:
    """A map of the whole image, N×C×H×W, channels last in memory so that a window's rows lie
    together.
    """

    array: NDArray[Any]
    spec: MapSpec
    file: mmap.mmap | None = None

    def strips(self) -> Iterator[NDArray[Any]]:
        """The map as full-width strips from top to bottom."""
        rows = max(1, STRIP * self.array.shape[2] // max(self.array.nbytes, 1))
        for top in range(0, self.array.shape[2], rows):
            yield self.array[:, :, top : top + rows]
            self.release_pages()

    def release_pages(self) -> None:
        """Lets go of the mapped pages; what was written is in the file."""
        if self.file and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED)


def canvas(spec: MapSpec) -> Canvas:
    """A new canvas, in memory or in a temporary file of TMPDIR.

    Raises OutOfMemory if the disk has no room for it.
    """
    n, c, h, w = spec.shape
    if spec.on_disk:
        file = _mapped(spec.nbytes)
        flat = np.frombuffer(file, spec.dtype)
        return Canvas(flat.reshape(n, h, w, c).transpose(0, 3, 1, 2), spec, file)
    return Canvas(np.empty((n, h, w, c), spec.dtype).transpose(0, 3, 1, 2), spec)


def given(array: NDArray[Any]) -> Canvas:
    """An array of the caller's as a canvas that is not written over."""
    return Canvas(array, MapSpec(array.shape, array.dtype, reusable=False))


def _mapped(size: int) -> mmap.mmap:
    try:
        # the map keeps the space of the file until it goes itself
        with tempfile.TemporaryFile(prefix="srup-") as file:
            if hasattr(os, "posix_fallocate"):
                # a full disk is met here, not as a bus error in the middle
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise OutOfMemory(
            f"no room for {size / 1e9:.1f} GB of temporary data in {tempfile.gettempdir()} "
            f"({error.strerror}); free some space, or point TMPDIR to a larger disk",
            "or take {tiling=acs}, which keeps nothing there",
        ) from error
