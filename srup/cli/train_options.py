"""The options of srup train: its hyperparameters, and the files of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srup.cli import options
from srup.cli.types import Choice, NetworkName, Scale
from srup.errors import TrainingError
from srup.files import check_folder
from srup.training.degradations import DEGRADATIONS, Degradation
from srup.training.hyperparameters import (
    LOSSES,
    OPTIMISERS,
    SCHEDULES,
    TRAINING_PRECISIONS,
    Hyperparameters,
)

if TYPE_CHECKING:
    pass


def _degradation(_: click.Context, __: click.Parameter, value: str | None) -> Degradation | None:
    return None if value is None else DEGRADATIONS[value]


hyperparameters = options.gathered(
    "hyperparameters",
    Hyperparameters,
    (
        click.option(
            "-s",
            "--scale",
            "scales",
            type=Scale(1),
            multiple=True,
            help="Scale to train; repeat for several. One that is given twice is drawn twice as"
            " often.  [default: all the network has]",
        ),
        click.option(
            "--steps",
            type=click.IntRange(1),
            default=100_000,
            show_default=True,
            help="Steps to train.",
        ),
        click.option(
            "--batch",
            type=click.IntRange(1),
            default=16,
            show_default=True,
            help="Patches in a step.",
        ),
        click.option(
            "--patch",
            type=click.IntRange(8),
            default=48,
            show_default=True,
            help="Side of an LR patch in pixels.",
        ),
        click.option(
            "--rate",
            type=float,
            default=1e-3,
            show_default=True,
            help="Highest learning rate.",
        ),
        click.option(
            "--optimiser",
            type=Choice(OPTIMISERS),
            default="adam",
            show_default=True,
            help="How steps are taken; muon: inner kernels in all directions alike.",
        ),
        click.option(
            "--last-rate",
            type=float,
            default=1e-5,
            show_default=True,
            help="Learning rate at the end of a cosine.",
        ),
        click.option(
            "--warm-up",
            type=click.IntRange(0),
            default=0,
            help="Steps in which the learning rate rises from 0 to --rate.",
        ),
        click.option(
            "--schedule",
            type=Choice(SCHEDULES),
            default="cosine",
            show_default=True,
            help="How the learning rate falls; step halves it at each quarter of the run.",
        ),
        click.option(
            "--loss",
            type=Choice(LOSSES),
            help="Loss to train with.  [default: the network's own]",
        ),
        click.option(
            "--finish",
            type=click.FloatRange(0, 1),
            default=0.0,
            help="Share of the steps, at the end, that are trained with L2.",
        ),
        click.option(
            "--decay",
            type=click.FloatRange(0, 1),
            default=0.999,
            show_default=True,
            help="Decay of the running average of the weights, which is what is saved.",
        ),
        click.option(
            "--wider",
            type=click.IntRange(0),
            default=0,
            help="Train with branches so many times as wide, merged when saved.",
        ),
        click.option(
            "--clip",
            type=click.FloatRange(0),
            default=0.0,
            help="Bound of the norm of the gradient.  [default: no bound]",
        ),
        click.option(
            "--teacher",
            "teachers",
            type=NetworkName(),
            multiple=True,
            metavar="NAME",
            help="Distil from a larger network; repeat for the mean of several.",
        ),
        click.option(
            "--distil",
            type=click.FloatRange(0, 1),
            default=0.5,
            show_default=True,
            help="The teachers' share of the loss.",
        ),
        click.option(
            "--precision",
            type=Choice(TRAINING_PRECISIONS),
            default="auto",
            show_default=True,
            help="Precision to compute in; auto: bf16 where the device is fast at it.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0),
            default=0,
            show_default=True,
            help="Seed of first weights and of the patches drawn.",
        ),
        click.option(
            "--degrade",
            type=Choice(list(DEGRADATIONS)),
            callback=_degradation,
            help="Make LR patches worse; photo: as cameras and the web do.",
        ),
    ),
)


@dataclass(frozen=True)
class Files:
    """The files of a run: the weights at `output`, and beside them its state, log and plot.

    They are written every `every` steps; `half` saves the weights in float16.
    """

    output: Path
    every: int
    half: bool
    overwrite: bool

    @property
    def log(self) -> Path:
        """One JSON object a line: step, kind (of loss), loss, rate, seconds, psnr by scale; and
        with degraded LR, degraded: psnr by spec and scale.
        """
        return self.output.with_name(f"{self.output.stem}.log.jsonl")

    @property
    def plot(self) -> Path:
        """The log as a picture."""
        return self.output.with_suffix(".png")

    def draw(self) -> None:
        """Draws the log to `plot`."""
        from srup.training.training_plot import draw

        draw([json.loads(line) for line in self.log.read_text().splitlines()], self.plot)

    def check(self) -> None:
        """Raises TrainingError for a file that no run has made, WriteError if none can be made."""
        from srup.training.loop import state_path

        check_folder(self.output)
        if self.overwrite or state_path(self.output).exists():
            return
        # a run that was killed early may have left its log
        for path in (self.output, self.plot):
            if path.exists():
                raise TrainingError(
                    f"{path} exists and has no state to resume from",
                    "{overwrite} replaces it",
                    "{output} names another",
                )

    def clear(self) -> None:
        """Removes an earlier run, if it may be replaced."""
        from srup.training.loop import state_path

        if self.overwrite:
            for path in (self.output, self.log, state_path(self.output)):
                path.unlink(missing_ok=True)


files = options.gathered(
    "files",
    Files,
    (
        click.option(
            "-o",
            "--output",
            required=True,
            type=click.Path(path_type=Path, dir_okay=False),
            help="File for the weights, as a state dict.",
        ),
        click.option(
            "--every",
            type=click.IntRange(1),
            default=1000,
            show_default=True,
            help="Steps between validations and checkpoints.",
        ),
        click.option("--half", is_flag=True, help="Save the weights in float16."),
        options.overwrite,
    ),
)
