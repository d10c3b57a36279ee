"""The processor of this machine: name, instruction sets, cores."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # of x86, the only kind where its speed was measured
INSTRUCTIONS = {  # Linux's name → the usual one, the fastest for networks first
    "amx_bf16": "AMX",
    "avx512_bf16": "AVX-512 BF16",
    "avx512_vnni": "AVX-512 VNNI",
    "avx512f": "AVX-512",
    "avx2": "AVX2",
}


@cache
def _fields() -> dict[str, str]:
    """The fields of the first processor in /proc/cpuinfo; {} on systems without it."""
    try:
        first, *_ = Path("/proc/cpuinfo").read_text().split("\n\n")
    except OSError:
        return {}
    fields = {}
    for line in first.splitlines():
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip()
    return fields


def flags() -> frozenset[str]:
    """The instruction sets of the processor, by Linux's names; empty if unknown."""
    return frozenset(_fields().get("flags", "").split())


def instructions() -> str:
    """The fastest instruction set for networks that the processor has; "" if unknown."""
    return next((name for flag, name in INSTRUCTIONS.items() if flag in flags()), "")


def level_2_cache() -> int | None:
    """Bytes of the first core's cache of level 2; None if unknown."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        return int(text.removesuffix("K")) * 1024
    except (OSError, ValueError):
        return None


def name() -> str:
    """The name of the processor's model, or of its architecture if that is all that is known."""
    return _fields().get("model name") or platform.processor() or platform.machine()


def cores() -> int:
    """How many cores to use: OMP_NUM_THREADS, as in PyTorch, or all that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):  # Linux: a container or taskset may allow only some
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit(cores: int) -> None:
    """Limits this process, and those it starts, to a number of cores.

    To be called before an engine is imported: that is when engines read OMP_NUM_THREADS.
    """
    os.environ["OMP_NUM_THREADS"] = str(cores)


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16, which are twice as fast as float32."""
    return bool(flags() & BFLOAT16)
