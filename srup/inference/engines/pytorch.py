"""PyTorch as an engine: on the processor, CUDA or Apple's Metal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Barrier

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srup import memory
from srup.errors import EngineUnavailable, OutOfMemory, reason_of
from srup.inference.engines import BFLOAT16_BITS, Conversion, Program, not_finite
from srup.inference.run_options import Precision
from srup.models import costs
from srup.models.registry import Model
from srup.models.weights import loaded
from srup.networks.base import Network
from srup.networks.stages import Array, Stage
from srup.processor import has_bfloat16

log = logging.getLogger(__name__)

DEVICES = ("cpu", "cuda", "mps", "xpu")  # others, such as "meta", compute nothing
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
HALF_SINCE = (7, 0)  # CUDA's compute capability with matrix units for float16
NO_MEMORY = ("memory", "could not create a primitive")  # in messages of torch and of oneDNN
OVERLAPPED = 2  # windows at a time on CUDA: one is copied while the other is computed


def program(
    model: Model, weights: Path, *, device: str = "auto", precision: Precision = "auto"
) -> Program:
    """A network of the registry with its weights loaded.

    Raises EngineUnavailable, WeightsMismatch.
    """
    if model.is_onnx:
        raise EngineUnavailable(
            f"{Path(model.file).name} is an ONNX file, which PyTorch does not run",
            "{engine=openvino} runs it",
        )
    network = loaded(model, weights)
    if not model.of_others:
        made = program_of(network, device=device, precision=precision, largest=model.largest)
        return replace(made, name=model.name) if model.is_file else made
    from srup.inference.sight import measure

    measure(network, model.digest, model.name)
    made = program_of(network, device=device, precision=precision, largest=model.largest)
    # one window at a time: modules of others, SPAN's for one, write into themselves as they compute
    return replace(made, name=model.name, workers=1)


def program_of(
    network: Network,
    *,
    device: str = "auto",
    precision: Precision = "auto",
    largest: float | None = None,
) -> Program:
    """A network made ready on a device.

    `largest` is as in Program; it is counted if it is not given. Raises EngineUnavailable.
    """
    where = pick_device(device)
    # in memory as maps are, or every convolution would bring its kernel into their order
    network = network.eval()
    network = network.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]
    chosen = pick_precision(network, where) if precision == "auto" else precision
    _warn_if_emulated(chosen, where)

    def stages(conversion: Conversion, full: bool = False) -> list[Stage[Array]]:
        computed_in: Precision = "fp32" if full else chosen
        return stages_on(
            network.stages(), device=where, precision=computed_in, conversion=conversion
        )

    # threads that each compute a window use a processor better than operators split among them
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
        free=partial(_free, where),
        overlap=network.overlap,
        network=network,
    )


def _warn_if_emulated(precision: Precision, device: torch.device) -> None:
    """Logs a warning where the processor has no arithmetic of this precision."""
    native = precision == "fp32" or (precision == "bf16" and has_bfloat16())
    if device.type == "cpu" and not native:
        log.warning(
            "this processor has no %s and emulates it, many times slower; "
            "precision='fp32' avoids that",
            precision,
        )


def _free(device: torch.device) -> int:
    """Bytes that are free where the network is computed."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return memory.available()


def pick_device(name: str) -> torch.device:
    """The device of a name such as "cpu", "cuda:1" or "mps".

    "auto" prefers CUDA, then Metal, then the processor; "gpu" is that without the processor. Raises
    EngineUnavailable.
    """
    if name in ("auto", "gpu"):
        best = _best_device()
        if name == "gpu" and best == "cpu":
            raise EngineUnavailable(
                "there is no GPU that PyTorch can use here",
                "{device=cpu} computes on the processor",
            )
        name = best
    try:
        device = torch.device(name)
        if device.type not in DEVICES:
            raise RuntimeError(f"srup computes on {', '.join(DEVICES)}")
        torch.empty(1, device=device)  # fails where the driver or the card is missing
    except (RuntimeError, AssertionError) as error:
        reason = reason_of(error)
        raise EngineUnavailable(
            f"device {name!r} cannot be used ({reason}); install the torch that supports it",
            "{device=cpu} computes on the processor",
        ) from error
    return device


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def pick_precision(network: Network, device: torch.device) -> Precision:
    """The fastest precision that costs the network no more than 0.01 dB on Set14."""
    if not network.takes_half:
        return "fp32"
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= HALF_SINCE:
        return "fp16"
    if device.type == "cpu" and has_bfloat16():
        return "bf16"
    return "fp32"


