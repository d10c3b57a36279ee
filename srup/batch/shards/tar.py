"""Tar files as WebDataset has them: members whose names begin alike are one sample.

Nothing is ever extracted: what is no image is copied as the bytes that it is, header and all, so
that links, devices and names of any kind do nothing here.
"""

from __future__ import annotations

import copy
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from srup.batch.shards.members import Members
from srup.errors import ImageError, ReadError
from srup.files import CHUNK
from srup.images import named_like_image

OWN = ("path", "linkpath", "size")  # extended headers that a new header has of its own


@dataclass(frozen=True)
class _Member:
    """A member: all bytes that stand for it are from `start` to `end`."""

    info: tarfile.TarInfo
    start: int
    end: int

    @property
    def is_image(self) -> bool:
        plain = self.info.isreg() and not self.info.issparse()
        return plain and named_like_image(self.info.name)


def enlarge_tar(source: Path, target: BinaryIO, members: Members) -> None:
    """Writes a tar file with its images enlarged. Raises ReadError for one that is damaged."""
    with source.open("rb") as file, _damage(members.name):
        names: set[int] = set()
        for member in _members(source, file):
            if not member.is_image:
                _copy(file, target, member.start, member.end - member.start)
                continue
            name = member.info.name.rpartition(".")[0] + members.extension
            if hash(name) in names:
                about = f"{members.name}/{member.info.name} and another would both become {name}"
                members.refuse(member.info.name, ImageError(f"{about}; rename one"))
                continue
            names.add(hash(name))
            data = partial(_copy, file, start=member.info.offset_data, size=member.info.size)
            enlarged = members.enlarged(member.info.name, data)
            if enlarged is not None:
                _write(target, member.info, name, enlarged)
        target.write(bytes(2 * tarfile.BLOCKSIZE))
        target.write(bytes(-target.tell() % tarfile.RECORDSIZE))


def _members(source: Path, file: BinaryIO) -> Iterator[_Member]:
    with tarfile.open(source, "r:", errors="surrogateescape") as tar:
        start = 0
        while True:
            info = tar.next()
            if info is None:
                break
            tar.members.clear()  # type: ignore[attr-defined]  # or there is one for each of many
            yield _Member(info, start, tar.offset)
            start = tar.offset
    # tarfile takes a damaged header for the end
    file.seek(start)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("its end is missing")


@contextmanager
def _damage(name: str) -> Iterator[None]:
    """Turns what tarfile raises into a ReadError."""
    try:
        yield
    # tarfile raises the others for headers with numbers that are none
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        about = f"cannot read {name}: damaged or cut short ({error}); get a whole copy of it"
        raise ReadError(about) from error


def _copy(file: BinaryIO, target: BinaryIO, start: int, size: int) -> None:
    file.seek(start)
    while size > 0:
        piece = file.read(min(size, CHUNK))
        if not piece:
            raise tarfile.ReadError("unexpected end of data")
        target.write(piece)
        size -= len(piece)


def _write(target: BinaryIO, before: tarfile.TarInfo, name: str, data: bytes) -> None:
    """Writes a member that has all of another one but name and content."""
    info = copy.copy(before)
    info.name, info.size = name, len(data)
    info.pax_headers = {key: value for key, value in before.pax_headers.items() if key not in OWN}
    target.write(info.tobuf(tarfile.PAX_FORMAT, errors="surrogateescape"))
    target.write(data)
    target.write(bytes(-len(data) % tarfile.BLOCKSIZE))
