"""srup train: training and fine-tuning."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from srup.cli import console, options
from srup.errors import TrainingError, UsageError
from srup.files import cache
from srup.models import checkpoints, registry, weights

if TYPE_CHECKING:
    from srup.networks.base import Network
    from srup.training.loop import Hyperparameters, Step, Validation


@click.command("train")
@click.argument("network")
@click.argument("data", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DATA...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The weights, as a state dict.",
)
@click.option(
    "-s",
    "--scale",
    "scales",
    type=int,
    multiple=True,
    help="Repeat for a network of several scales; one that is given twice is drawn twice as often.  [default: all it has]",
)
@click.option(
    "--from",
    "start",
    metavar="FILE|published",
    help="Begin with these weights; those of another scale give what they share.",
)
@click.option("--steps", type=click.IntRange(1), default=100_000, show_default=True)
@click.option(
    "--batch", type=click.IntRange(1), default=16, show_default=True, help="Patches a step."
)
@click.option(
    "--patch",
    type=click.IntRange(8),
    default=48,
    show_default=True,
    help="Side of an LR patch in pixels.",
)
@click.option(
    "--rate", type=float, default=1e-3, show_default=True, help="Highest learning rate of Adam."
)
@click.option(
    "--last-rate",
    type=float,
    default=1e-5,
    show_default=True,
    help="Learning rate at the end of a cosine.",
)
@click.option(
    "--warm-up",
    type=click.IntRange(0),
    default=0,
    help="Steps in which the learning rate rises from 0 to --rate.",
)
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "step", "constant"]),
    default="cosine",
    show_default=True,
)
@click.option("--loss", type=click.Choice(["l1", "l2"]), help="[default: the network's own]")
@click.option(
    "--finish",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Share of the steps, at the end, that are trained with L2.",
)
@click.option(
    "--decay",
    type=click.FloatRange(0, 1),
    default=0.999,
    show_default=True,
    help="Of the running average of the weights.",
)
@click.option(
    "--wider",
    type=click.IntRange(0),
    default=0,
    help="Train with branches so many times as wide, merged when saved.",
)
@click.option(
    "--clip",
    type=click.FloatRange(0),
    default=0.0,
    help="Bound the norm of the gradient.  [default: no bound]",
)
@click.option("--teacher", metavar="NAME", help="Distil from a larger network of the registry.")
@click.option(
    "--distil",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="The teacher's share of the loss.",
)
@click.option(
    "--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True
)
@click.option(
    "--validate",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="HR images to validate on.",
)
@click.option(
    "--every",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Steps between validations and checkpoints.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--half", is_flag=True, help="Save the weights in float16.")
@options.device
@options.overwrite
@options.as_json
@options.verbose
def command(
    network: str,
    data: tuple[Path, ...],
    output: Path,
    scales: tuple[int, ...],
    start: str | None,
    steps: int,
    batch: int,
    patch: int,
    rate: float,
    last_rate: float,
    warm_up: int,
    schedule: str,
    loss: str | None,
    finish: float,
    decay: float,
    wider: int,
    clip: float,
    teacher: str | None,
    distil: float,
    precision: str,
    validate: Path | None,
    every: int,
    seed: int,
    half: bool,
    device: str,
    overwrite: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Train NETWORK on folders of images, any format, or HDF5 files with groups lr and hr.

    LR patches are made by MATLAB's bicubic imresize. The best weights by Y-PSNR on --validate go to OUTPUT; beside it lie the state
    to go on from (OUTPUT.state.pt: run the same command again), the log (OUTPUT.log.jsonl) and the curve (OUTPUT.png).

    \b
    srup train lite photos/ -o mine.pt --validate held_out/
    srup train imdn scans/ -s 4 --from published --rate 1e-5 --steps 5000 -o scans.pt
    srup upscale old.png --weights scans.pt -m imdn -s 4
    """
    console.start_logging(verbose)
    from srup.inference.engines.pytorch import pick_device
    from srup.training import dataset, loop
    from srup.training.training_plot import draw

    where = pick_device(device).type
    rows = _rows(network, scales)
    hyper = loop.Hyperparameters(
        scales=tuple(sorted(scales or rows)),
        steps=steps,
        batch=batch,
        patch=patch,
        rate=rate,
        last_rate=last_rate,
        warm_up=warm_up,
        schedule=schedule,
        loss=loss or _build(network, min(rows)).loss,
        finish=finish,
        decay=decay,
        precision=_precision(precision, where),
        distil=distil if teacher else 0.0,
        wider=wider,
        clip=clip,
        seed=seed,
    )
    log = output.with_name(f"{output.stem}.log.jsonl")
    _clear_or_keep(output, log, loop.state_path(output), overwrite)
    validation = loop.Validation(dataset.find_images([validate]), rows) if validate else None
    with console.progress("shrinking the images") as progress:
        pairs = dataset.prepare(data, rows, cache=cache() / "training", progress=progress)
    made = _start(network, min(rows), start, seed)
    _introduce(network, hyper, len(pairs), made, validation)
    run = loop.train(
        made,
        pairs,
        hyper,
        out=output,
        device=where,
        teachers=_teachers(teacher, rows, where),
        validation=validation,
        every=every,
        half=half,
    )
    _follow(run, hyper, log, as_json)
    draw([json.loads(line) for line in log.read_text().splitlines()], output.with_suffix(".png"))
    return 0


