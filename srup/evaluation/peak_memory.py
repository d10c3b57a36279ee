"""Peak memory of what is measured: the process's, or on CUDA the device's."""

from __future__ import annotations

from collections.abc import Callable

from srup import memory


def peak_of(device: str) -> Callable[[], int]:
    """A function that says the most memory in bytes taken so far by work on `device`."""
    if not device.startswith("cuda"):
        return memory.peak
    import torch

    return lambda: torch.cuda.max_memory_allocated(device)
