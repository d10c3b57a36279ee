"""What killed runs left half-written."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from srup import storage
from srup.batch.journal import Journal
from srup.batch.shards import shard_of_status
from srup.files import KEPT, TEMPORARY, remove_if_abandoned, shortened


def remove_partial_files(journal: Journal) -> None:
    """Removes what a killed run or worker left half-written of the results in its journal.

    Left are folders, what srup does not call so, and what a process is writing.
    """
    if storage.is_url(journal.out) or not len(journal.last):
        return
    for folder, _, files in os.walk(journal.out):
        below = PurePosixPath(Path(folder).relative_to(journal.out).as_posix())
        for file in files:
            temporary = TEMPORARY.fullmatch(file) if file.startswith(".") else None
            if temporary and _is_of_a_result(below, temporary[1], journal):
                remove_if_abandoned(Path(folder) / file)


def _is_of_a_result(folder: PurePosixPath, name: str, journal: Journal) -> bool:
    """Whether a temporary file of the (shortened) name `name` is one of a result in the journal."""
    if str(folder / shard_of_status(name)) in journal.last:
        return True
    if len(os.fsencode(name)) <= KEPT - 4:  # a character has up to four bytes
        return False
    long = (path for path in map(PurePosixPath, journal.last) if path.parent == folder)
    return any(shortened(path.name) == name for path in long)
