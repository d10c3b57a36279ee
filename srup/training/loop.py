"""Training and fine-tuning: a generator of steps that resumes exactly after being killed at any.

The batch of a step is a function of (seed, step), the learning rate a function of the step. The
weights, their average and the optimiser are in the state file. Nothing else carries over from step
to step, so a resumed run gives what the undisturbed one gives.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from srup.errors import TrainingError, reason_of
from srup.files import replacing
from srup.images.degrade import CLEAN
from srup.models import state_dicts
from srup.networks.base import Network
from srup.training import dataset, degradations
from srup.training.dataset import Bytes, Pairs, Patches
from srup.training.hyperparameters import (
    Hyperparameters,
    Loss,
    TrainingPrecision,
    loss_at,
    rate_at,
)
from srup.training.muon import Muon
from srup.training.reparameterize import branch, inner_convolutions, merged
from srup.training.validation import Validation, network_input

Criterion = Callable[[Tensor, Tensor], Tensor]  # of SR and HR
# of LR, HR, and what a teacher made of LR, N×H×W×3 bytes each
LossOf = Callable[[Tensor, Tensor, Tensor | None], Tensor]

CRITERIA: Mapping[Loss, Criterion] = {"l1": F.l1_loss, "l2": F.mse_loss}
BETAS = (0.9, 0.99)  # of Adam: its averages of the gradient and of its square


@dataclass(frozen=True)
class Step:
    """The result of one step. `kind` says what its `loss` is.

    `psnr` is scale → Y-PSNR in dB on the validation images, where this step validated. `degraded`
    is the same for each spec by which their LR was degraded.
    """

    number: int
    scale: int
    kind: Loss
    loss: float
    rate: float
    seconds: float
    psnr: Mapping[int, float] | None = None
    degraded: Mapping[str, Mapping[int, float]] | None = None


@dataclass(frozen=True)
class Recorded:
    """How far a run has come, by its state file.

    `best` is the Y-PSNR in dB of the weights that were saved, the mean over scales and specs;
    infinite where nothing was validated.
    """

    hyperparameters: Hyperparameters
    step: int
    best: float


def recorded(out: Path) -> Recorded | None:
    """How far the run whose result is `out` has come; None if there is no such run.

    Raises WeightsMismatch if its state is damaged.
    """
    path = state_path(out)
    if not path.exists():
        return None
    state = state_dicts.load(path, "cpu")
    return Recorded(Hyperparameters(**state["hyperparameters"]), state["step"], state["best"])


def check_continues(before: Recorded, hyperparameters: Hyperparameters, out: Path) -> None:
    """Raises TrainingError unless a run goes on with these hyperparameters: the same, but for more
    steps.
    """
    now = dataclasses.asdict(hyperparameters)
    earlier = dataclasses.asdict(before.hyperparameters)
    changed = [name for name in now if earlier[name] != now[name] and name != "steps"]
    path = state_path(out)
    if changed:
        raise TrainingError(
            f"{path} is of a run with other {', '.join(changed)}; give the same to go on",
            "{overwrite} begins anew",
        )
    if now["steps"] < earlier["steps"]:
        raise TrainingError(
            f"{path} is of a run of {earlier['steps']} steps",
            "give {steps} no fewer to go on",
            "{overwrite} begins anew",
        )


def resolved(hyperparameters: Hyperparameters, network: Network, device: str) -> Hyperparameters:
    """The hyperparameters with the network's own loss for None and a precision for "auto"."""
    loss, precision = hyperparameters.loss, hyperparameters.precision
    if loss is None:
        loss = cast(Loss, network.loss)
    if precision == "auto":
        precision = fast_precision(device)
    return dataclasses.replace(hyperparameters, loss=loss, precision=precision)


def fast_precision(device: str) -> TrainingPrecision:
    """bf16 where the device computes it natively, else fp32."""
    fast = False
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported()
    elif device == "cpu":
        fast = torch.cpu._is_avx512_bf16_supported()
    return "bf16" if fast else "fp32"


