"""What this machine's processor can do."""

from __future__ import annotations

from functools import cache
from pathlib import Path

BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # x86 only: there it was measured


@cache
def flags() -> frozenset[str]:
    """The instruction sets that Linux lists for the first processor; none where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))


def has_bfloat16() -> bool:
    """Whether it multiplies bfloat16 by itself, twice as fast as float32."""
    return bool(flags() & BFLOAT16)
