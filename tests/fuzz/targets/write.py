"""What is read of mutated files, written in every format and opened again.

A case is the extension of the result, a line break, and the file.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from srup.images import Encoding, Pages, read_pages, write_pages
from tests.fuzz import seeds
from tests.fuzz.targets import read


def make(chance: Random) -> bytes:
    extension: str = chance.choice(seeds.writable())
    return extension.encode() + b"\n" + read.mutant(chance)


def run(case: bytes, folder: Path) -> None:
    extension, _, data = case.partition(b"\n")
    source = folder / "case"
    source.write_bytes(data)
    pages = read_pages(source, max_pixels=read.MAX_PIXELS)
    source.unlink()
    check_written(pages, folder / f"made{extension.decode()}")


def check_written(pages: Pages, path: Path) -> None:
    """Writes pages and opens them again; raises AssertionError if something else was written."""
    try:
        write_pages(pages, path, encoding=Encoding(quality=80, palette=True))
        again = read_pages(path, max_pixels=read.MAX_PIXELS)
        # an animation of equal frames may be one picture in some formats
        assert read.sizes(again)[0] == read.sizes(pages)[0], "written and read in other sizes"
        if not pages.animated:
            assert read.sizes(again) == read.sizes(pages), "written and read in other sizes"
        read.check(again)
    finally:
        left = sorted(each.name for each in path.parent.iterdir())
    assert left == [path.name], f"left in the folder: {left}"
