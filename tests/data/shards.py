"""Tar shards of pictures that are all alike, for measurements."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from tests.data.draw import draw

SIZE = (96, 64)


def tar_shards(folder: Path, shards: int, each: int) -> None:
    """Writes so many shards of `each` pictures into a new folder."""
    folder.mkdir()
    draw(*SIZE).save(folder / "image.png")
    with tarfile.open(folder / "0000.tar", "w") as tar:
        for number in range(each):
            tar.add(folder / "image.png", f"{number:04}.png")
    (folder / "image.png").unlink()
    for number in range(1, shards):
        shutil.copyfile(folder / "0000.tar", folder / f"{number:04}.tar")
