"""PyTorch, on the processor, CUDA or Apple's Metal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from srup.errors import EngineUnavailable, OutOfMemory
from srup.networks.stages import Stage


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" takes CUDA, else Metal, else the processor. Raises EngineUnavailable."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise EngineUnavailable(
            f"device {name!r} cannot be used ({reason}); take -d cpu, or install the torch made for it"
        ) from error
    return device


def devices() -> list[str]:
    """Every device to share work out to: all CUDA cards, or else what "auto" is."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or [pick_device("auto").type]


def stages_on(stages: Sequence[Stage], *, device: torch.device) -> list[Stage]:
    """The stages computed on `device`, taking and returning tensors of the processor; one handed through stays the same object."""
    return [_on(stage, device) for stage in stages]


def _on(stage: Stage, device: torch.device) -> Stage:
    def run(state: list[Tensor], context: Tensor | None) -> list[Tensor]:
        with _translated():
            there = [tensor.to(device).contiguous(memory_format=torch.channels_last) for tensor in state]
            results = stage.run(there, None if context is None else context.to(device))
            return [_back(result, there, state) for result in results]

    def summary(strips: Iterable[Tensor]) -> Tensor:
        assert stage.summary is not None
        with _translated():
            return stage.summary(strip.to(device) for strip in strips)

    return replace(stage, run=run, summary=summary if stage.summary else None)


def _back(result: Tensor, there: list[Tensor], state: list[Tensor]) -> Tensor:
    handed_through = next((here for here, moved in zip(state, there, strict=True) if moved is result), None)
    return result.cpu() if handed_through is None else handed_through


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions in float32 throughout; by default CUDA shortens their factors to 19 bits (TF32)."""
    with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False):
        yield


@contextmanager
def _translated() -> Iterator[None]:
    """The ways in which torch says that memory ran out, as ours."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory("the device's memory is full; take smaller windows with -t 128, or -d cpu") from error
    except MemoryError as error:
        raise OutOfMemory("the memory is full; take smaller windows with -t 128") from error
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise OutOfMemory("the memory is full; take smaller windows with -t 128") from error
