"""Hyperparameters of a training run, and the learning rate and loss of each of its steps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from srup.errors import UsageError
from srup.training.degradations import Degradation

Schedule = Literal["cosine", "step", "constant"]
Loss = Literal["l1", "l2"]
Optimiser = Literal["adam", "muon"]
TrainingPrecision = Literal["auto", "fp32", "bf16"]

SCHEDULES: tuple[Schedule, ...] = ("cosine", "step", "constant")
LOSSES: tuple[Loss, ...] = ("l1", "l2")
OPTIMISERS: tuple[Optimiser, ...] = ("adam", "muon")
TRAINING_PRECISIONS: tuple[TrainingPrecision, ...] = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class Hyperparameters:
    """What determines a run, besides the data and the first weights.

    A run's state file records them, and a resumed run must have the same, or more steps. They are
    all final there: `loss` None (the network's own) and `precision` "auto" (bf16 where the device
    is fast at it) are resolved before.

    `scales`: each step draws one; a scale listed twice is drawn twice as often.
    `patch`: side of an LR patch in pixels; `batch` of them are a step.
    `rate`: the highest learning rate, reached after `warm_up` steps; `last_rate` is where the
    cosine ends.
    `finish`: share of the steps, at the end, that are trained with L2.
    `decay`: of the running average of the weights, which is what is validated and saved.
    `distil`: the share of the loss that `teachers`, the names of networks, have (`teaching`).
    `wider`: above 0, trains with branches so many times as wide (`reparameterize`).
    `clip`: above 0, bounds the norm of the gradient, which keeps high rates from diverging.
    `optimiser`: "muon" is for the inner kernels (`muon`); Adam trains the rest.
    `degrade`: how LR patches are made worse; None leaves them as bicubic made them.
    """

    scales: tuple[int, ...]
    steps: int
    batch: int = 16
    patch: int = 48
    rate: float = 1e-3
    last_rate: float = 1e-5
    warm_up: int = 0
    schedule: Schedule = "cosine"
    loss: Loss | None = "l1"
    finish: float = 0.0
    decay: float = 0.999
    precision: TrainingPrecision = "fp32"
    distil: float = 0.0
    wider: int = 0
    clip: float = 0.0
    seed: int = 0
    # the last ones: states of earlier versions lack them
    degrade: Degradation | None = None
    teachers: tuple[str, ...] = ()
    optimiser: Optimiser = "adam"

    def __post_init__(self) -> None:
        for name in ("rate", "last_rate", "finish", "decay", "distil", "clip"):
            if not math.isfinite(getattr(self, name)):
                raise UsageError(f"the {name.replace('_', ' ')} is no finite number")
        if self.optimiser == "muon" and self.wider:
            raise UsageError("Muon trains no branches", "leave out {wider}")

    @property
    def distinct_scales(self) -> list[int]:
        """Each scale once, in the order given."""
        return list(dict.fromkeys(self.scales))


def rate_at(hyperparameters: Hyperparameters, step: int) -> float:
    """The learning rate of a step, counted from 1.

    It rises linearly to the end of the warm-up, on top of the schedule: constant, halved at each
    quarter of the run, or a cosine from `rate` to `last_rate`.
    """
    highest, last = hyperparameters.rate, hyperparameters.last_rate
    done = (step - 1) / hyperparameters.steps
    rise = 1.0
    if hyperparameters.warm_up:
        rise = min(1.0, step / hyperparameters.warm_up)
    if hyperparameters.schedule == "step":
        return rise * highest * 0.5 ** math.floor(done * 4)
    if hyperparameters.schedule == "cosine":
        return rise * (last + (highest - last) * (1 + math.cos(math.pi * done)) / 2)
    return rise * highest


def loss_at(hyperparameters: Hyperparameters, step: int) -> Loss:
    """The loss of a step: L2 in the share `finish` at the end of the run, `loss` before."""
    if step > hyperparameters.steps * (1 - hyperparameters.finish):
        return "l2"
    assert hyperparameters.loss is not None, "the loss must be resolved first"
    return hyperparameters.loss