def devices() -> list[str]:
    """The devices to share work out to: all CUDA cards, or else the one that "auto" picks."""
    cards = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return cards or [pick_device("auto").type]


def tensor_of(pixels: Array) -> Tensor:
    """Pixels H×W×C (C = 1 or 3) as 1×3×H×W in [0, 1], channels last in memory.

    The largest value of unsigned integers is that of their type, of other types it is 255.
    """
    levels = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 255
    image = _to_tensor(pixels[None].transpose(0, 3, 1, 2), torch.device("cpu"))
    return _preprocess(image, before=levels)


def stages_on(
    stages: Sequence[Stage[Tensor]],
    *,
    device: torch.device | None = None,
    precision: Precision = "fp32",
    conversion: Conversion | None = None,
) -> list[Stage[Array]]:
    """Turns stages over tensors into stages over arrays, computed on `device` in `precision`.

    An array that a stage only passes on stays the same object. Summaries are computed in float32,
    where squares do not overflow.
    """
    conversion, where = conversion or Conversion(), device or torch.device("cpu")
    own = list(stages)
    own[0] = _preceded(own[0], partial(_preprocess, before=conversion.before))
    own[-1] = _followed(own[-1], partial(_postprocess, conversion=conversion))
    return [_over_arrays(stage, where, TYPES[precision]) for stage in own]


def _over_arrays(stage: Stage[Tensor], device: torch.device, kind: torch.dtype) -> Stage[Array]:
    def run(state: list[Array], context: Array | None) -> list[Array]:
        with _computing(device, kind):
            tensors = [_to_tensor(array, device) for array in state]
            of_whole = None if context is None else _to_tensor(context, device)
            results = stage.run(tensors, of_whole)
            return [_back(result, tensors, state) for result in results]

    if stage.summary is None:
        return Stage(run, stage.margin, stride=stage.stride)
    summarize = stage.summary

    def summary(strips: Iterable[Array]) -> Array:
        with _computing(device, torch.float32):
            return _to_array(summarize(_to_tensor(strip, device) for strip in strips))

    return Stage(run, stage.margin, summary, stage.stride)


@contextmanager
def _computing(device: torch.device, kind: torch.dtype) -> Iterator[None]:
    """Computes without gradients in a precision, and translates torch's memory errors.

    On CUDA float32 would by default multiply 19-bit factors (TF32); here it does not.
    """
    with ExitStack() as stack:
        stack.enter_context(_memory_errors_translated())
        stack.enter_context(torch.inference_mode())
        if kind != torch.float32:
            stack.enter_context(torch.autocast(device.type, kind))
        elif device.type == "cuda":
            cudnn = torch.backends.cudnn
            stack.enter_context(cudnn.flags(enabled=cudnn.enabled, allow_tf32=False))
        yield


def _to_tensor(array: Array, device: torch.device) -> Tensor:
    """An array N×C×H×W as a tensor on the device, channels last in memory.

    Images of uint16 become int16 tensors, see `uint16_bits`; maps of BFLOAT16_BITS become
    bfloat16.
    """
    if not array.flags.writeable:  # torch warns of such arrays
        array = _channels_last_copy(array)
    if array.dtype == np.uint16:
        tensor = uint16_bits(array)
    elif array.dtype == BFLOAT16_BITS:
        tensor = from_bfloat16_bits(array)
    else:
        tensor = torch.from_numpy(array)
    tensor = tensor.contiguous(memory_format=torch.channels_last)
    if device.type == "cuda":
        # only from pinned memory is a copy overlapped with the other worker's computation
        tensor = tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _channels_last_copy(array: Array) -> Array:
    """A writeable copy of an array N×C×H×W in N×H×W×C memory.

    oneDNN recognises channels-last memory by the strides of all four axes, also of a batch of one.
    A copy in order "K" gives that axis the smallest stride, and then every convolution copies its
    input.
    """
    return array.transpose(0, 2, 3, 1).copy(order="C").transpose(0, 3, 1, 2)


def uint16_bits(pixels: NDArray[np.uint16]) -> Tensor:
    """The bits of uint16 pixels in an int16 tensor: PyTorch computes next to nothing in uint16."""
    return torch.from_numpy(pixels.view(np.int16))


