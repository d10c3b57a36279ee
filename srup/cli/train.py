"""srup train: training and fine-tuning."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from srup.cli import completion, console, options, train_options
from srup.cli.commands import Command
from srup.cli.train_options import Files
from srup.cli.types import NetworkName
from srup.errors import UsageError
from srup.files import cache
from srup.images.degrade import CLEAN
from srup.models import checkpoints, registry, weights
from srup.training.degradations import Degradation
from srup.training.hyperparameters import Hyperparameters, rate_at

if TYPE_CHECKING:
    from srup.networks.base import Network
    from srup.training.dataset import Pairs
    from srup.training.loop import Recorded, Step
    from srup.training.validation import Validation

LOG_EVERY = 100  # steps between records of the log, besides those of validations
PRINT_EVERY = 1000  # steps between lines on the terminal, besides those of validations


@click.command("train", cls=Command)
@click.argument("network", type=NetworkName())
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATA...")
@train_options.files
@train_options.hyperparameters
@click.option(
    "--from",
    "start",
    metavar="FILE|published",
    help="Begin with these weights; those of another scale give what they share.",
    shell_complete=completion.files,
)
@click.option(
    "--validate",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="HR images to validate on.",
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Have PyTorch compile the network first: faster steps, needs a C++ compiler.",
)
@options.device
@options.as_json
@options.verbose
def command(
    network: str,
    data: tuple[Path, ...],
    files: Files,
    hyperparameters: Hyperparameters,
    start: str | None,
    validate: Path | None,
    compiled: bool,
    device: str,
    as_json: bool,
    verbose: bool,
) -> None:
    """Train NETWORK on folders of images, any format, or HDF5 files with groups lr and hr.

    LR patches are made by MATLAB's bicubic imresize. The best weights by Y-PSNR on --validate go to
    OUTPUT; beside it lie the state to resume from (OUTPUT.state.pt: run the same command again),
    the log (OUTPUT.log.jsonl) and the curve (OUTPUT.png). With more --steps a finished run goes on.

    \b
    srup train lite photos/ -o mine.pt --validate held_out/
    srup train imdn scans/ -s 4 --from published --rate 1e-5 -o scans.pt
    srup upscale old.png --weights scans.pt -m imdn -s 4
    """
    console.start_logging(verbose)
    from srup.training.loop import check_continues, recorded, resolved

    where = _device(device)
    scales = _scales(network, hyperparameters.scales)
    asked = _asked(hyperparameters, scales)
    # before images are shrunk, which takes minutes
    _check_files(files, start)
    made = _start(network, scales[0], start, asked.seed)
    # the network says its own loss, the device its own precision
    final = resolved(asked, made, where)
    before = None if files.overwrite else recorded(files.output)
    if before:
        check_continues(before, final, files.output)
        if before.step >= final.steps:
            _say_nothing_left(before, files.output)
            return
    validation = _validation(validate, scales, asked.degrade)
    pairs = _pairs(data, scales, final.teachers, where)
    files.clear()  # not before: what is in the way of this run must not cost an earlier one
    # weights that were trained on are no first ones
    _introduce(network, final, len(pairs), made, None if before else validation)
    if before:
        _say_continues(before, final)
    run = _run(made, pairs, final, files, where, validation, compiled=compiled)
    seconds = _follow(run, final.steps, files.log, as_json=as_json)
    files.draw()
    _say_finished(files.output, before.step if before else 0, seconds)


def _device(name: str) -> str:
    from srup.inference.engines.pytorch import pick_device

    return pick_device(name).type


def _run(
    network: Network,
    pairs: Pairs,
    hyperparameters: Hyperparameters,
    files: Files,
    device: str,
    validation: Validation | None,
    *,
    compiled: bool,
) -> Iterator[Step]:
    from srup.training.loop import train

    return train(
        network,
        pairs,
        hyperparameters,
        out=files.output,
        device=device,
        validation=validation,
        every=files.every,
        half=files.half,
        compiled=compiled,
    )


def _scales(network: str, asked: Sequence[int]) -> list[int]:
    """The scales to train, each once, in order. Raises UsageError for those that cannot be."""
    rows = registry.find(network)
    if next(iter(rows.values())).is_file:
        raise UsageError(
            f"{network} is a checkpoint; name the network of srup that it is of",
            "begin with {start}",
        )
    # such a network is trained on pairs of photographs, which are not made by shrinking
    if 0 in rows:
        raise UsageError(
            f"{network} works at any scale on what bicubic enlarged; "
            "srup train takes the networks of fixed scales"
        )
    for scale in asked:
        _check_scale(network, rows, scale, "has no")
    # one file for all scales: one network with a head for each
    shared = len({row.file for row in rows.values()}) == 1
    if not shared and len(asked) > 1:
        raise UsageError(f"{network} is another network at each scale; train them one by one")
    if not shared and not asked:
        raise UsageError(f"{network} is another network at each scale", "say which with {scales}")
    return sorted(set(asked or rows))


def _check_scale(name: str, rows: Mapping[int, registry.Model], scale: int, lacks: str) -> None:
    """Raises UsageError if a network has no such scale; `lacks` are the words for it."""
    if scale not in rows:
        known = ", ".join(f"×{each}" for each in rows)
        raise UsageError(f"{name} {lacks} ×{scale}; it has {known}")


def _asked(hyperparameters: Hyperparameters, scales: Sequence[int]) -> Hyperparameters:
    """The hyperparameters with all scales where none were given, and no distilling alone.

    Raises UsageError where no teacher has a scale.
    """
    if hyperparameters.teachers:
        _check_taught(hyperparameters.teachers, scales)
    return replace(
        hyperparameters,
        scales=tuple(sorted(hyperparameters.scales or scales)),
        distil=hyperparameters.distil if hyperparameters.teachers else 0.0,
    )


def _check_taught(teachers: Sequence[str], scales: Sequence[int]) -> None:
    """Raises UsageError if no teacher has one of the scales."""
    from srup.training.teaching import with_scale

    for scale in scales:
        if not with_scale(teachers, scale):
            raise UsageError(f"{' and '.join(teachers)} cannot teach ×{scale}", "see srup models")


def _pairs(
    data: Sequence[Path], scales: Sequence[int], teachers: Sequence[str], device: str
) -> Pairs:
    from srup.training import dataset, teaching

    # kept in the cache: the next run over the same images begins at once
    with console.progress("shrinking the images") as progress:
        pairs = dataset.prepare(data, scales, cache=cache() / "training", progress=progress)
    if not teachers:
        return pairs
    with console.progress(f"enlarging the images with {' and '.join(teachers)}") as progress:
        return teaching.taught(pairs, teachers, device=device, progress=progress)


def _validation(
    folder: Path | None, scales: Sequence[int], degradation: Degradation | None
) -> Validation | None:
    if folder is None:
        return None
    from srup.training.dataset import find_images
    from srup.training.validation import Validation

    specs = degradation.validated if degradation else ()
    return Validation(find_images([folder]), scales, specs)


def _check_files(files: Files, start: str | None) -> None:
    """Checks that the weights to begin with are a file, and what the run writes can be written."""
    if start is not None and start != "published":
        checkpoints.check_file(start)
    files.check()


def _start(network: str, scale: int, start: str | None, seed: int) -> Network:
    """The network with its first weights: random, published, or a file's as far as they fit."""
    import torch

    torch.manual_seed(seed)  # before the network is built, which draws its random weights
    row = registry.find(network)[scale]
    made = registry.build(row)
    if start is None:
        return made
    path = weights.verified(row) if start == "published" else Path(start)
    # weights of another scale share all but the tail, which is worth having
    missing = checkpoints.load_what_fits(made, path)
    if missing:
        console.warning(f"{path} has nothing for {', '.join(missing)}; these begin at random")
    return made


