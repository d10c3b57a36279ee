"""Where a map of the whole image is parked between stages: in memory, or in a file that memory maps."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from srup.errors import OutOfMemory

STRIP = 32 << 20  # bytes a strip takes, about


@dataclass(frozen=True, eq=False)
class Canvas:
    """A map N×C×H×W, channels last in memory so that a window's rows lie together. `reusable` may be written over."""

    array: NDArray[Any]
    reusable: bool = True
    file: mmap.mmap | None = None

    @property
    def resident(self) -> int:
        """Bytes of memory it holds for good."""
        return 0 if self.file else self.array.nbytes

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


def canvas(shape: Sequence[int], dtype: DTypeLike, *, memory_budget: int) -> Canvas:
    """A new canvas N×C×H×W: in memory if it takes no more than `memory_budget` bytes, else in a temporary file (of TMPDIR).

    Raises OutOfMemory if the disk has no room for it.
    """
    n, c, h, w = shape
    size = n * c * h * w * np.dtype(dtype).itemsize
    if size <= memory_budget:
        return Canvas(np.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2))
    file = _mapped(size)
    return Canvas(np.frombuffer(file, dtype).reshape(n, h, w, c).transpose(0, 3, 1, 2), file=file)


def _mapped(size: int) -> mmap.mmap:
    try:
        with tempfile.TemporaryFile(
            prefix="srup-"
        ) as file:  # the map keeps the space until it goes
            if hasattr(
                os, "posix_fallocate"
            ):  # a full disk is met here, not as a bus error in the middle
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise OutOfMemory(
            f"no room for {size / 1e9:.1f} GB of temporary data in {tempfile.gettempdir()} ({error.strerror}); "
            "free some space, point TMPDIR to a larger disk, or take --tiling acs, which parks nothing"
        ) from error
