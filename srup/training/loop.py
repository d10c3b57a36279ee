"""Training and fine-tuning: a generator of steps that can be killed at any of them and goes on exactly.

The batch of a step is a function of (seed, step), the learning rate a function of the step; weights, their average and the
optimiser are in the checkpoint. Nothing else carries over, so a resumed run is the undisturbed one.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from srup.errors import TrainingError
from srup.evaluation.metrics import luma, psnr
from srup.files import replacing
from srup.images import read_image
from srup.networks.base import Network
from srup.resize import imresize
from srup.training import dataset
from srup.training.reparameterize import branch, merged

LOSSES = {"l1": F.l1_loss, "l2": F.mse_loss}
BETAS = (0.9, 0.99)  # of Adam: its averages of the gradient and of its square
SCHEDULES = ("cosine", "step", "constant")


@dataclass(frozen=True)
class Hyperparameters:
    """What determines a run, besides the data and the first weights; a resumed run must have the same.

    Each step draws one of `scales`; a scale listed twice is drawn twice as often. `patch` is the side of an LR patch.
    `rate` is the highest learning rate, reached after `warm_up` steps, `last_rate` the lowest that a cosine ends at. The
    last `finish` (a share of the steps) are trained with L2. `decay` is that of the running average of the weights, which
    is validated and saved. `distil` is the teacher's share of the loss. `wider` > 0 trains with branches
    (networks.branches); `clip` > 0 bounds the norm of the gradient, which keeps high rates from running away.
    """

    scales: tuple[int, ...]
    steps: int
    batch: int = 16
    patch: int = 48
    rate: float = 1e-3
    last_rate: float = 1e-5
    warm_up: int = 0
    schedule: str = "cosine"
    loss: str = "l1"
    finish: float = 0.0
    decay: float = 0.999
    precision: str = "fp32"
    distil: float = 0.0
    wider: int = 0
    clip: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """What one step came to; `psnr` is scale → dB of Y on the validation images, where this step validated."""

    number: int
    scale: int
    loss: float
    rate: float
    seconds: float
    psnr: Mapping[int, float] | None = None


def train(
    network: Network,
    pairs: dataset.Pairs,
    hyper: Hyperparameters,
    *,
    out: Path,
    device: str = "cpu",
    teachers: Mapping[int, Network] | None = None,
    validation: Validation | None = None,
    every: int = 1000,
    half: bool = False,
) -> Iterator[Step]:
    """Trains, and yields each step. `out` receives the best averaged weights (the last, without validation) as a state dict.

    Every `every` steps the averaged weights are validated and the whole state is saved beside `out`; a run that finds such a state
    of the same hyperparameters goes on from it. Raises TrainingError.
    """
    torch.manual_seed(hyper.seed)
    run = _Run(network.to(device, memory_format=torch.channels_last), hyper)  # type: ignore[call-overload]
    first = run.restore(state_path(out), device)
    draw = partial(dataset.batch, pairs, size=hyper.batch, patch=hyper.patch)
    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(draw, scale=_scale(hyper, first + 1), seed=(hyper.seed, first + 1))
        for number in range(first + 1, hyper.steps + 1):
            started = time.perf_counter()
            lr, hr = (_tensor(array, device) for array in following.result())
            if number < hyper.steps:
                following = ahead.submit(
                    draw, scale=_scale(hyper, number + 1), seed=(hyper.seed, number + 1)
                )
            scale = _scale(hyper, number)
            loss = run.step(number, scale, lr, hr, (teachers or {}).get(scale))
            step = Step(number, scale, loss, rate(hyper, number), time.perf_counter() - started)
            if number % every == 0 or number == hyper.steps:
                step = dataclasses.replace(step, psnr=run.save(number, out, validation, half=half))
            yield step


def rate(hyper: Hyperparameters, step: int) -> float:
    """The learning rate of a step: linear up to the end of the warm-up, and from there by the schedule.

    The schedules: constant, halved at each quarter of the run, or a cosine from `rate` to `last_rate`.
    """
    done = (step - 1) / hyper.steps
    rise = min(1.0, step / hyper.warm_up) if hyper.warm_up else 1.0
    if hyper.schedule == "step":
        return rise * hyper.rate * 0.5 ** math.floor(done * 4)
    if hyper.schedule == "cosine":
        return rise * (
            hyper.last_rate + (hyper.rate - hyper.last_rate) * (1 + math.cos(math.pi * done)) / 2
        )
    return rise * hyper.rate


def loss_name(hyper: Hyperparameters, step: int) -> str:
    """The loss of a step: L2 in the share `finish` of the run, `loss` before."""
    return "l2" if step > hyper.steps * (1 - hyper.finish) else hyper.loss


def state_path(out: Path) -> Path:
    """Where a run whose result is `out` keeps what it needs to go on."""
    return out.with_name(f"{out.stem}.state.pt")


def _scale(hyper: Hyperparameters, step: int) -> int:
    return hyper.scales[
        int(np.random.default_rng((hyper.seed, step, 1)).integers(len(hyper.scales)))
    ]


def _tensor(pixels: NDArray[Any], device: str) -> Tensor:
    """N×H×W×3 bytes → N×3×H×W in [0, 1], channels last in memory."""
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255


class _Run:
    """What changes while training: the weights, their running average, the optimiser, the best figure so far.

    `plain` is the network as it is used; `network` the one trained, with branches if the hyperparameters say so.
    """

    def __init__(self, plain: Network, hyper: Hyperparameters) -> None:
        self.plain, self.hyper, self.best = plain.eval(), hyper, -math.inf
        self.names = list(plain.state_dict())
        self.average = {
            name: tensor.detach().clone() for name, tensor in plain.state_dict().items()
        }
        self.network = copy.deepcopy(plain).train()
        if hyper.wider:
            branch(self.network, hyper.wider)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=hyper.rate, betas=BETAS)

    def step(
        self, number: int, scale: int, lr: Tensor, hr: Tensor, teacher: Network | None
    ) -> float:
        for group in self.optimiser.param_groups:
            group["lr"] = rate(self.hyper, number)
        criterion = LOSSES[loss_name(self.hyper, number)]
        with torch.autocast(lr.device.type, torch.bfloat16, enabled=self.hyper.precision == "bf16"):
            sr = self.network.at(scale)(lr).float()
            loss = criterion(sr, hr)
            if teacher is not None:
                with torch.no_grad():
                    taught = teacher(lr).float()
                loss = (1 - self.hyper.distil) * loss + self.hyper.distil * criterion(sr, taught)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if self.hyper.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.hyper.clip)
        self.optimiser.step()
        self._follow(number)
        if not math.isfinite(value := loss.item()):
            raise TrainingError(
                f"the loss is {value} at step {number}; train with a smaller --rate"
            )
        return value

    def _follow(self, number: int) -> None:
        """The average follows the weights, faster in the first steps, when they are far from anything worth averaging."""
        decay = min(self.hyper.decay, (1 + number) / (10 + number))
        for name, tensor in merged(self.network, self.names).items():
            self.average[name].lerp_(tensor, 1 - decay)

    def save(
        self, number: int, out: Path, validation: Validation | None, *, half: bool
    ) -> dict[int, float] | None:
        measured = self._validate(validation) if validation else None
        figure = sum(measured.values()) / len(measured) if measured else math.inf
        if figure >= self.best:
            self.best = figure
            weights = {
                name: tensor.half() if half else tensor for name, tensor in self.average.items()
            }
            with replacing(out) as temporary:
                torch.save(
                    {name: tensor.cpu().contiguous() for name, tensor in weights.items()}, temporary
                )
        state = {
            "hyperparameters": dataclasses.asdict(self.hyper),
            "step": number,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "best": self.best,
        }
        with replacing(state_path(out)) as temporary:
            torch.save(state, temporary)
        return measured

    def _validate(self, validation: Validation) -> dict[int, float]:
        self.plain.load_state_dict(self.average)
        return {
            scale: validation.psnr(self.plain.at(scale))
            for scale in dict.fromkeys(self.hyper.scales)
        }

    def restore(self, path: Path, device: str) -> int:
        """The number of steps done by the state in `path`, which becomes this one's; 0 without one."""
        if not path.exists():
            return 0
        state = torch.load(path, map_location=device, weights_only=True)
        hyper = Hyperparameters(**state["hyperparameters"])
        if hyper != self.hyper:
            names = [field.name for field in dataclasses.fields(Hyperparameters)]
            changed = [name for name in names if getattr(hyper, name) != getattr(self.hyper, name)]
            raise TrainingError(
                f"{path} is of a run with other {', '.join(changed)}; give the same to go on, or -y to begin anew"
            )
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.best = state["best"]
        return int(state["step"])


