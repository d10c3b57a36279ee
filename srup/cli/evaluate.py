"""srup evaluate: networks on benchmark images, beside what their papers print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from srup.cli import console, options
from srup.errors import SrupError, UsageError
from srup.evaluation import benchmark
from srup.evaluation.benchmark import BICUBIC, STATED, Case, Evaluation, ModelResult
from srup.files import writing
from srup.inference.run_options import RunOptions
from srup.isolate import run_isolated
from srup.models import registry, routing, weights
from srup.report import Report, Row
from srup.report.plot import Point, bubbles
from srup.resize import Edges

EVALUATION_COLUMNS = {
    "PSNR": ".2f",
    "SSIM": ".4f",
    "paper PSNR": ".2f",
    "paper SSIM": ".4f",
    "Δ PSNR": "+.2f",
    "Δ SSIM": "+.4f",
    "s/image": ".3f",
    "MB": ",.0f",
    "K param.": ",.0f",
}

MEASURED = "s/image: the mean. MB: the most memory that a process of the network's own took, with Python and torch."


@click.command("evaluate")
@click.argument("hr", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help=f"Repeat for several.  [default: {registry.DEFAULT}]",
)
@click.option("-s", "--scale", type=click.IntRange(2, 8), default=4, show_default=True)
@click.option(
    "--lr",
    type=click.Path(path_type=Path, file_okay=False),
    help="LR images, in place of HR shrunk by imresize.",
)
@click.option(
    "--protocol",
    type=click.Choice(list(STATED)),
    default="paper",
    show_default=True,
    help="What is compared.",
)
@click.option(
    "--border", type=click.IntRange(0), help="Pixels left out at each border.  [default: the scale]"
)
@options.edges
@click.option(
    "--set",
    "images",
    metavar="NAME",
    help="Whose published figures to show.  [default: as the path says, Set5]",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the results, in a folder for each network.",
)
@click.option("--each", is_flag=True, help="A row for each image too.")
@options.weights
@options.run_options("fp32")
@options.report_output
@options.verbose
def command(
    hr: Path,
    models: tuple[str, ...],
    scale: int,
    lr: Path | None,
    protocol: str,
    border: int | None,
    edges: Edges,
    images: str | None,
    save: Path | None,
    each: bool,
    weights: str | None,
    run_options: RunOptions,
    report_output: console.ReportOutput,
    verbose: bool,
) -> int:
    """Score networks on a folder of HR images, bicubic first.

    HR is cropped to multiples of the scale and shrunk by MATLAB's imresize, enlarged again, and scored; published figures stand
    beside where the set is known. Every network runs in a process of its own: its memory is the most this took.

    \b
    srup evaluate Set5/HR -m imdn -m lesrcnn -s 4 -o set5.html
    srup evaluate Set14/HR -m imdn --lr Set14/LR_x4
    """
    console.start_logging(verbose)
    plan = Evaluation(BICUBIC, scale, protocol, border, edges, save, None, run_options)
    evaluations = _evaluations(plan, models, weights, given_lr=lr is not None)
    todo, alone = benchmark.cases(hr, lr)
    for path in alone:
        console.warning(f"{path} has no partner and was left out")
    name = images or benchmark.set_of(hr)
    results, errors = _run(evaluations, todo, name)
    rows = [row for result in results for row in (_mean(result), *_images(result, each))]
    report = Report(
        f"{hr} ×{scale}, {len(todo)} image{'s' * (len(todo) > 1)}",
        [*rows, *errors],
        [
            benchmark.said(evaluations[0], given_lr=lr is not None),
            MEASURED,
            *_computed(results),
            *_notes(name, protocol, results),
            *(f"Without a partner: {path}" for path in alone),
        ],
        EVALUATION_COLUMNS,
        heading="network",
        figures=_figures(results),
    )
    report_output.show(report)
    return 1 if any(row.error for row in report.rows) else 0


def _evaluations(
    plan: Evaluation, models: tuple[str, ...], weights: str | None, *, given_lr: bool
) -> list[Evaluation]:
    """Bicubic and the networks asked for, each once. Raises UsageError, UnknownModel, ScaleError before anything runs."""
    if weights and len(models) > 1:
        raise UsageError("--weights holds one network; name one with -m")
    asked = models or (() if plan.protocol == benchmark.Y_ONLY else (registry.DEFAULT,))
    evaluations = []
    for name in dict.fromkeys((BICUBIC, *asked)):
        own = Path(weights) if weights and name != BICUBIC else None
        evaluation = replace(plan, model=name, save=plan.save and plan.save / name, weights=own)
        benchmark.check(evaluation, given_lr=given_lr)
        evaluations.append(evaluation)
    for evaluation in evaluations:
        if evaluation.save:
            with writing(evaluation.save):
                evaluation.save.mkdir(parents=True, exist_ok=True)
    return evaluations


def _run(
    evaluations: list[Evaluation], todo: Sequence[Case], images: str | None
) -> tuple[list[ModelResult], list[Row]]:
    """What came of each network; and a row for each that could not be run, where there are others."""
    results, errors = [], []
    for evaluation in evaluations:
        try:
            _fetch(evaluation)
            with console.progress(evaluation.model) as progress:
                outcomes = []
                for outcome in run_isolated(evaluation.model, benchmark.outcomes, evaluation, todo):
                    outcomes.append(outcome)
                    progress(len(outcomes), len(todo))
        except SrupError as error:
            if len(evaluations) <= 2:  # bicubic and one
                raise
            errors.append(Row(evaluation.model, error=f"{evaluation.model}: {error}"))
        else:
            results.append(
                ModelResult(
                    evaluation,
                    outcomes,
                    benchmark.published(evaluation.model, images, evaluation.scale),
                )
            )
    return results, errors


def _fetch(evaluation: Evaluation) -> None:
    if evaluation.model == BICUBIC or evaluation.weights:
        return
    for row in routing.route(evaluation.model, evaluation.scale):
        with console.download(row.file) as progress:
            weights.verified(row, progress=progress)


def _mean(result: ModelResult) -> Row:
    """The line of a network: what was measured, what was published, the difference."""
    name = result.evaluation.model
    if not any(outcome.score for outcome in result.outcomes):
        return Row(name, error=f"{name}: none of the images could be scored")
    measured, told = result.score, result.published or (None, None)
    return Row(
        name,
        {
            "PSNR": measured.psnr,
            "SSIM": measured.ssim,
            "paper PSNR": told[0],
            "paper SSIM": told[1],
            "Δ PSNR": _difference(measured.psnr, told[0]),
            "Δ SSIM": _difference(measured.ssim, told[1]),
            "s/image": result.seconds,
            "MB": result.peak and result.peak / 1e6,
            "K param.": _parameters(result.evaluation) and _parameters(result.evaluation) / 1e3,
        },
    )


def _difference(measured: float, published: float | None) -> float | None:
    return None if published is None else measured - published


def _parameters(evaluation: Evaluation) -> int:
    return (
        0
        if evaluation.model == BICUBIC
        else routing.route(
            evaluation.model, evaluation.scale, own_weights=bool(evaluation.weights)
        )[-1].parameters
    )


def _images(result: ModelResult, each: bool) -> Iterator[Row]:
    """A row for every image, or only for those that failed."""
    for outcome in result.outcomes:
        name = f"{result.evaluation.model}, {outcome.image}"
        if outcome.error:
            yield Row(name, error=outcome.error)
        elif each and outcome.score:
            values = {
                "PSNR": outcome.score.psnr,
                "SSIM": outcome.score.ssim,
                "s/image": outcome.seconds,
            }
            yield Row(name, {**values, "MB": outcome.peak and outcome.peak / 1e6})


def _computed(results: Sequence[ModelResult]) -> Iterator[str]:
    """What the networks were computed by; one line where all are alike."""
    by = {
        each.evaluation.model: each.outcomes[0].computed_by
        for each in results
        if each.outcomes and each.outcomes[0].computed_by
    }
    if len(set(by.values())) == 1:
        yield f"Computed by {next(iter(by.values()))}."
    elif by:
        each = "; ".join(f"{name}: {computed_by}" for name, computed_by in by.items())
        yield f"Computed by {each}."


def _notes(images: str | None, protocol: str, results: Sequence[ModelResult]) -> Iterator[str]:
    if not any(result.published for result in results):
        return
    yield f"Published: as the papers print it for {images} (srup models info NAME)."
    if protocol != benchmark.Y_ONLY and results[0].evaluation.model == BICUBIC:
        yield "The papers' bicubic figures were computed from Y alone: --protocol y-only."
    if protocol != benchmark.TRUNCATED and any(
        result.evaluation.model.startswith("lesrcnn") for result in results
    ):
        yield "LESRCNN's authors truncated results to bytes and rounded Y: --protocol truncated."


def _figures(results: Sequence[ModelResult]) -> list[str]:
    points = [
        Point(
            result.evaluation.model,
            result.seconds,
            result.score.psnr,
            _parameters(result.evaluation),
        )
        for result in results
        if result.evaluation.model != BICUBIC and math.isfinite(result.score.psnr)
    ]
    return [bubbles(points, "seconds for an image", "PSNR in dB")] if len(points) > 1 else []
