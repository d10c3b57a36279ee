"""The last line about each result of a journal, found without holding lines in memory: 24 bytes a
result.
"""

from __future__ import annotations

import bisect
import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]
Record = Mapping[str, Any]

MERGED = 50_000  # places that wait in a dict, which takes ten times the memory of the arrays
PIECE = 4096  # bytes of a line read at once; nearly all are shorter


class LastLines(Mapping[str, Record]):
    """Name of a result → its last line in the journal at `path`.

    In memory are a hash of each name, where its line begins, and a number that marks what it says,
    for whoever has to know of a million lines only whether they say something else. `parse` makes a
    record of a line; it has to be able to do so with every line whose place is put in here.
    """

    def __init__(self, path: Path, parse: Callable[[bytes], Record]) -> None:
        self.path, self.parse = path, parse
        # sorted by hash
        self.hashes, self.places, self.marks = array("Q"), array("Q"), array("Q")
        self.recent: dict[int, tuple[int, int]] = {}
        self.descriptor: int | None = None

    def put(self, name: str, place: int, mark: int) -> None:
        """The last line about a result begins at byte `place`; `mark` has up to 64 bits."""
        self.recent[_hash(name)] = place, mark
        if len(self.recent) >= MERGED:
            self._merge()

    def mark(self, name: str) -> int | None:
        """The mark of the last line about a result; None if there is no line."""
        found = self._found(_hash(name))
        return found and found[1]

    def __getitem__(self, name: str) -> Record:
        found = self._found(_hash(name))
        if found is None:
            raise KeyError(name)
        return self.parse(self.line(found[0]))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._found(_hash(name)) is not None

    def __iter__(self) -> Iterator[str]:
        for place in self.in_order():
            yield self.parse(self.line(place))["name"]

    def __len__(self) -> int:
        self._merge()
        return len(self.hashes)

    def in_order(self) -> Iterator[int]:
        """Where the lines begin, as they stand in the file."""
        self._merge()
        yield from map(int, np.sort(_numbers(self.places)))

    def line(self, place: int) -> bytes:
        """The line that begins there, without its end."""
        if self.descriptor is None:
            self.descriptor = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        found = b""
        while b"\n" not in found:
            piece = _read_at(self.descriptor, PIECE, place + len(found))
            if not piece:
                break
            found += piece
        return found.partition(b"\n")[0]

    def copy(self, target: BinaryIO) -> None:
        """Writes these lines and no others to a file; from now on they are found there.

        The file has to be at `path` before a line is asked for.
        """
        self._merge()
        order = np.argsort(_numbers(self.places))
        before, now = _numbers(self.places)[order].tolist(), array("Q")
        place = 0
        with self.path.open("rb") as file:
            for line in file:
                if len(now) < len(before) and place == before[len(now)]:
                    now.append(target.tell())
                    target.write(line)
                place += len(line)
        places = np.empty(len(now), np.uint64)
        places[order] = _numbers(now)
        self.close()
        self.places = array("Q", places.tobytes())

    def close(self) -> None:
        """Closes the file; it is opened again when a line is asked for."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _found(self, hashed: int) -> tuple[int, int] | None:
        """Place and mark of a line."""
        if hashed in self.recent:
            return self.recent[hashed]
        index = bisect.bisect_left(self.hashes, hashed)
        known = index < len(self.hashes) and self.hashes[index] == hashed
        return (self.places[index], self.marks[index]) if known else None

    def _merge(self) -> None:
        if not self.recent:
            return
        new = np.array([*self.recent.values()], np.uint64).T
        hashes = np.array([*self.recent.keys()], np.uint64)
        # the first of equal hashes is kept, so those that came last stand first
        kept, index = np.unique(np.concatenate([hashes, _numbers(self.hashes)]), return_index=True)
        self.hashes = array("Q", kept.tobytes())
        self.places = _merged(new[0], self.places, index)
        self.marks = _merged(new[1], self.marks, index)
        self.recent.clear()


def _merged(new: Numbers, known: array[int], index: NDArray[np.intp]) -> array[int]:
    return array("Q", np.concatenate([new, _numbers(known)])[index].tobytes())


def _numbers(known: array[int]) -> Numbers:
    return np.frombuffer(known, np.uint64)


def _hash(name: str) -> int:
    # 64 bits: among a hundred million names two are the same with a probability of 0.0003
    return hash(name) & 0xFFFF_FFFF_FFFF_FFFF


def _read_at(descriptor: int, size: int, place: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, place)
    os.lseek(descriptor, place, os.SEEK_SET)  # Windows
    return os.read(descriptor, size)