def _introduce(
    network: str,
    hyperparameters: Hyperparameters,
    images: int,
    made: Network,
    validation: Validation | None,
) -> None:
    """Prints what is trained on what, and where it begins."""
    parameters = sum(tensor.numel() for tensor in made.parameters())
    scales = " ".join(f"×{scale}" for scale in hyperparameters.distinct_scales)
    console.err.print(
        f"{network} {scales}: {parameters:,} parameters, {images} images, "
        f"{hyperparameters.steps:,} steps, {hyperparameters.precision}"
    )
    if not validation:
        return
    made.eval()
    for spec, scale in itertools.product(validation.specs, hyperparameters.distinct_scales):
        before, bicubic = validation.psnr(made.at(scale), spec), validation.bicubic(scale, spec)
        console.err.print(
            f"{_named(spec)}×{scale}: bicubic {bicubic:.3f} dB, these first weights {before:.3f} dB"
        )


def _say_nothing_left(before: Recorded, output: Path) -> None:
    more = f"more with --steps {2 * before.step}"
    console.line(f"finished: {before.step:,} steps{_best(before)}, {output}; nothing left, {more}")


def _say_continues(before: Recorded, hyperparameters: Hyperparameters) -> None:
    """Prints where a run goes on, and what more steps than before do to its learning rate."""
    text = f"goes on after step {before.step:,}"
    earlier = before.hyperparameters
    if earlier.steps != hyperparameters.steps:
        rates = (rate_at(each, before.step + 1) for each in (earlier, hyperparameters))
        text += " of {:,}, as a run of {:,} steps: the rate there was {:.2e} and is {:.2e}".format(
            earlier.steps, hyperparameters.steps, *rates
        )
    console.line(text)


