"""What a batch has done: JSON lines in the output folder, appended and synced one by one.

When a batch begins, lines that later ones have replaced are left out, if they are many.

The last line about a result says what it is: "claimed" by a run (it may be there or not, and is
ours), "done", "failed", or "refused" (a file is there that no batch made). A line about settings
stands before the lines made with them. A line about a report says that a batch wrote it.

Lines may be damaged, or of a later version of srup. What cannot be understood of them makes no
result count as done.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from srup import storage
from srup.batch.last_lines import LastLines, Record
from srup.errors import ReadError, UsageError
from srup.files import CHUNK, cache, check_regular, replacing, writing

log = logging.getLogger(__name__)

NAME = ".srup-journal.jsonl"
COPIED_EVERY = 30  # seconds between copies to a folder that is an URL
COPY_SHARE = 10  # times as long as a copy takes passes before the next one
WORTH = 1000  # lines that were replaced, below which leaving them out gains nothing

NUMBER = (int, float)
FIELDS: dict[str, type | tuple[type, ...]] = {  # of a line about a result → what they hold
    "source": str,
    "seconds": NUMBER,
    "before": list,
    "after": list,
    "bytes": int,
    "stamp": str,
    "sha256": str,
    "key": str,
    "error": str,
    "no_memory": bool,
    "consistency": NUMBER,
    "images": int,
    "failed": int,
    "at": int,  # seconds since 1970
    "by": str,  # the version of srup
}
REFUSED, CLAIMED = 0, 1  # marks of lines; a failure is marked as claimed
STATUSES = ("claimed", "done", "failed", "refused")
PLAIN = {str, int, float, bool, type(None)}  # what settings and lists hold
# the name in a line that is no JSON any more
NAMED = re.compile(rb'"name": ?("(?:[^"\\]|\\.)*")')


@dataclass
class Journal:
    """The lines of the output folder `out`, written to the local file `path`; `last` is name of a
    result → its last line. `keys` has those of all settings that results were ever made with.
    """

    out: str
    path: Path
    last: LastLines
    settings: Record = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)  # path → its stamp when it was written
    keys: set[str] = field(default_factory=set)
    size: int = 0  # bytes
    lines: int = 0
    damaged: int = 0
    next_copy: float = 0.0

    def append(self, records: Sequence[Record]) -> None:
        """Adds lines; when this returns they have reached the disk. Raises WriteError."""
        encoded = [_encoded(record) for record in records]
        with writing(self.path), self.path.open("ab") as file:
            self.size = file.seek(0, os.SEEK_END)
            file.write(b"".join(encoded))
            file.flush()
            os.fsync(file.fileno())
        for record, line in zip(records, encoded, strict=True):
            self._take(record, len(line))
        if time.monotonic() > self.next_copy:
            self.copy()

    def copy(self) -> None:
        """Brings the lines to the output folder, where that is an URL."""
        started = time.monotonic()
        if storage.is_url(self.out) and self.path.exists():
            with storage.stored(storage.join(self.out, NAME)) as local:
                shutil.copyfile(self.path, local)
        took = time.monotonic() - started
        self.next_copy = started + took + max(COPIED_EVERY, COPY_SHARE * took)

    def wrote(self, report: Path) -> bool:
        """Whether a batch wrote the report that is at this path."""
        return self.reports.get(str(report.absolute())) == _stamp(report)

    def add_reports(self, written: Sequence[Path]) -> None:
        """Writes down that a batch wrote these files and folders, and may replace them."""
        for path in written:
            self.append([{"report": str(path.absolute()), "stamp": _stamp(path)}])

    def _take(self, record: Record, length: int) -> None:
        """Notes what a line says that stands at the end of those known so far."""
        if "settings" in record:
            self.settings = record["settings"]
        elif "report" in record:
            self.reports[record["report"]] = record["stamp"]
        elif "name" in record:
            self.last.put(record["name"], self.size, _mark(record))
        if record.get("status") == "done":
            self.keys.add(record.get("key", ""))
        self.size += length
        self.lines += 1

    def read(self) -> None:
        """Takes in the lines of the file, one after the other. Raises ReadError."""
        for line in _lines(self.path):
            record = _understood(line)
            self.damaged += record is None
            self._take(record or _presumed(line, self.last), len(line))

    def compact(self) -> None:
        """Leaves out the lines that later ones have replaced, if that is half of them.

        With lines that are not understood nothing is left out: a later version may know them.
        """
        replaced = self.lines - len(self.last)
        if self.damaged or replaced < max(WORTH, self.lines // 2):
            return
        with replacing(self.path) as temporary, temporary.open("wb", buffering=CHUNK) as file:
            file.writelines(map(_encoded, self._others()))
            self.last.copy(file)
            file.flush()
            os.fsync(file.fileno())
            self.size = file.tell()
        self.lines = len(self.last) + len(self.reports) + bool(self.settings)

    def _others(self) -> Iterator[Record]:
        """The lines that are not about results."""
        if self.settings:
            yield {"settings": self.settings}
        for path, stamp in self.reports.items():
            yield {"report": path, "stamp": stamp}


def _mark(record: Record) -> int:
    if record["status"] != "done":
        return REFUSED if record["status"] == "refused" else CLAIMED
    return mark_of_done(record.get("key"), record.get("bytes"), record.get("stamp"))


def mark_of_done(key: object, size: object, stamp: object) -> int:
    """The mark of a result that was made with these settings of an input with these facts."""
    return hash((key, size, stamp)) & (1 << 62) - 1 | 1 << 62


def _encoded(record: Record) -> bytes:
    """A record as a line."""
    text = f"{json.dumps(dict(record), ensure_ascii=False)}\n"
    # a name that is not UTF-8 holds surrogates, and \udcff is how JSON escapes one too
    return text.encode(errors="backslashreplace")


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
        if storage.is_url(out):
            _bring(out, path)
        made = Journal(out, path, LastLines(path, _line))
        made.read()
        if made.damaged:
            about = "lines of %s that are damaged or of a later version of srup: %d, passed over"
            log.warning(about, path, made.damaged)
        made.compact()
        # what was done must reach the output folder, also when the run ends with an error
        try:
            yield made
        finally:
            made.copy()
            made.last.close()
    finally:
        lock.release()
        path.with_suffix(".lock").unlink(missing_ok=True)


def _stamp(path: Path) -> str:
    """What changes when somebody else writes a report; a folder is told by its name alone."""
    return "" if path.is_dir() else str(path.stat().st_mtime_ns)


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
            shutil.copyfile(local, path)


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a journal with their ends; the last one is ended if a crash has cut it off."""
    try:
        check_regular(path)
        with path.open("rb", buffering=CHUNK) as file:
            line = b"\n"
            for line in file:
                yield line if line.endswith(b"\n") else line + b"\n"
    except FileNotFoundError:
        return
    except OSError as error:
        raise ReadError(
            f"cannot read {path}: {error.strerror}; check its owner and mode"
        ) from error
    if not line.endswith(b"\n"):
        with writing(path), path.open("ab") as file:
            file.write(b"\n")


