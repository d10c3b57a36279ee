"""PyTorch, on the processor, CUDA or Apple's Metal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srup import memory
from srup.errors import EngineUnavailable, OutOfMemory, UnsoundResult
from srup.inference.engines import ADVICE, Conversion, Program
from srup.models import checkpoints, costs, registry
from srup.models.registry import Model
from srup.networks.base import Network
from srup.networks.stages import Map, Stage
from srup.processor import has_bfloat16

log = logging.getLogger(__name__)

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
HALF_SINCE = (7, 0)  # CUDA's compute capability with matrix units for float16
NO_MEMORY = ("memory", "could not create a primitive")  # what torch and, in it, oneDNN say
OVERLAPPED = 2  # windows at a time on CUDA: one is copied while the other is computed


def program(
    model: Model, weights: Path, *, device: str = "auto", precision: str = "auto"
) -> Program:
    """The network of a row, its weights loaded. Raises EngineUnavailable, WeightsMismatch."""
    network = checkpoints.load_weights(registry.build(model), weights)
    return program_of(network, device=device, precision=precision, largest=model.largest)


def program_of(
    network: Network, *, device: str = "auto", precision: str = "auto", largest: float | None = None
) -> Program:
    """A network made ready on a device; `largest` as in Program, counted if it is not known. Raises EngineUnavailable."""
    where = pick_device(device)
    network = network.to(where).eval()
    chosen = pick_precision(network, where) if precision == "auto" else precision

    if where.type == "cpu" and not (chosen == "fp32" or (chosen == "bf16" and has_bfloat16())):
        log.warning(
            "this processor has no %s and imitates it, many times slower; take --precision fp32",
            chosen,
        )

    def stages(conversion: Conversion, full: bool = False) -> list[Stage]:
        return stages_on(
            network.stages(),
            device=where,
            precision="fp32" if full else chosen,
            conversion=conversion,
        )

    workers = {"cpu": torch.get_num_threads(), "cuda": OVERLAPPED}.get(where.type, 1)
    return Program(
        name=type(network).__name__,
        engine="pytorch",
        device=str(where),
        precision=chosen,
        scale=network.scale,
        multiple=network.multiple,
        smallest=network.smallest,
        largest=largest or costs.largest_map(network),
        stages=stages,
        workers=workers,
        pool=partial(_pool, where),
        free=memory.available
        if where.type != "cuda"
        else lambda: torch.cuda.mem_get_info(where)[0],
        network=network,
    )


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" takes CUDA, else Metal, else the processor. Raises EngineUnavailable."""
    if name == "auto":
        name = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise EngineUnavailable(
            f"device {name!r} cannot be used ({reason}); take -d cpu, or install the torch made for it"
        ) from error
    return device


def pick_precision(network: Network, device: torch.device) -> str:
    """The fastest precision that costs the network no more than 0.01 dB on Set14."""
    if not network.takes_half:
        return "fp32"
    if device.type == "cuda":
        return "fp16" if torch.cuda.get_device_capability(device) >= HALF_SINCE else "fp32"
    return "bf16" if device.type == "cpu" and has_bfloat16() else "fp32"


def tensor_of(pixels: NDArray[Any]) -> Tensor:
    """Pixels H×W×C (C = 1 or 3), 0–255 or as many as their type holds → 1×3×H×W in [0, 1], channels last."""
    levels = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 255
    return _preprocess(
        _tensor(pixels[None].transpose(0, 3, 1, 2), torch.device("cpu")), before=levels
    )