def train(
    network: Network,
    pairs: Pairs,
    hyperparameters: Hyperparameters,
    *,
    out: Path,
    device: str = "cpu",
    validation: Validation | None = None,
    every: int = 1000,
    half: bool = False,
    compiled: bool = False,
) -> Iterator[Step]:
    """Trains, and yields each step. `out` receives the best averaged weights as a state dict.

    Every `every` steps the averaged weights are validated and the state is saved beside `out`; a
    run that finds such a state of the same hyperparameters continues from it. With more `steps`
    than before it continues too, and the schedule is that of all steps from there on. Without
    `validation` the last weights count as the best. `half` saves in float16; `compiled` has PyTorch
    compile the network and its loss, which needs a C++ compiler. Raises TrainingError.
    """
    hyperparameters = resolved(hyperparameters, network, device)
    before = recorded(out)
    if before:
        check_continues(before, hyperparameters, out)
    torch.manual_seed(hyperparameters.seed)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    run = _Run(network, hyperparameters, compiled=compiled)
    first = run.restore(state_path(out), device) + 1
    last = hyperparameters.steps
    started = time.perf_counter()
    for number, patches in _batches(pairs, hyperparameters, first):
        scale = _scale(hyperparameters, number)
        lr, hr = _moved(patches.lr, device), _moved(patches.hr, device)
        taught = None if patches.taught is None else _moved(patches.taught, device)
        loss = run.step(number, lr, hr, taught)
        kind, rate = loss_at(hyperparameters, number), rate_at(hyperparameters, number)
        step = Step(number, scale, kind, loss, rate, time.perf_counter() - started)
        if number % every == 0 or number == last:
            measured = dict(run.save(number, out, validation, half=half))
            clean = measured.pop(CLEAN, None)
            step = dataclasses.replace(step, psnr=clean, degraded=measured or None)
        yield step
        started = time.perf_counter()


def state_path(out: Path) -> Path:
    """The state file of a run whose result is `out`, from which it resumes."""
    return out.with_name(f"{out.stem}.state.pt")


def _batches(
    pairs: Pairs, hyperparameters: Hyperparameters, first: int
) -> Iterator[tuple[int, Patches]]:
    """The patches of each step from `first` on; some are made ahead while others train."""

    degradation = hyperparameters.degrade

    def batch(step: int) -> Patches:
        patches = dataset.batch(
            pairs,
            scale=_scale(hyperparameters, step),
            size=hyperparameters.batch,
            patch=hyperparameters.patch,
            seed=(hyperparameters.seed, step),
            margin=degradations.MARGIN if degradation else 0,
        )
        if degradation:
            # numbers of their own: the patches drawn are those of a run without
            seed = (hyperparameters.seed, step, 2)
            lr = degradations.degrade_batch(patches.lr, degradation, seed=seed)
            patches = patches._replace(lr=lr)
        return patches

    if first > hyperparameters.steps:
        return
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(batch, first)
        for step in range(first, hyperparameters.steps + 1):
            patches = following.result()
            if step < hyperparameters.steps:
                following = ahead.submit(batch, step + 1)
            yield step, patches


def _moved(patches: Bytes, device: str) -> Tensor:
    return torch.from_numpy(patches).to(device)


def _scale(hyperparameters: Hyperparameters, step: int) -> int:
    """The scale that a step draws."""
    # a function of the step alone, so that a resumed run draws as the undisturbed one did
    random = np.random.default_rng((hyperparameters.seed, step, 1))
    return hyperparameters.scales[int(random.integers(len(hyperparameters.scales)))]


def _compiled(loss_of: LossOf) -> LossOf:
    """The function, compiled when it is first called. Raises TrainingError then if it cannot be."""
    from torch._dynamo.exc import TorchDynamoException  # takes a second, and few runs compile

    # Left to itself PyTorch would compile the second scale for any size, which is slower.
    compiled = torch.compile(loss_of, dynamic=False)

    def checked(lr: Tensor, hr: Tensor, taught: Tensor | None) -> Tensor:
        try:
            return compiled(lr, hr, taught)
        except TorchDynamoException as error:
            raise TrainingError(
                f"PyTorch cannot compile the network here ({reason_of(error)})",
                "leave out {compiled}",
            ) from error

    return checked


def _optimisers(
    network: Network, hyperparameters: Hyperparameters
) -> dict[str, torch.optim.Optimizer]:
    """What moves the weights, by its name in the state file."""
    kernels = []
    if hyperparameters.optimiser == "muon":
        kernels = [convolution.weight for convolution in inner_convolutions(network)]
    muons = set(map(id, kernels))
    others = [weights for weights in network.parameters() if id(weights) not in muons]
    adam = torch.optim.Adam(others, lr=hyperparameters.rate, betas=BETAS, fused=True)
    if not kernels:
        return {"optimiser": adam}
    return {"optimiser": adam, "muon": Muon(kernels, hyperparameters.rate)}


