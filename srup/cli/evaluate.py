"""srup evaluate: networks on benchmark images, beside what their papers print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from srup import evaluate, registry
from srup.apart import apart
from srup.cli import console, options
from srup.errors import SrupError, UsageError
from srup.evaluate import BICUBIC, STATED, Case, Job, Summary
from srup.files import writing
from srup.how import How
from srup.report import Report, Row
from srup.report.plot import Point, bubbles
from srup.resize import Edges

FORMATS = {
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
@click.option("-m", "--model", "models", multiple=True, metavar="NAME", help=f"Repeat for several.  [default: {registry.DEFAULT}]")
@click.option("-s", "--scale", type=click.IntRange(2, 8), default=4, show_default=True)
@click.option("--lr", type=click.Path(path_type=Path, file_okay=False), help="LR images, in place of HR shrunk by imresize.")
@click.option("--protocol", type=click.Choice(list(STATED)), default="paper", show_default=True, help="What is compared.")
@click.option("--border", type=click.IntRange(0), help="Pixels left out at each border.  [default: the scale]")
@options.edges
@click.option("--set", "images", metavar="NAME", help="Whose published figures to show.  [default: as the path says, Set5]")
@click.option("--save", type=click.Path(path_type=Path, file_okay=False), help="Keep the results, in a folder for each network.")
@click.option("--each", is_flag=True, help="A row for each image too.")
@options.weights
@options.how("fp32")
@options.shown
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
    how: How,
    shown: console.Shown,
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
    plan = Job(BICUBIC, scale, protocol, border, edges, save, None, how)
    jobs = _jobs(plan, models, weights, given_lr=lr is not None)
    todo, alone = evaluate.cases(hr, lr)
    for path in alone:
        console.warning(f"{path} has no partner and was left out")
    name = images or evaluate.set_of(hr)
    summaries, errors = _run(jobs, todo, name)
    rows = [row for summary in summaries for row in (_mean(summary), *_images(summary, each))]
    report = Report(
        f"{hr} ×{scale}, {len(todo)} image{'s' * (len(todo) > 1)}",
        [*rows, *errors],
        [
            evaluate.said(jobs[0], given_lr=lr is not None),
            MEASURED,
            *_computed(summaries),
            *_notes(name, protocol, summaries),
            *(f"Without a partner: {path}" for path in alone),
        ],
        FORMATS,
        heading="network",
        figures=_figures(summaries),
    )
    shown.show(report)
    return 1 if any(row.error for row in report.rows) else 0


def _jobs(plan: Job, models: tuple[str, ...], weights: str | None, *, given_lr: bool) -> list[Job]:
    """Bicubic and the networks asked for, each once. Raises UsageError, UnknownModel, ScaleError before anything runs."""
    if weights and len(models) > 1:
        raise UsageError("--weights holds one network; name one with -m")
    asked = models or (() if plan.protocol == evaluate.Y_ONLY else (registry.DEFAULT,))
    jobs = []
    for name in dict.fromkeys((BICUBIC, *asked)):
        own = Path(weights) if weights and name != BICUBIC else None
        job = replace(plan, model=name, save=plan.save and plan.save / name, weights=own)
        evaluate.check(job, given_lr=given_lr)
        jobs.append(job)
    for job in jobs:
        if job.save:
            with writing(job.save):
                job.save.mkdir(parents=True, exist_ok=True)
    return jobs


def _run(jobs: list[Job], todo: Sequence[Case], images: str | None) -> tuple[list[Summary], list[Row]]:
    """What came of each network; and a row for each that could not be run, where there are others."""
    summaries, errors = [], []
    for job in jobs:
        try:
            _fetch(job)
            with console.progress(job.model) as progress:
                outcomes = []
                for outcome in apart(job.model, evaluate.outcomes, job, todo):
                    outcomes.append(outcome)
                    progress(len(outcomes), len(todo))
        except SrupError as error:
            if len(jobs) <= 2:  # bicubic and one
                raise
            errors.append(Row(job.model, error=f"{job.model}: {error}"))
        else:
            summaries.append(Summary(job, outcomes, evaluate.published(job.model, images, job.scale)))
    return summaries, errors


def _fetch(job: Job) -> None:
    if job.model == BICUBIC or job.weights:
        return
    for row in registry.route(job.model, job.scale):
        with console.download(row.file) as progress:
            registry.weights_file(row, progress=progress)


def _mean(summary: Summary) -> Row:
    """The line of a network: what was measured, what was published, the difference."""
    name = summary.job.model
    if not any(outcome.score for outcome in summary.outcomes):
        return Row(name, error=f"{name}: none of the images could be scored")
    measured, told = summary.score, summary.published or (None, None)
    return Row(
        name,
        {
            "PSNR": measured.psnr,
            "SSIM": measured.ssim,
            "paper PSNR": told[0],
            "paper SSIM": told[1],
            "Δ PSNR": _difference(measured.psnr, told[0]),
            "Δ SSIM": _difference(measured.ssim, told[1]),
            "s/image": summary.seconds,
            "MB": summary.peak and summary.peak / 1e6,
            "K param.": _parameters(summary.job) and _parameters(summary.job) / 1e3,
        },
    )


def _difference(measured: float, published: float | None) -> float | None:
    return None if published is None else measured - published


def _parameters(job: Job) -> int:
    return 0 if job.model == BICUBIC else registry.route(job.model, job.scale, own_weights=bool(job.weights))[-1].parameters


def _images(summary: Summary, each: bool) -> Iterator[Row]:
    """A row for every image, or only for those that failed."""
    for outcome in summary.outcomes:
        name = f"{summary.job.model}, {outcome.image}"
        if outcome.error:
            yield Row(name, error=outcome.error)
        elif each and outcome.score:
            values = {"PSNR": outcome.score.psnr, "SSIM": outcome.score.ssim, "s/image": outcome.seconds}
            yield Row(name, {**values, "MB": outcome.peak and outcome.peak / 1e6})


def _computed(summaries: Sequence[Summary]) -> Iterator[str]:
    """What the networks were computed by; one line where all are alike."""
    by = {summary.job.model: summary.outcomes[0].how for summary in summaries if summary.outcomes and summary.outcomes[0].how}
    if len(set(by.values())) == 1:
        yield f"Computed by {next(iter(by.values()))}."
    elif by:
        yield f"Computed by {'; '.join(f'{name}: {how}' for name, how in by.items())}."


def _notes(images: str | None, protocol: str, summaries: Sequence[Summary]) -> Iterator[str]:
    if not any(summary.published for summary in summaries):
        return
    yield f"Published: as the papers print it for {images} (srup models info NAME)."
    if protocol != evaluate.Y_ONLY and summaries[0].job.model == BICUBIC:
        yield "The papers' bicubic figures were computed from Y alone: --protocol y-only."
    if protocol != evaluate.TRUNCATED and any(summary.job.model.startswith("lesrcnn") for summary in summaries):
        yield "LESRCNN's authors truncated results to bytes and rounded Y: --protocol truncated."


def _figures(summaries: Sequence[Summary]) -> list[str]:
    points = [
        Point(summary.job.model, summary.seconds, summary.score.psnr, _parameters(summary.job))
        for summary in summaries
        if summary.job.model != BICUBIC and math.isfinite(summary.score.psnr)
    ]
    return [bubbles(points, "seconds for an image", "PSNR in dB")] if len(points) > 1 else []