def _rows(network: str, scales: tuple[int, ...]) -> list[int]:
    rows = registry.find(network)
    if 0 in rows:
        raise UsageError(
            f"{network} works at any scale on what bicubic enlarged; srup train takes the networks of fixed scales"
        )
    if wrong := [scale for scale in scales if scale not in rows]:
        raise UsageError(
            f"{network} has no ×{wrong[0]}; it has {', '.join(f'×{scale}' for scale in rows)}"
        )
    shared = len({row.file for row in rows.values()}) == 1
    if not shared and len(scales) > 1:
        raise UsageError(f"{network} is another network at each scale; train them one by one")
    if not shared and not scales:
        raise UsageError(f"{network} is another network at each scale; say which with -s")
    return sorted(set(scales or rows))


def _build(network: str, scale: int) -> Network:
    return registry.build(registry.find(network)[scale])


def _start(network: str, scale: int, start: str | None, seed: int) -> Network:
    """The network with its first weights: random, published, or a file's as far as they fit."""
    import torch

    torch.manual_seed(seed)
    made = _build(network, scale)
    if start is None:
        return made
    path = weights.verified(registry.find(network)[scale]) if start == "published" else Path(start)
    left = checkpoints.load_what_fits(made, path)
    if left:
        console.warning(f"{path} has nothing for {', '.join(left)}; these begin at random")
    return made


def _precision(asked: str, device: str) -> str:
    import torch

    if asked != "auto":
        return asked
    fast = (
        torch.cuda.is_bf16_supported()
        if device == "cuda"
        else torch.cpu._is_avx512_bf16_supported()
        if device == "cpu"
        else False
    )
    return "bf16" if fast else "fp32"


def _teachers(name: str | None, scales: list[int], device: str) -> dict[int, Network]:
    if name is None:
        return {}
    rows = registry.find(name)
    if missing := [scale for scale in scales if scale not in rows]:
        raise UsageError(
            f"{name} cannot teach ×{missing[0]}: it has {', '.join(f'×{scale}' for scale in rows)}"
        )
    made = {
        scale: checkpoints.load_weights(registry.build(rows[scale]), weights.verified(rows[scale]))
        for scale in scales
    }
    return {scale: network.at(scale).to(device).eval() for scale, network in made.items()}


def _clear_or_keep(output: Path, log: Path, state: Path, overwrite: bool) -> None:
    """Begins anew with -y; goes on where there is a state; otherwise does not touch what it has not made."""
    from srup.files import check_folder

    check_folder(output)
    if overwrite:
        for path in (output, log, state):
            path.unlink(missing_ok=True)
    elif output.exists() and not state.exists():
        raise TrainingError(
            f"{output} exists and is no run to go on with; -y replaces it, -o names another"
        )


def _introduce(
    network: str, hyper: Hyperparameters, images: int, made: Network, validation: Validation | None
) -> None:
    parameters = sum(tensor.numel() for tensor in made.parameters())
    scales = " ".join(f"×{scale}" for scale in dict.fromkeys(hyper.scales))
    console.err.print(
        f"{network} {scales}: {parameters:,} parameters, {images} images, {hyper.steps:,} steps, {hyper.precision}"
    )
    if validation:
        made.eval()
        for scale in dict.fromkeys(hyper.scales):
            before, bicubic = validation.psnr(made.at(scale)), validation.bicubic(scale)
            console.err.print(
                f"×{scale}: bicubic {bicubic:.3f} dB, these first weights {before:.3f} dB"
            )


def _follow(run: Iterable[Step], hyper: Hyperparameters, log: Path, as_json: bool) -> None:
    """Writes the log and shows progress; the loss is the mean since the line before."""
    started, first, losses = time.monotonic(), 0, []
    with console.progress("training") as progress, log.open("a+") as lines:
        for step in run:
            if not first:
                first = step.number
                _forget(lines, first)
            losses.append(step.loss)
            progress(step.number, hyper.steps)
            if step.psnr is None and step.number % 100 and step.number != hyper.steps:
                continue
            record = {
                "step": step.number,
                "loss": sum(losses) / len(losses),
                "rate": step.rate,
                "seconds": round(time.monotonic() - started, 1),
                **(
                    {"psnr": {str(scale): round(value, 4) for scale, value in step.psnr.items()}}
                    if step.psnr
                    else {}
                ),
            }
            losses = []
            lines.write(json.dumps(record) + "\n")
            lines.flush()
            if as_json:
                click.echo(json.dumps(record))
            elif step.psnr or step.number == hyper.steps or not step.number % 1000:
                console.err.print(
                    _line(record, hyper.steps, step.number - first + 1, time.monotonic() - started)
                )


def _forget(lines: TextIO, first: int) -> None:
    """Drops from the log what was done after the state that the run goes on from: it is done again."""
    lines.seek(0)
    kept = [line for line in lines if json.loads(line)["step"] < first]
    lines.truncate(0)
    lines.writelines(kept)


def _line(record: dict[str, object], steps: int, done: int, seconds: float) -> str:
    left = (steps - int(str(record["step"]))) * seconds / done
    psnr = "  ".join(f"×{scale} {value:.3f} dB" for scale, value in record.get("psnr", {}).items())  # type: ignore[attr-defined]
    return f"{record['step']}/{steps}  loss {record['loss']:.5f}  {psnr}  {left / 60:.0f} min left"
