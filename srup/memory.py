"""Measures memory (free, resident, peak), and makes glibc keep what was freed for reuse."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
UNKNOWN = 4 << 30  # bytes; assumed if the system does not say


def available() -> int:
    """Bytes that are free on the machine and within the limit of a container."""
    machine = _kilobytes("/proc/meminfo", "MemAvailable") or _physical()
    limit, used = _number(CGROUP / "memory.max"), _number(CGROUP / "memory.current")
    if limit is None or used is None:
        return machine
    return min(machine, max(limit - used, 0))


def peak() -> int:
    """The largest number of bytes that this process has held at once; 0 if unknown (Windows)."""
    # Preferred to getrusage, whose figure starts at that of the parent process.
    own = _kilobytes("/proc/self/status", "VmHWM")
    if own is not None:
        return own
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, others kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident() -> int:
    """Bytes that this process holds now; the peak where the system tells only that."""
    return _kilobytes("/proc/self/status", "VmRSS") or peak()


def _kilobytes(file: str, key: str) -> int | None:
    """Bytes, from the line "key: 12 kB" of a file; None if there is none."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return None


def _physical() -> int:
    """Bytes of memory that the machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return UNKNOWN


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def keep_freed() -> None:
    """Makes glibc keep freed memory for reuse instead of returning it to the system.

    Networks allocate and free the same large tensors over and over. Memory that comes anew from the
    system is zeroed page by page, and these page faults take a third of the time. To be called in
    processes that belong to srup, before torch is imported. Does nothing without glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return
    m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8  # from malloc.h
    libc.mallopt(m_arena_max, 1)  # otherwise each reading or writing thread would keep a heap
    libc.mallopt(m_mmap_max, 0)  # large blocks come from the heap, not from a mapping of their own
    libc.mallopt(m_trim_threshold, 2**31 - 1)