def _understood(line: bytes) -> Record | None:
    """A line as a record; None if it is damaged, or says what this version does not know."""
    try:
        record = json.loads(str(line, "utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    if "settings" in record:
        return record if _are_settings(record["settings"]) else None
    if "report" in record:
        both = (record["report"], record.get("stamp"))
        return record if all(isinstance(each, str) for each in both) else None
    return record if _is_result(record) else None


def _are_settings(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_plain, value.values()))


def _is_plain(value: object) -> bool:
    """Whether a value is a number or text, or a list of such."""
    return {*map(type, value)} <= PLAIN if isinstance(value, list) else type(value) in PLAIN


def _is_result(record: Record) -> bool:
    if not isinstance(record.get("name"), str) or record.get("status") not in STATUSES:
        return False
    for name, value in record.items():
        if name in FIELDS and not isinstance(value, FIELDS[name]):
            return False
        if type(value) is list and not {*map(type, value)} <= PLAIN:
            return False
    return True


def _line(line: bytes) -> Record:
    """A line about a result as a record, also one that is not understood."""
    return _understood(line) or {"name": _name(line), "status": "claimed"}


def _presumed(line: bytes, last: LastLines) -> Record:
    """What a line stands for that is not understood: a result that was done, by an earlier line,
    may be another since.
    """
    name = _name(line)
    if last.get(name, {}).get("status") != "done":
        return {}
    return {"name": name, "status": "claimed"}


def _name(line: bytes) -> str:
    """The name in a line that is no JSON any more; "" if there is none."""
    found = NAMED.search(line)
    try:
        return json.loads(found[1]) if found else ""
    except ValueError:
        return ""