class _Run:
    """What changes while training: weights, their average, the optimisers, the best PSNR so far.

    `plain` is the network as it is used; `network` is the one trained, with branches if the
    hyperparameters say so.
    """

    def __init__(self, plain: Network, hyperparameters: Hyperparameters, *, compiled: bool) -> None:
        self.plain, self.hyperparameters = plain.eval(), hyperparameters
        self.compiled = compiled
        self.losses: dict[tuple[int, Loss], LossOf] = {}
        self.best = -math.inf
        self.average = {}
        for name, tensor in plain.state_dict().items():
            self.average[name] = tensor.detach().clone()
        # branches change the names of tensors, and the plain network is what is saved
        self.network = copy.deepcopy(plain).train()
        if hyperparameters.wider:
            branch(self.network, hyperparameters.wider)
        self.optimisers = _optimisers(self.network, hyperparameters)

    def step(self, number: int, lr: Tensor, hr: Tensor, taught: Tensor | None) -> float:
        """Trains on a batch, N×H×W×3 bytes each; its loss. Raises TrainingError if that is not
        finite.
        """
        # computed for every step rather than stepped, so that resuming needs no schedule state
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate_at(self.hyperparameters, number)
        loss = self._loss(number, lr, hr, taught)
        self.network.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.hyperparameters.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.hyperparameters.clip)
        for optimiser in self.optimisers.values():
            optimiser.step()
        self._update_average(number)
        # once it is NaN every weight is, and the average follows
        if not math.isfinite(value := loss.item()):
            raise TrainingError(f"the loss is {value} at step {number}", "take a smaller {rate}")
        return value

    def _loss(self, number: int, lr: Tensor, hr: Tensor, taught: Tensor | None) -> Tensor:
        scale, loss = _scale(self.hyperparameters, number), loss_at(self.hyperparameters, number)
        if (scale, loss) not in self.losses:
            self.losses[scale, loss] = self._loss_at(scale, CRITERIA[loss])
        return self.losses[scale, loss](lr, hr, taught)

    def _loss_at(self, scale: int, criterion: Criterion) -> LossOf:
        """The loss at a scale; compiled, if it is to be, when it is first called."""
        network, share = self.network.at(scale), self.hyperparameters.distil

        def loss_of(lr: Tensor, hr: Tensor, taught: Tensor | None) -> Tensor:
            with self._autocast(lr):
                sr = network(network_input(lr)).float()
            loss = criterion(sr, network_input(hr))
            if taught is not None:
                loss = (1 - share) * loss + share * criterion(sr, network_input(taught))
            return loss

        return _compiled(loss_of) if self.compiled else loss_of

    def _autocast(self, lr: Tensor) -> torch.autocast:
        half = self.hyperparameters.precision == "bf16"
        return torch.autocast(lr.device.type, torch.bfloat16, enabled=half)

    def _update_average(self, number: int) -> None:
        """Moves the average towards the weights: faster in the first steps, which are far off."""
        decay = min(self.hyperparameters.decay, (1 + number) / (10 + number))
        for name, tensor in merged(self.network, list(self.average)).items():
            self.average[name].lerp_(tensor, 1 - decay)

    def save(
        self, number: int, out: Path, validation: Validation | None, *, half: bool
    ) -> dict[str, dict[int, float]]:
        """Validates, writes the weights if they are the best, and the state.

        The best have the highest mean over specs and scales. Returns spec → scale → Y-PSNR.
        """
        measured = self._validate(validation) if validation else {}
        values = [value for by_scale in measured.values() for value in by_scale.values()]
        # without validation the last weights are the best
        figure = sum(values) / len(values) if values else math.inf
        if figure >= self.best:
            self.best = figure
            self._save_weights(out, half=half)
        state = {
            "hyperparameters": dataclasses.asdict(self.hyperparameters),
            "step": number,
            "network": self.network.state_dict(),
            "average": self.average,
            "best": self.best,
            **{name: each.state_dict() for name, each in self.optimisers.items()},
        }
        # The state comes after the weights: a run killed in between does that stretch again.
        with replacing(state_path(out)) as temporary:
            torch.save(state, temporary)
        return measured

    def _save_weights(self, out: Path, *, half: bool) -> None:
        weights = {}
        for name, tensor in self.average.items():
            weights[name] = (tensor.half() if half else tensor).cpu().contiguous()
        with replacing(out) as temporary:
            torch.save(weights, temporary)

    def _validate(self, validation: Validation) -> dict[str, dict[int, float]]:
        self.plain.load_state_dict(self.average)
        measured: dict[str, dict[int, float]] = {}
        for spec in validation.specs:
            measured[spec] = {}
            for scale in self.hyperparameters.distinct_scales:
                measured[spec][scale] = validation.psnr(self.plain.at(scale), spec)
        return measured

    def restore(self, path: Path, device: str) -> int:
        """Takes over the state in `path`; the number of steps done, 0 if there is no such file.

        Raises WeightsMismatch if it is damaged.
        """
        if not path.exists():
            return 0
        state = state_dicts.load(path, device)
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        # States of earlier versions say otherwise. Loading moves what it counts to a GPU by this.
        for group in state["optimiser"]["param_groups"]:
            group["fused"] = True
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state[name])
        self.best = state["best"]
        return int(state["step"])
