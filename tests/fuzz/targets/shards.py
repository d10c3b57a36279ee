"""Shards: tar files of any members. Whatever they hold, nothing appears beside the result."""

from __future__ import annotations

import functools
import io
import tarfile
from pathlib import Path
from random import Random

from srup import batch
from srup.batch.shards import carried_out
from srup.inference.target import Target
from srup.pipeline import Recipe, Worker
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import picture

RECIPE = Recipe(Target(scale=2), "bicubic")
BLOCK = tarfile.BLOCKSIZE


@functools.cache
def whole(format_: int) -> bytes:
    """Images, a text, a link and a name that needs a header of its own."""
    image, file = io.BytesIO(), io.BytesIO()
    picture().save(image, "PNG")
    with tarfile.open(fileobj=file, mode="w", format=format_) as tar:
        for name in ("0.png", "0.txt", f"{'long/' * 30}1.png", "../2.png"):
            data = image.getvalue() if name.endswith(".png") else b"text"
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5 if format_ == tarfile.PAX_FORMAT else 1
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../../x"
        tar.addfile(link)
    return file.getvalue()


def make(chance: Random) -> bytes:
    data = bytearray(whole(chance.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))))
    if chance.random() < 0.3:
        return mutated(bytes(data), chance)
    for _ in range(chance.randint(1, 4)):
        header = BLOCK * chance.randrange(len(data) // BLOCK)
        data[header + chance.randrange(345)] = chance.choice(b"\x00\xff\x80 07x5gLSK")
        if chance.random() < 0.8:  # or hardly any would be read
            block = data[header : header + BLOCK]
            total = sum(block) - sum(block[148:156]) + 8 * 32
            data[header + 148 : header + 156] = b"%06o\0 " % total
    return bytes(data)


def run(case: bytes, folder: Path) -> None:
    source, out = folder / "in" / "a.tar", folder / "out"
    source.parent.mkdir()
    source.write_bytes(case)
    (job,) = batch.planned(batch.find([str(source)]), str(out), RECIPE)
    result = carried_out(Worker(RECIPE, many=True), job)
    assert type(result.error).__name__ != "InternalError", result.error
    found = {path.name for path in out.iterdir()} if out.exists() else set()
    assert ("a.tar" in found) == (result.status == "done")
    assert {path.name for path in folder.iterdir()} <= {"in", "out"}
    if result.status == "done":
        with tarfile.open(out / "a.tar") as tar:
            assert sum(1 for _ in tar) >= (result.images or 0) - result.failed