def _say_finished(output: Path, before: int, seconds: float) -> None:
    """Prints what a run came to; `before` are the steps that an earlier one did."""
    from srup.training.loop import recorded

    found = recorded(output)
    assert found, "a run that ended has a state"
    steps = f"{found.step:,} steps" + (f", the last {found.step - before:,}" if before else "")
    console.line(f"finished: {steps} in {console.duration(seconds)}{_best(found)}, {output}")


def _best(found: Recorded) -> str:
    """The score of the weights that were saved; "" where nothing was validated."""
    return f", best {found.best:.3f} dB" if math.isfinite(found.best) else ""


def _named(spec: str) -> str:
    """What stands before a figure of validation: nothing where LR is clean."""
    return "" if spec == CLEAN else f"{spec} "


def _follow(run: Iterable[Step], steps: int, log: Path, *, as_json: bool) -> float:
    """Runs the steps, writes the log and shows progress; how many seconds that took.

    The loss of a record is the mean since the record before, or since it is another kind of loss.
    """
    started, first, kind = time.monotonic(), 0, ""
    losses: list[float] = []
    with console.progress("training") as progress, log.open("a+") as lines:
        for step in run:
            if not first:
                first = step.number
                _drop_from(lines, first)
            if step.kind != kind:
                kind, losses = step.kind, []
            losses.append(step.loss)
            progress(step.number, steps)
            last = step.number == steps
            if not (step.psnr or last or step.number % LOG_EVERY == 0):
                continue
            seconds = time.monotonic() - started
            record = _record(step, sum(losses) / len(losses), seconds)
            losses = []
            lines.write(json.dumps(record) + "\n")
            lines.flush()
            if as_json:
                click.echo(json.dumps(record))
            elif step.psnr or last or step.number % PRINT_EVERY == 0:
                left = (steps - step.number) * seconds / (step.number - first + 1)
                console.err.print(_line(record, steps, left))
    return time.monotonic() - started


def _record(step: Step, loss: float, seconds: float) -> dict[str, object]:
    """What the log keeps of a step."""
    record: dict[str, object] = {
        "step": step.number,
        "kind": step.kind,
        "loss": loss,
        "rate": step.rate,
        "seconds": round(seconds, 1),
    }
    if step.psnr:
        record["psnr"] = _rounded(step.psnr)
    if step.degraded:
        record["degraded"] = {spec: _rounded(psnr) for spec, psnr in step.degraded.items()}
    return record


def _rounded(psnr: Mapping[int, float]) -> dict[str, float]:
    return {str(scale): round(value, 4) for scale, value in psnr.items()}


def _drop_from(lines: TextIO, first: int) -> None:
    """Drops the records from step `first` on: a resumed run does these steps again."""
    lines.seek(0)
    kept = [line for line in lines if json.loads(line)["step"] < first]
    lines.truncate(0)
    lines.writelines(kept)
    lines.flush()  # a run that is killed before its next record would lose what is in the buffer


def _line(record: Mapping[str, Any], steps: int, left: float) -> str:
    """A record as a line on the terminal; `left` are seconds."""
    figures = [f"{record['step']}/{steps}", f"loss {record['loss']:.5f}"]
    by_spec = {CLEAN: record.get("psnr", {}), **record.get("degraded", {})}
    for spec, psnr in by_spec.items():
        for scale, value in psnr.items():
            figures.append(f"{_named(spec)}×{scale} {value:.3f} dB")
    return "  ".join([*figures, f"{left / 60:.0f} min left"])
