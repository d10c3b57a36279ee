"""What a batch has done: JSON lines in the output folder, appended and synced one by one, never
rewritten.

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
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from srup import storage
from srup.errors import ReadError, UsageError
from srup.files import cache, check_regular, writing

log = logging.getLogger(__name__)

NAME = ".srup-journal.jsonl"
COPIED_EVERY = 30  # seconds between copies to a folder that is an URL

Record = Mapping[str, Any]

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
    "at": int,  # seconds since 1970
    "by": str,  # the version of srup
}
STATUSES = ("claimed", "done", "failed", "refused")
PLAIN = (str, int, float, bool, type(None))  # what settings and lists hold
# the name in a line that is no JSON any more
NAMED = re.compile(rb'"name": ?("(?:[^"\\]|\\.)*")')


@dataclass
class Journal:
    """The lines of the output folder `out`, written to the local file `path`; `last` is name of a
    result → its last line.
    """

    out: str
    path: Path
    last: dict[str, Record] = field(default_factory=dict)
    settings: Record = field(default_factory=dict)
    reports: dict[str, str] = field(default_factory=dict)  # path → its stamp when it was written
    copied: float = 0.0

    def append(self, records: Sequence[Record]) -> None:
        """Adds lines; when this returns they have reached the disk. Raises WriteError."""
        text = "".join(f"{json.dumps(dict(record), ensure_ascii=False)}\n" for record in records)
        # a name that is not UTF-8 holds surrogates, and \udcff is how JSON escapes one too
        data = text.encode(errors="backslashreplace")
        with writing(self.path), self.path.open("ab") as file:
            file.write(data)
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

    def wrote(self, report: Path) -> bool:
        """Whether a batch wrote the report that is at this path."""
        return self.reports.get(str(report.absolute())) == _stamp(report)

    def add_reports(self, written: Sequence[Path]) -> None:
        """Writes down that a batch wrote these files and folders, and may replace them."""
        for path in written:
            self.append([{"report": str(path.absolute()), "stamp": _stamp(path)}])

    def _take(self, record: Record) -> None:
        if "name" in record:
            self.last[record["name"]] = record
        elif "settings" in record:
            self.settings = record["settings"]
        elif "report" in record:
            self.reports[record["report"]] = record["stamp"]


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
        damaged = 0
        for line in _lines(path):
            record = _understood(line)
            damaged += record is None
            made._take(record or _presumed(line, made.last))
        if damaged:
            about = "lines of %s that are damaged or of a later version of srup: %d, passed over"
            log.warning(about, path, damaged)
        # what was done must reach the output folder, also when the run ends with an error
        try:
            yield made
        finally:
            made.copy()
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
            path.write_bytes(local.read_bytes())


def _lines(path: Path) -> Sequence[bytes]:
    """The lines of a journal; the last one is ended if a crash has cut it off."""
    try:
        check_regular(path)
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ReadError(
            f"cannot read {path}: {error.strerror}; check its owner and mode"
        ) from error
    if content and not content.endswith(b"\n"):
        with writing(path), path.open("ab") as file:
            file.write(b"\n")
    return content.splitlines()


def _understood(line: bytes) -> Record | None:
    """A line as a record; None if it is damaged, or says what this version does not know."""
    try:
        record = json.loads(line)
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
    values = value if isinstance(value, list) else [value]
    return all(isinstance(each, PLAIN) for each in values)


def _is_result(record: Record) -> bool:
    if not isinstance(record.get("name"), str) or record.get("status") not in STATUSES:
        return False
    known = [name for name in FIELDS if name in record]
    return all(isinstance(record[name], FIELDS[name]) and _is_plain(record[name]) for name in known)


def _presumed(line: bytes, last: Mapping[str, Record]) -> Record:
    """What a line stands for that is not understood: a result that was done, by an earlier line,
    may be another since.
    """
    found = NAMED.search(line)
    try:
        name = json.loads(found[1]) if found else ""
    except ValueError:
        name = ""
    if last.get(name, {}).get("status") != "done":
        return {}
    return {"name": name, "status": "claimed"}
