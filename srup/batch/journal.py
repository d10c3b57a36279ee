"""What a batch has done: JSON lines in the output folder, appended and synced one by one, never
rewritten.

The last line about a result says what it is: "claimed" by a run (it may be there or not, and is
ours), "done", or "failed". A line about settings stands before the lines made with them.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from srup import storage
from srup.errors import ReadError, UsageError
from srup.files import cache, writing

NAME = ".srup-journal.jsonl"
COPIED_EVERY = 30  # seconds between copies to a folder that is an URL

Record = Mapping[str, Any]


@dataclass
class Journal:
    """The lines of the output folder `out`, written to the local file `path`; `last` is name of a
    result → its last line.
    """

    out: str
    path: Path
    last: dict[str, Record] = field(default_factory=dict)
    settings: Record = field(default_factory=dict)
    copied: float = 0.0

    def append(self, records: Sequence[Record]) -> None:
        """Adds lines; when this returns they have reached the disk. Raises WriteError."""
        text = "".join(f"{json.dumps(dict(record), ensure_ascii=False)}\n" for record in records)
        with writing(self.path), self.path.open("ab") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        for record in records:
            self._take(record)
        if time.monotonic() - self.copied > COPIED_EVERY:
            self.copy()

    def copy(self) -> None:
        """Brings the lines to the output folder, where that is an URL."""
        self.copied = time.monotonic()
        if storage.is_url(self.out) and self.path.exists():
            with storage.stored(storage.join(self.out, NAME)) as local:
                local.write_bytes(self.path.read_bytes())

    def _take(self, record: Record) -> None:
        if "name" in record:
            self.last[record["name"]] = record
        elif "settings" in record:
            self.settings = record["settings"]


@contextmanager
def journal(out: str) -> Iterator[Journal]:
    """The journal of an output folder, for this process alone: a second one is refused with
    UsageError.
    """
    path = _remote_path(out) if storage.is_url(out) else Path(out) / NAME
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    with writing(path):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UsageError(
                f"another srup batch is at work in {out}; wait for it, or stop it first"
            ) from None
    try:
        made = Journal(out, path)
        if storage.is_url(out):
            _bring(out, path)
        for record in _lines(path):
            made._take(record)
        # what was done must reach the output folder, also when the run ends with an error
        try:
            yield made
        finally:
            made.copy()
    finally:
        lock.release()
        path.with_suffix(".lock").unlink(missing_ok=True)


def _remote_path(out: str) -> Path:
    return cache() / "journals" / f"{hashlib.sha256(out.encode()).hexdigest()[:16]}.jsonl"


def _bring(out: str, path: Path) -> None:
    """Takes the copy at an URL where it knows more than the local file: it may come from another
    machine.
    """
    place = storage.join(out, NAME)
    there = storage.entry(place)
    if there is not None and there.size > (path.stat().st_size if path.exists() else 0):
        with storage.fetched(place) as local:
            path.write_bytes(local.read_bytes())


def _lines(path: Path) -> Iterable[Record]:
    """The lines of a journal; one that was cut off by a crash is ended, and passed over."""
    if not path.exists():
        return
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReadError(
            f"cannot read {path}: {error.strerror}; check its owner and mode"
        ) from error
    if content and not content.endswith(b"\n"):
        with writing(path), path.open("ab") as file:
            file.write(b"\n")
    for line in content.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
