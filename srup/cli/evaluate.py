"""srup evaluate: networks on benchmark images, beside the figures that their papers print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from srup.cli import completion, console, options
from srup.cli.commands import Command
from srup.cli.failures import failures_as_rows
from srup.cli.types import Choice
from srup.errors import UsageError
from srup.evaluation import benchmark
from srup.evaluation.benchmark import (
    BICUBIC,
    COMPARED,
    BenchmarkProtocol,
    Case,
    Evaluation,
    ModelResult,
    Outcome,
)
from srup.evaluation.pairing import called
from srup.files import writing
from srup.images.degrade import CLEAN, KINDS, known
from srup.inference.run_options import RunOptions
from srup.isolate import run_isolated
from srup.models import choosing, registry, routing, weights
from srup.models.registry import AUTO
from srup.report import Report, Row, Value
from srup.report.lines import line_plot
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
DEGRADED_BY = "degraded by"  # a column where LR is degraded
MEASURED_NOTE = (
    "s/image: the mean. MB: the most memory that a process of the network's own took, "
    "with Python and torch."
)


def _template(
    scale: int,
    protocol: BenchmarkProtocol,
    border: int | None,
    edges: Edges,
    save: Path | None,
    degradations: tuple[str, ...],
) -> Evaluation:
    """How each network is evaluated, with bicubic in its place."""
    each_once = tuple(dict.fromkeys(degradations)) or (CLEAN,)
    return Evaluation(BICUBIC, scale, protocol, border, edges, save, degradations=each_once)


evaluation_options = options.gathered(
    "template",
    _template,
    (
        options.whole_scale(2, 8, "How many times HR is shrunk and enlarged."),
        click.option(
            "--protocol",
            type=Choice(list(COMPARED)),
            default="paper",
            show_default=True,
            help="Which values are compared: Y as in papers, Y rounded, or colours.",
        ),
        click.option(
            "--border",
            type=click.IntRange(0),
            help="Pixels left out at each border.  [default: the scale]",
        ),
        options.edges,
        click.option(
            "--save",
            type=click.Path(path_type=Path, file_okay=False),
            help="Keep the results in this folder, one inside it for each network.",
        ),
        click.option(
            "--degrade",
            "degradations",
            multiple=True,
            metavar="SPEC",
            shell_complete=completion.degradations,
            help=f"Make LR worse before it is enlarged; repeat to compare: {known()}.",
        ),
    ),
)


@click.command("evaluate", cls=Command)
@click.argument("hr", type=click.Path(path_type=Path, file_okay=False))
@options.models(f"Network to evaluate; repeat for several.  [default: {registry.DEFAULT}]", AUTO)
@click.option(
    "--lr",
    type=click.Path(path_type=Path, file_okay=False),
    help="LR images, in place of HR shrunk by imresize.",
)
@evaluation_options
@click.option(
    "--set",
    "data_set",
    metavar="NAME",
    help="Data set whose published figures are shown.  [default: as in the path, such as Set5]",
)
@click.option("--per-image", is_flag=True, help="Add a row for each image.")
@options.weights
@options.run_options("fp32")
@options.report_output
@options.verbose
def command(
    hr: Path,
    models: tuple[str, ...],
    lr: Path | None,
    template: Evaluation,
    data_set: str | None,
    per_image: bool,
    weights: str | None,
    run_options: RunOptions,
    report_output: console.ReportOutput,
    verbose: bool,
) -> int:
    """Score networks on a folder of HR images, bicubic first.

    HR is cropped to multiples of the scale and shrunk by MATLAB's imresize, enlarged again, and
    scored; published figures stand beside where the set is known. Every network runs in a process
    of its own, so that its memory is measured separately.

    \b
    srup evaluate Set5/HR -m imdn -m lesrcnn -s 4 -o set5.html
    srup evaluate Set14/HR -m imdn --lr Set14/LR_x4
    srup evaluate Kodak --degrade clean --degrade jpeg:75 --degrade noise:5
    """
    console.start_logging(verbose)
    given_lr = lr is not None
    template = replace(template, run_options=run_options, overwrite=report_output.overwrite)
    todo, unpaired = benchmark.cases(hr, lr)
    evaluations = _evaluations(template, models, weights, todo, given_lr=given_lr)
    for path in unpaired:
        console.warning(f"{path} has no partner and was left out")
    data_set = data_set or benchmark.set_of(hr)
    results, rows = _run(evaluations, todo, data_set, per_image=per_image)
    notes = [benchmark.protocol_note(evaluations[0], given_lr=given_lr), MEASURED_NOTE]
    notes += [*_computed_by(results), *_notes(data_set, results)]
    notes += [f"Without a partner: {path}" for path in unpaired]
    title = f"{called(hr)}, enlarged {template.scale} times"
    summary: dict[str, Value] = {"HR": str(hr), "images": len(todo)}
    columns, figures = EVALUATION_COLUMNS, _figures(results)
    report_output.show(
        Report(title, rows, notes, columns, heading="network", figures=figures, summary=summary)
    )
    return 1 if any(row.error for row in rows) else 0


def _evaluations(
    template: Evaluation,
    models: Sequence[str],
    weights: str | None,
    todo: Sequence[Case],
    *,
    given_lr: bool,
) -> list[Evaluation]:
    """Bicubic and the networks asked for, each once; folders for their results are made.

    Raises UsageError, UnknownModel, ScaleError, AlreadyExists before anything runs.
    """
    if weights and len(models) > 1:
        raise UsageError("a file of weights holds one network", "name one with {models}")
    if not models and template.protocol != benchmark.Y_ONLY:
        models = (registry.DEFAULT,)
    evaluations = []
    # bicubic first: what every network is compared with
    for name in dict.fromkeys((BICUBIC, *models)):
        evaluation = replace(template, model=name)
        if template.save:
            evaluation = replace(evaluation, save=template.save / name)
        if weights and name != BICUBIC:
            evaluation = replace(evaluation, weights=Path(weights))
        benchmark.check(evaluation, given_lr=given_lr)
        benchmark.check_saved(evaluation, todo)
        evaluations.append(evaluation)
    # only when all of them are known to be sound
    for evaluation in evaluations:
        for folder in evaluation.folders().values():
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
    return evaluations


def _run(
    evaluations: Sequence[Evaluation],
    todo: Sequence[Case],
    data_set: str | None,
    *,
    per_image: bool,
) -> tuple[list[ModelResult], list[Row]]:
    """The results of each network under each degradation, and the rows of the report.

    A network that cannot be run becomes a row, last, unless it is the only one beside bicubic.
    """
    results: list[ModelResult] = []
    rows: list[Row] = []
    failed: list[Row] = []
    # with a single network its error is the command's, with the exit code of its kind
    alone = len(evaluations) <= 2
    for evaluation in evaluations:
        name = evaluation.model
        if alone:
            results += _results(evaluation, todo, data_set)
            continue
        with failures_as_rows(failed, name, label=name):
            results += _results(evaluation, todo, data_set)
    degradations = evaluations[0].degradations
    # what is compared stands together: all networks under one degradation
    results.sort(key=lambda result: degradations.index(result.degradation))
    for result in results:
        rows += [_mean_row(result), *_image_rows(result, per_image=per_image)]
    return results, [*rows, *failed]


def _results(
    evaluation: Evaluation, todo: Sequence[Case], data_set: str | None
) -> list[ModelResult]:
    """Runs a network in a process of its own; its result under each degradation."""
    _fetch(evaluation)
    name, degradations = evaluation.model, evaluation.degradations
    outcomes: list[Outcome] = []
    with console.progress(name) as progress:
        for outcome in run_isolated(name, benchmark.outcomes, evaluation, todo):
            outcomes.append(outcome)
            progress(len(outcomes), len(todo) * len(degradations))
    results = []
    for spec in degradations:
        own = [outcome for outcome in outcomes if outcome.degradation == spec]
        # papers print figures of clean LR
        figures = benchmark.published(name, data_set, evaluation.scale) if spec == CLEAN else None
        results.append(ModelResult(evaluation, own, figures, spec))
    return results


def _fetch(evaluation: Evaluation) -> None:
    """Downloads the weights first, where a progress bar can be shown."""
    if evaluation.model == BICUBIC or evaluation.weights:
        return
    for name in choosing.networks_of(evaluation.model):
        for row in routing.route(name, evaluation.scale):
            with console.download(row.file) as progress:
                weights.verified(row, progress=progress)


def _mean_row(result: ModelResult) -> Row:
    """The row of a network: means as measured, as published, and the difference."""
    name = result.evaluation.model
    if not any(outcome.score for outcome in result.outcomes):
        error = f"{name}: none of the images could be scored"
        return Row(name, _degradation(result), error=error)
    measured, (psnr, ssim) = result.score, result.published or (None, None)
    parameters = _parameters(result.evaluation)
    values: dict[str, Value] = {
        **_degradation(result),
        "PSNR": measured.psnr,
        "SSIM": measured.ssim,
        "paper PSNR": psnr,
        "paper SSIM": ssim,
        "Δ PSNR": _difference(measured.psnr, psnr),
        "Δ SSIM": _difference(measured.ssim, ssim),
        "s/image": result.seconds,
        "MB": _megabytes(result.peak),
        "K param.": parameters / 1e3 if parameters else 0,
    }
    return Row(name, values)


def _degradation(result: ModelResult) -> dict[str, Value]:
    """What LR was degraded by, as a value of a row; nothing where all of it is clean."""
    if result.evaluation.degradations == (CLEAN,):
        return {}
    return {DEGRADED_BY: result.degradation}


def _difference(measured: float, published: float | None) -> float | None:
    return None if published is None else measured - published


def _megabytes(peak: int | None) -> float | None:
    return peak / 1e6 if peak else None


def _parameters(evaluation: Evaluation) -> int:
    if evaluation.model == BICUBIC:
        return 0
    own = evaluation.weights is not None
    name = choosing.networks_of(evaluation.model)[-1]
    # the last of a chain is the largest
    return routing.route(name, evaluation.scale, own_weights=own)[-1].parameters


def _image_rows(result: ModelResult, *, per_image: bool) -> Iterator[Row]:
    """A row for each image, or only for those that failed."""
    for outcome in result.outcomes:
        name = f"{result.evaluation.model}, {outcome.image}"
        if outcome.error:
            yield Row(name, _degradation(result), error=console.told(outcome.error))
        elif per_image and outcome.score:
            values: dict[str, Value] = {
                **_degradation(result),
                "PSNR": outcome.score.psnr,
                "SSIM": outcome.score.ssim,
                "s/image": outcome.seconds,
                "MB": _megabytes(outcome.peak),
            }
            yield Row(name, values)


def _computed_by(results: Sequence[ModelResult]) -> Iterator[str]:
    """A line about the engine, device and precision; one for all where they are alike."""
    computed_by: dict[str, str] = {}
    for result in results:
        if result.outcomes and result.outcomes[0].computed_by:
            computed_by[result.evaluation.model] = result.outcomes[0].computed_by
    if len(set(computed_by.values())) == 1:
        yield f"Computed by {next(iter(computed_by.values()))}."
    elif computed_by:
        each = "; ".join(f"{name}: {what}" for name, what in computed_by.items())
        yield f"Computed by {each}."


def _notes(data_set: str | None, results: Sequence[ModelResult]) -> Iterator[str]:
    """Where published figures are from, and which protocols some of them were made with."""
    if not any(result.published for result in results):
        return
    yield f"Published: as the papers print it for {data_set} (srup models info NAME)."
    first, names = results[0].evaluation, [result.evaluation.model for result in results]
    if first.protocol != benchmark.Y_ONLY and first.model == BICUBIC:
        yield "The papers' bicubic figures were computed from Y alone: --protocol y-only."
    lesrcnn = any(name.startswith("lesrcnn") for name in names)
    if lesrcnn and first.protocol != benchmark.TRUNCATED:
        yield "LESRCNN's authors truncated results to bytes and rounded Y: --protocol truncated."


def _figures(results: Sequence[ModelResult]) -> list[str]:
    """Plots of PSNR: over how strongly LR is degraded, or against time where it is always the same
    and there are two networks or more.
    """
    if len({result.degradation for result in results}) > 1:
        return _plots_of_strength(results)
    points = []
    for result in results:
        name, psnr = result.evaluation.model, result.score.psnr
        if name != BICUBIC and math.isfinite(psnr):
            points.append(Point(name, result.seconds, psnr, _parameters(result.evaluation)))
    if len(points) < 2:
        return []
    return [bubbles(points, "seconds for an image", "PSNR in dB")]


def _plots_of_strength(results: Sequence[ModelResult]) -> list[str]:
    """A plot for each series of specs that differ in their last number alone, as jpeg:75, jpeg:50.

    It has a line for each network.
    """
    plots: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for result in results:
        series, colon, strength = result.degradation.rpartition(":")
        if colon and math.isfinite(psnr := result.score.psnr):
            lines = plots.setdefault(series, {})
            lines.setdefault(result.evaluation.model, []).append((float(strength), psnr))
    figures = []
    for series, lines in plots.items():
        strengths = {x for points in lines.values() for x, _ in points}
        if len(strengths) > 1:
            kind = KINDS[series.rpartition("+")[2]]
            figures.append(line_plot(lines, f"{kind.strength}: N of {series}:N", "PSNR in dB"))
    return figures
