"""What computes networks. An engine makes a `Program` of a registry's row and its weights; it is a file here and a row below."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from srup import memory
from srup.errors import EngineUnavailable, UnsoundResult, UsageError
from srup.inference.tiling import Pool
from srup.models.registry import Model
from srup.networks.stages import Stage

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
ENGINES = {  # name → module:function
    "pytorch": "srup.inference.engines.pytorch:program",
    "openvino": "srup.inference.engines.openvino:program",
}
LIBRARIES = {"pytorch": "torch", "openvino": "openvino"}  # name → what it needs
ON_PROCESSOR = ("auto", "cpu")  # devices for which there is a choice
ADVICE = "nothing was written; take another network with -m, or another device with -d cpu"


@dataclass(frozen=True)
class Conversion:
    """What happens before the first stage and after the last, pixel by pixel.

    `before`: values of 0 to so much come in and are divided by it (None: they are in [0, 1] already). `after`: whole numbers of 0
    to so much go out, as uint8 or uint16 (None: float32, unclipped). `grey`: the mean of the three colours goes out.
    """

    before: int | None = None
    after: int | None = None
    grey: bool = False

    def preprocess(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """N×C×H×W (C = 1 or 3) → N×3×H×W in [0, 1], channels last."""
        last = image.transpose(0, 2, 3, 1)
        colours = np.empty((*last.shape[:3], 3), np.float32)
        np.divide(last, np.float32(self.before or 1), out=colours, casting="unsafe")
        return colours.transpose(0, 3, 1, 2)

    def postprocess(self, image: NDArray[np.float32]) -> NDArray[Any]:
        """Raises UnsoundResult for what is not finite."""
        if not np.isfinite(image.sum(dtype=np.float64)):
            raise UnsoundResult(
                f"the network made numbers of it that are none (NaN or infinite); {ADVICE}"
            )
        values = image.mean(1, keepdims=True) if self.grey else image
        if self.after is None:
            return values
        values = values * np.float32(self.after)
        np.rint(values, out=values)
        return values.clip(0, self.after, out=values).astype(
            np.uint8 if self.after == 255 else np.uint16
        )


@dataclass(frozen=True)
class Program:
    """A network made ready by an engine, and what cutting an image for it takes to know.

    `stages(ends, full)` are its stages over arrays N×C×H×W, with `full` in float32 whatever the precision. `largest` is how many
    values the largest map has for each input pixel, `workers` how many windows to compute at a time, in threads of `pool`; `free()`
    is how many bytes there are where it computes. `network` is the module itself, where there is one.
    """

    name: str
    engine: str
    device: str
    precision: str
    scale: int
    multiple: int
    smallest: int
    largest: float
    stages: Callable[[Conversion, bool], list[Stage]] = field(repr=False)
    workers: int = 1
    pool: Pool = ThreadPoolExecutor
    free: Callable[[], int] = memory.available
    network: Any = field(default=None, repr=False)

    @property
    def computed_by(self) -> str:
        """What computes, as in "pytorch, cpu, bf16"."""
        return f"{self.engine}, {self.device}, {self.precision}"


def libraries() -> dict[str, str]:
    """The engines that can be used here, and the library of each."""
    return {
        name: library for name, library in LIBRARIES.items() if importlib.util.find_spec(library)
    }


class Make(Protocol):
    def __call__(self, model: Model, weights: Path, *, device: str, precision: str) -> Program: ...


def program(
    model: Model,
    weights: Path,
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
) -> Program:
    """The network of a row with its weights, ready to run.

    The engine "auto" is what the environment's SRUP_ENGINE names, or else the faster one here. Raises EngineUnavailable,
    WeightsMismatch.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")

    def made(name: str) -> Program:
        if name not in ENGINES:
            raise EngineUnavailable(f"no engine is called {name!r}: there is {', '.join(ENGINES)}")
        module, _, function = ENGINES[name].partition(":")
        make: Make = getattr(importlib.import_module(module), function)
        return make(model, weights, device=device, precision=precision)

    if engine != "auto":
        return made(engine)
    if told := os.environ.get("SRUP_ENGINE"):
        return made(told)
    if device not in ON_PROCESSOR or precision == "fp16" or len(libraries()) == 1:
        return made("pytorch")
    from srup.inference.engines.choice import choose

    return made(choose(model, weights, device, precision))
