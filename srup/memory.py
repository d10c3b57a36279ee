"""How much memory this process may still take, and that it keeps what it has."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
UNKNOWN = 4 << 30  # bytes; where the system does not say


def available() -> int:
    """Bytes: what the machine has free, or what a container's limit leaves of it."""
    machine = _kilobytes("/proc/meminfo", "MemAvailable") or _physical()
    limit, used = (_number(CGROUP / name) for name in ("memory.max", "memory.current"))
    return machine if limit is None or used is None else min(machine, max(limit - used, 0))


def peak() -> int:
    """Bytes: the most memory that this process has held at once."""
    own = _kilobytes(
        "/proc/self/status", "VmHWM"
    )  # getrusage's figure begins with that of the process it was started by
    if own is not None:
        return own
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def resident() -> int:
    """Bytes: what this process holds now, or held at most where only that is known."""
    return _kilobytes("/proc/self/status", "VmRSS") or peak()


def _kilobytes(file: str, key: str) -> int | None:
    """Bytes that a line "key: 12 kB" of a file speaks of."""
    try:
        lines = Path(file).read_text().splitlines()
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


def keep_freed() -> None:
    """Tells glibc to keep freed memory for the next tensor rather than to hand it back and have it
    zeroed anew, page by page.

    Networks allocate and free the same large maps over and over; without this a third of their time
    goes into page faults. For a process of srup's own, before torch is imported; elsewhere than
    with glibc it does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return
    m_trim_threshold, m_mmap_max, m_arena_max = -1, -4, -8  # from malloc.h
    libc.mallopt(
        m_arena_max, 1
    )  # or threads that read and write would each keep a heap of their own
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 2**31 - 1)
