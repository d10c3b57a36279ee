"""Engines compute networks: each makes a `Program` from a row of the registry and its weights.

An engine is a file in this folder and a row in `ENGINES`.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from srup import memory
from srup.errors import EngineUnavailable, UnsoundResult, UsageError
from srup.inference.run_options import PRECISIONS, EngineName, Precision
from srup.models.registry import Model
from srup.networks.stages import Array, Stage
from srup.parallel import Pool

if TYPE_CHECKING:  # importing torch takes seconds
    from srup.networks.base import Network

log = logging.getLogger(__name__)

ENGINES: dict[EngineName, str] = {  # name → module:function
    "pytorch": "srup.inference.engines.pytorch:program",
    "openvino": "srup.inference.engines.openvino:program",
}
LIBRARIES: dict[EngineName, str] = {  # name → the library that it needs
    "pytorch": "torch",
    "openvino": "openvino",
}
PROCESSOR_DEVICES = ("auto", "cpu")  # devices for which there is a choice of engines

# NumPy has no bfloat16. Maps between stages that are computed in it hold its bits in this type.
BFLOAT16_BITS = np.int16

ADVICE = (  # hints for results that are no picture
    "{model} takes another network",
    "{device=cpu} computes on the processor",
)


def not_finite() -> UnsoundResult:
    """The error for results that contain NaN or infinity."""
    return UnsoundResult(
        "the network produced NaN or infinite values, so nothing was written", *ADVICE
    )


@dataclass(frozen=True)
class Conversion:
    """What is done to each pixel before the first stage and after the last.

    `before` is the largest value of the input, which is divided by it; None says that the input is
    in [0, 1] already. `after` is the largest value of the output, which is rounded to uint8 or
    uint16; with None it stays float32, not clipped. `grey` returns the mean of the three colours.
    """

    before: int | None = None
    after: int | None = None
    grey: bool = False

    def preprocess(self, image: Array) -> NDArray[np.float32]:
        """N×C×H×W (C = 1 or 3) → N×3×H×W in [0, 1], channels last in memory."""
        nhwc = image.transpose(0, 2, 3, 1)
        colours = np.empty((*nhwc.shape[:3], 3), np.float32)
        np.divide(nhwc, np.float32(self.before or 1), out=colours, casting="unsafe")
        return colours.transpose(0, 3, 1, 2)

    def postprocess(self, image: NDArray[np.float32]) -> Array:
        """N×3×H×W in [0, 1] → N×C×H×W (C = 1 or 3) in the output's range and type.

        Raises UnsoundResult for NaN or infinity.
        """
        if not np.isfinite(image.sum(dtype=np.float64)):
            raise not_finite()
        values = image.mean(1, keepdims=True) if self.grey else image
        if self.after is None:
            return values
        values = values * np.float32(self.after)
        np.rint(values, out=values)
        values.clip(0, self.after, out=values)
        return values.astype(np.uint8 if self.after == 255 else np.uint16)


@dataclass(frozen=True)
class Program:
    """A network that an engine has made ready, and what the tiler needs to know about it.

    `stages(conversion, full)` returns its stages over arrays N×C×H×W; `full` computes them in
    float32 whatever the precision. `scale`, `multiple` and `smallest` are the network's. `largest`
    is how many values its largest map has for each input pixel. `workers` windows are computed at
    a time, in threads of `pool`. `free()` is how many bytes are free where it computes. `network`
    is the PyTorch module, None where another engine runs the network. `afterwards()` is to be
    called when nobody waits any more: it makes the next start faster. Windows of a network that
    looks at the whole image `overlap` by so many pixels, and are blended.
    """

    name: str
    engine: str
    device: str
    precision: Precision
    scale: int
    multiple: int
    smallest: int
    largest: float
    stages: Callable[[Conversion, bool], list[Stage[Array]]] = field(repr=False)
    workers: int = 1
    pool: Pool = ThreadPoolExecutor
    free: Callable[[], int] = memory.available
    overlap: int = 0
    network: Network | None = field(default=None, repr=False)
    afterwards: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def computed_by(self) -> str:
        """Engine, device and precision, as in "pytorch, cpu, bf16"."""
        return f"{self.engine}, {self.device}, {self.precision}"


def libraries() -> dict[EngineName, str]:
    """The engines that are installed, with the library that each needs."""
    return {
        name: library for name, library in LIBRARIES.items() if importlib.util.find_spec(library)
    }


def engines_of(model: Model) -> Iterable[EngineName]:
    """The engines that run a network."""
    return ("openvino",) if model.is_onnx else ENGINES


class MakeProgram(Protocol):
    """The function of an engine's module that `ENGINES` names."""

    def __call__(
        self, model: Model, weights: Path, *, device: str, precision: Precision
    ) -> Program:
        """A program for the row `model` with the weights of a checkpoint file."""


def program(
    model: Model,
    weights: Path,
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    precision: Precision = "auto",
    pixels: float = math.inf,
) -> Program:
    """A network of the registry with the weights of a checkpoint file, ready to run.

    The engine "auto" is the one that the environment variable SRUP_ENGINE names, or else the one
    that `choice` picks for this machine and for so many input `pixels` in all; ONNX files always
    run through OpenVINO. Raises UsageError,
    EngineUnavailable, WeightsMismatch.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    name: str = engine
    if engine == "auto":
        name = "openvino" if model.is_onnx else os.environ.get("SRUP_ENGINE", "")
        if not name:
            return _chosen(model, weights, device, precision, pixels)
    return _made(name, model, weights, device, precision)


def _made(name: str, model: Model, weights: Path, device: str, precision: Precision) -> Program:
    if name not in ENGINES:
        raise EngineUnavailable(f"no engine is called {name!r}: there is {', '.join(ENGINES)}")
    module, _, function = ENGINES[name].partition(":")
    make: MakeProgram = getattr(importlib.import_module(module), function)
    return make(model, weights, device=device, precision=precision)


def _chosen(
    model: Model, weights: Path, device: str, precision: Precision, pixels: float
) -> Program:
    """A program of the engine that suits the network and the machine.

    A network that OpenVINO has not been prepared for runs through PyTorch once more, so that nobody
    waits for it, and is prepared afterwards.
    """
    by_pytorch = partial(_made, "pytorch", model, weights, device, precision)
    if model.of_others:  # what others have trained may not convert
        return by_pytorch()
    # only PyTorch runs on a GPU or in float16
    if device not in PROCESSOR_DEVICES or precision == "fp16" or len(libraries()) == 1:
        return by_pytorch()
    from srup.inference.engines.choice import choose

    if choose(model, precision, pixels) == "pytorch":
        return by_pytorch()
    try:
        from srup.inference.engines import openvino

        if openvino.is_exported(model, weights):
            return _made("openvino", model, weights, device, precision)
    except EngineUnavailable as error:
        log.info("%s", error)
        return by_pytorch()
    made = by_pytorch()
    if made.device != "cpu":
        return made
    return replace(made, afterwards=partial(_prepare, model, weights))


def _prepare(model: Model, weights: Path) -> None:
    from srup.inference.engines import openvino

    try:
        openvino.exported(model, weights)
    except EngineUnavailable as error:  # PyTorch goes on without it
        log.info("%s", error)