class Validation:
    """HR images, shrunk once per scale; measures Y-PSNR (border = scale, result rounded to bytes) of bicubic and of a network."""

    def __init__(self, paths: Sequence[Path], scales: Sequence[int]) -> None:
        self.pairs: dict[int, list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]] = {
            scale: [] for scale in scales
        }
        for path in paths:
            hr = read_image(path).eight().pixels
            for scale in scales:
                height, width = (length // scale * scale for length in hr.shape[:2])
                cropped = np.ascontiguousarray(
                    np.broadcast_to(hr[:height, :width], (height, width, 3))
                )
                self.pairs[scale].append((imresize(cropped, scale=1 / scale), cropped))

    def bicubic(self, scale: int) -> float:
        return self._mean(scale, lambda lr: imresize(lr, scale=scale))

    def psnr(self, network: Network) -> float:
        device = next(network.parameters()).device.type

        def enlarge(lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
            sr = network(_tensor(lr[None], device))[0].permute(1, 2, 0)
            return np.asarray((sr * 255).round().clamp(0, 255).byte().cpu().numpy())

        with torch.inference_mode():
            return self._mean(network.scale, enlarge)

    def _mean(self, scale: int, enlarge: Any) -> float:
        figures = [psnr(luma(enlarge(lr)), luma(hr), border=scale) for lr, hr in self.pairs[scale]]
        return sum(figures) / len(figures)
