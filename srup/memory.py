"""How much memory this process may still take."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
UNKNOWN = 4 << 30  # bytes; where the system does not say


def available() -> int:
    """Bytes: what the machine has free, or what a container's limit leaves of it."""
    machine = _meminfo("MemAvailable") or _physical()
    limit, used = (_number(CGROUP / name) for name in ("memory.max", "memory.current"))
    return machine if limit is None or used is None else min(machine, max(limit - used, 0))


def _meminfo(key: str) -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{key}:")]
    return int(found[0]) * 1024 if found else None


def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return UNKNOWN


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
