"""What this machine's processor can do."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # x86 only: there it was measured


@cache
def _fields() -> dict[str, str]:
    """What Linux says of the first processor: name → value; nothing where it does not say."""
    try:
        first, *_ = Path("/proc/cpuinfo").read_text().split("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def flags() -> frozenset[str]:
    """The instruction sets that it has."""
    return frozenset(_fields().get("flags", "").split())


def name() -> str:
    """The processor's, as far as the system tells."""
    return _fields().get("model name") or platform.processor() or platform.machine()


def cores() -> int:
    """How many of its cores to use: what OMP_NUM_THREADS says, as in PyTorch, or all that this
    process may run on.
    """
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit(cores: int) -> None:
    """Makes this process, and those it starts, use so many cores; before an engine is imported,
    which reads it then.
    """
    os.environ["OMP_NUM_THREADS"] = str(cores)


def has_bfloat16() -> bool:
    """Whether it multiplies bfloat16 by itself, twice as fast as float32."""
    return bool(flags() & BFLOAT16)