def devices() -> list[str]:
    """Every device to share work out to: all CUDA cards, or else what "auto" is."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())] or [
        pick_device("auto").type
    ]


def stages_on(
    stages: Sequence[Stage],
    *,
    device: torch.device | None = None,
    precision: str = "fp32",
    conversion: Conversion | None = None,
) -> list[Stage]:
    """Stages over tensors as stages over arrays, computed on `device` in `precision`.

    An array that is handed through stays the same object. Summaries are taken in float32, where squares do not overflow.
    """
    conversion, where = conversion or Conversion(), device or torch.device("cpu")
    own = list(stages)
    own[0] = _preceded(own[0], partial(_preprocess, before=conversion.before))
    own[-1] = _followed(own[-1], partial(_postprocess, conversion=conversion))
    return [_on(stage, where, TYPES[precision]) for stage in own]


def _on(stage: Stage, device: torch.device, kind: torch.dtype) -> Stage:
    def run(state: list[NDArray[Any]], context: NDArray[Any] | None) -> list[NDArray[Any]]:
        with _computing(device, kind):
            there = [_tensor(array, device) for array in state]
            results = stage.run(there, None if context is None else _tensor(context, device))
            return [_back(result, there, state) for result in results]

    def summary(strips: Iterable[NDArray[Any]]) -> NDArray[Any]:
        assert stage.summary is not None
        with _computing(device, torch.float32):
            return _array(stage.summary(_tensor(strip, device) for strip in strips))

    return replace(stage, run=run, summary=summary if stage.summary else None)


@contextmanager
def _computing(device: torch.device, kind: torch.dtype) -> Iterator[None]:
    """No gradients, in a precision; float32 is that throughout (by default CUDA shortens factors to 19 bits, TF32)."""
    with ExitStack() as stack:
        stack.enter_context(_translated())
        stack.enter_context(torch.inference_mode())
        if kind != torch.float32:
            stack.enter_context(torch.autocast(device.type, kind))
        elif device.type == "cuda":
            stack.enter_context(
                torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False)
            )
        yield


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array on the device, channels last; the int16 of a map are the bits of its bfloat16.

    An array that may not be written to is copied: torch wants none. uint16 goes as the int16 of the same bits, see `_preprocess`.
    """
    own = array if array.flags.writeable else array.copy(order="K")
    is_image, is_half = own.dtype == np.uint16, own.dtype == np.int16
    tensor = torch.from_numpy(own.view(np.int16) if is_image else own)
    tensor = tensor.view(torch.bfloat16) if is_half else tensor
    tensor = tensor.contiguous(memory_format=torch.channels_last)
    if device.type == "cuda":
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _back(result: Tensor, there: list[Tensor], state: list[NDArray[Any]]) -> NDArray[Any]:
    handed_through = next(
        (here for here, moved in zip(state, there, strict=True) if moved is result), None
    )
    return _array(result) if handed_through is None else handed_through


def _array(tensor: Tensor) -> NDArray[Any]:
    here = tensor.cpu()
    array: NDArray[Any] = (here.view(torch.int16) if here.dtype == torch.bfloat16 else here).numpy()
    return array


def _preceded(stage: Stage, function: Callable[[Tensor], Tensor]) -> Stage:
    """A first stage whose image goes through `function`."""
    return replace(
        stage, run=lambda state, context: stage.run([function(image) for image in state], context)
    )


def _followed(stage: Stage, function: Callable[[Tensor], Tensor]) -> Stage:
    """A last stage whose result goes through `function`."""

    def run(state: list[Map], context: Map | None) -> list[Map]:
        (result,) = stage.run(state, context)
        return [function(result)]

    return replace(stage, run=run)


def _preprocess(image: Tensor, *, before: int | None) -> Tensor:
    """`Ends.enter`, where the network is computed; int16 are the bits of uint16."""
    values = image.int().bitwise_and_(0xFFFF) if image.dtype == torch.int16 else image
    colours = (
        values.to(torch.float32).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    )
    return colours if before is None else colours / before


def _postprocess(image: Tensor, *, conversion: Conversion) -> Tensor:
    """`Ends.leave`, where the network is computed."""
    if not torch.isfinite(image.sum()):
        raise UnsoundResult(
            f"the network made numbers of it that are none (NaN or infinite); {ADVICE}"
        )
    values = image.mean(1, keepdim=True) if conversion.grey else image
    if conversion.after is None:
        return values.float()
    values = values.float().mul(conversion.after).round_().clamp_(0, conversion.after)
    return values.byte() if conversion.after == 255 else values.to(torch.uint16)


@contextmanager
def _pool(device: torch.device, workers: int) -> Iterator[Executor]:
    """Threads that each compute alone: on a processor without help inside operators, on CUDA in a stream of their own."""
    cores, started = torch.get_num_threads(), Barrier(workers)
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # the weights were copied in another stream
    with ThreadPoolExecutor(workers, "window") as threads:
        list(threads.map(partial(_alone, device), [started] * workers))
        torch.set_num_threads(cores)  # for all threads to come, which the workers have set too
        yield threads


def _alone(device: torch.device, started: Barrier) -> None:
    """Makes this thread compute by itself; returns when all have done so."""
    if device.type == "cuda":
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
    else:
        torch.set_num_threads(1)
    started.wait()


@contextmanager
def _translated() -> Iterator[None]:
    """The ways in which torch says that memory ran out, as ours."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            "the device's memory is full; take smaller windows with -t 128, or -d cpu"
        ) from error
    except MemoryError as error:
        raise OutOfMemory("the memory is full; take smaller windows with -t 128") from error
    except RuntimeError as error:
        if not any(sign in str(error) for sign in NO_MEMORY):
            raise
        raise OutOfMemory("the memory is full; take smaller windows with -t 128") from error