def from_uint16_bits(bits: Tensor) -> Tensor:
    """The values 0–65,535 as int32, from the int16 tensor that `uint16_bits` returns."""
    return bits.int().bitwise_and_(0xFFFF)


def bfloat16_bits(tensor: Tensor) -> NDArray[np.int16]:
    """The bits of a bfloat16 tensor as an array: NumPy has no bfloat16. Shares memory."""
    bits: NDArray[np.int16] = tensor.view(torch.int16).numpy()
    return bits


def from_bfloat16_bits(bits: NDArray[np.int16]) -> Tensor:
    """The bfloat16 tensor whose bits `bfloat16_bits` returned. Shares memory."""
    return torch.from_numpy(bits).view(torch.bfloat16)


def _back(result: Tensor, tensors: list[Tensor], state: list[Array]) -> Array:
    """A result as an array: the very array of the state if the stage only passed it on."""
    for array, tensor in zip(state, tensors, strict=True):
        if tensor is result:
            return array
    return _to_array(result)


def _to_array(tensor: Tensor) -> Array:
    here = tensor.cpu()
    if here.dtype == torch.bfloat16:
        return bfloat16_bits(here)
    array: Array = here.numpy()
    return array


def _preceded(stage: Stage[Tensor], function: Callable[[Tensor], Tensor]) -> Stage[Tensor]:
    """A first stage whose image is passed through `function` before."""

    def run(state: list[Tensor], context: Tensor | None) -> list[Tensor]:
        return stage.run([function(image) for image in state], context)

    return replace(stage, run=run)


def _followed(stage: Stage[Tensor], function: Callable[[Tensor], Tensor]) -> Stage[Tensor]:
    """A last stage whose result is passed through `function` after."""

    def run(state: list[Tensor], context: Tensor | None) -> list[Tensor]:
        (result,) = stage.run(state, context)
        return [function(result)]

    return replace(stage, run=run)


def _preprocess(image: Tensor, *, before: int | None) -> Tensor:
    """`Conversion.preprocess` for tensors, where the network is computed."""
    values = from_uint16_bits(image) if image.dtype == torch.int16 else image
    colours = values.to(torch.float32).expand(-1, 3, -1, -1)
    colours = colours.contiguous(memory_format=torch.channels_last)
    return colours if before is None else colours / before


def _postprocess(image: Tensor, *, conversion: Conversion) -> Tensor:
    """`Conversion.postprocess` for tensors, where the network is computed."""
    if not torch.isfinite(image.sum()):
        raise not_finite()
    values = image.mean(1, keepdim=True) if conversion.grey else image
    if conversion.after is None:
        return values.float()
    values = values.float().mul(conversion.after).round_().clamp_(0, conversion.after)
    return values.byte() if conversion.after == 255 else values.to(torch.uint16)


@contextmanager
def _pool(device: torch.device, workers: int) -> Iterator[Executor]:
    """Threads that each compute a window alone.

    On a processor their operators use a single thread, on CUDA each has a stream of its own.
    """
    cores, started = torch.get_num_threads(), Barrier(workers)
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # the weights were copied in another stream
    with ThreadPoolExecutor(workers, "window") as threads:
        list(threads.map(partial(_compute_alone, device), [started] * workers))
        torch.set_num_threads(cores)  # set_num_threads in a worker also changed later threads
        yield threads


def _compute_alone(device: torch.device, started: Barrier) -> None:
    """Makes this thread compute by itself; returns when all workers have done so."""
    if device.type == "cuda":
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
    else:
        # what a thread computes first gives it as many as the process has; asking settles that now
        torch.get_num_threads()
        torch.set_num_threads(1)
    started.wait()


@contextmanager
def _memory_errors_translated() -> Iterator[None]:
    """Raises OutOfMemory for the errors by which torch reports that memory ran out."""
    hint = "take smaller windows with {tile=128}"
    try:
        yield
    except torch.OutOfMemoryError as error:
        on_processor = "{device=cpu} computes on the processor"
        raise OutOfMemory("the device's memory is full", hint, on_processor) from error
    except MemoryError as error:
        raise OutOfMemory("the memory is full", hint) from error
    except RuntimeError as error:
        if not any(sign in str(error) for sign in NO_MEMORY):
            raise
        raise OutOfMemory("the memory is full", hint) from error
