"""The private folder of a server: uploads and results, under names that nobody can guess.

What a request calls a picture is a label, and never becomes part of a path.
"""

from __future__ import annotations

import re
import secrets
import shutil
import unicodedata
from pathlib import Path, PureWindowsPath

from srup.serve.problems import StorageFull

LONGEST = 120  # characters of a label
NAMELESS = "picture"


class Store:
    """Folders with random names in `folder`, which together hold at most `limit` bytes."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit, self.used = folder, limit, 0
        self.slots: set[str] = set()  # names of the folders that are in use

    def create(self) -> Slot:
        """A new empty folder."""
        name = secrets.token_urlsafe(16)
        path = self.folder / name
        path.mkdir(mode=0o700)
        self.slots.add(name)
        return Slot(self, name, path)

    def sweep(self) -> None:
        """Removes what a worker wrote after nobody wanted it any more."""
        for path in self.folder.iterdir():
            if path.is_dir() and path.name not in self.slots:
                shutil.rmtree(path, ignore_errors=True)


class Slot:
    """A folder of a store. `used` is how many bytes it counts for."""

    def __init__(self, store: Store, name: str, path: Path) -> None:
        self.store, self.name, self.path, self.used = store, name, path, 0

    def grow(self, amount: int) -> None:
        """Counts bytes that are about to be written. Raises StorageFull."""
        if self.store.used + amount > self.store.limit:
            about = f"the server keeps at most {self.store.limit / 1e9:g} GB of pictures"
            raise StorageFull(f"{about}; save or drop some results, or try again later")
        self.used += amount
        self.store.used += amount

    def measure(self) -> None:
        """Counts what really is in the folder. Raises StorageFull."""
        found = sum(file.stat().st_size for file in self.path.iterdir())
        self.grow(found - self.used)

    def remove(self) -> None:
        """Removes the folder; what it counted for is free again."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.store.slots.discard(self.name)
        self.store.used -= self.used
        self.used = 0


def label_of(name: str) -> str:
    """What a picture is called, as a plain file name: no folders, nothing that is not seen."""
    last = PureWindowsPath(name).name  # which knows both kinds of slashes
    seen = "".join(each for each in last if unicodedata.category(each)[0] != "C")
    kept = re.sub(r'[<>:"|?*]', "_", seen).strip(". ")
    return kept[-LONGEST:] or NAMELESS
