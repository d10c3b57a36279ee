"""srup score: PSNR and SSIM of results against the images that they should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click

from srup.cli import console, options
from srup.cli.commands import Command
from srup.cli.failures import OF_ONE_IMAGE, failures_as_rows
from srup.cli.types import Choice, Scale
from srup.errors import UsageError
from srup.evaluation.consistency import consistency
from srup.evaluation.pairing import Pairing, called, pair, scale_in
from srup.evaluation.protocols import (
    PROTOCOLS,
    ProtocolName,
    colours,
    mean,
    score_files,
    scoring_note,
)
from srup.report import Report, Row, Value

SCORE_COLUMNS = {"PSNR": ".2f", "SSIM": ".4f", "consistency": ".1f"}
CONSISTENCY_NOTE = (
    "Consistency: PSNR in dB between LR and SR shrunk to its size (bicubic imresize, colours)."
)


@click.command("score", cls=Command)
@click.argument("sr", type=click.Path(path_type=Path))
@click.argument("hr", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    type=Choice(list(PROTOCOLS)),
    default="paper",
    show_default=True,
    help="Which values are compared: Y as in papers, Y rounded, or colours.",
)
@click.option(
    "-s",
    "--scale",
    type=Scale(1),
    help="Scale of SR: so many pixels are left out at each border."
    "  [default: by --lr, or names (_x4)]",
)
@click.option(
    "--border",
    type=click.IntRange(0),
    help="Pixels left out at each border, if not as many as the scale.",
)
@click.option(
    "--lr",
    type=click.Path(path_type=Path),
    help="LR images that SR was made from: they tell the scale, and are compared with SR shrunk.",
)
@options.report_output
def command(
    sr: Path,
    hr: Path,
    protocol: ProtocolName,
    scale: int | None,
    border: int | None,
    lr: Path | None,
    report_output: console.ReportOutput,
) -> int:
    """PSNR and SSIM of SR, a file or a folder, against HR.

    Files of folders are paired by name; endings such as _x4 or _out are left out. Transparency is
    not compared.

    \b
    srup score photo_x4.png photo.png
    srup score results/ Set5/HR -s 4 -o scores.html
    """
    console.start_logging(False)
    paired = pair(sr, hr)
    lr_by_hr = {large: small for small, large in pair(lr, hr).pairs} if lr else {}
    if border is None:
        border = scale or _scale(paired, lr_by_hr)
    rows = _rows(paired, _Comparison(protocol, border, lr_by_hr))
    for path in paired.unpaired:
        console.warning(f"{path} has no partner and was left out")
    notes = [scoring_note(PROTOCOLS[protocol].what, border)]
    notes += [f"Without a partner: {path}" for path in paired.unpaired]
    if lr:
        notes.append(CONSISTENCY_NOTE)
    lines = [*rows, *_mean(rows)]
    title, places = f"{called(sr)}, scored against {called(hr)}", {"SR": str(sr), "HR": str(hr)}
    report_output.show(Report(title, lines, notes, SCORE_COLUMNS, heading="image", summary=places))
    return 1 if any(row.error for row in rows) else 0


@dataclass(frozen=True)
class _Comparison:
    """How pairs are scored; `lr_by_hr` gives the LR image of an HR image where it is known."""

    protocol: ProtocolName
    border: int
    lr_by_hr: Mapping[Path, Path]


def _scale(paired: Pairing, lr_by_hr: Mapping[Path, Path]) -> int:
    """The scale by the sizes of LR and HR if given, else by the names of the results.

    Returns 0 and warns if no name has one. Raises UsageError for several scales.
    """
    scales: set[int] = set()
    for hr, lr in lr_by_hr.items():
        with suppress(*OF_ONE_IMAGE):  # its row will say why
            scales.add(round(colours(hr).shape[1] / colours(lr).shape[1]))
    if not lr_by_hr:
        scales = {scale for sr, _ in paired.pairs if (scale := scale_in(sr))}
    if len(scales) > 1:
        listed = ", ".join(f"×{scale}" for scale in sorted(scales))
        raise UsageError(f"several scales at once: {listed}", "give one {scale}, or a {border}")
    if not scales:
        console.warning(
            "no scale is known, so no border is left out; "
            "papers leave out as many pixels as the scale (-s 4)"
        )
        return 0
    return scales.pop()


def _rows(paired: Pairing, comparison: _Comparison) -> list[Row]:
    """A row for each pair, with its scores or why it could not be scored."""
    rows: list[Row] = []
    with console.progress("scoring") as progress:
        for done, (sr, hr) in enumerate(paired.pairs, 1):
            with failures_as_rows(rows, sr.name, caught=OF_ONE_IMAGE):
                rows.append(Row(sr.name, _values(sr, hr, comparison)))
            progress(done, len(paired.pairs))
    return rows


def _values(sr: Path, hr: Path, comparison: _Comparison) -> dict[str, Value]:
    measured = score_files(sr, hr, protocol=comparison.protocol, border=comparison.border)
    values: dict[str, Value] = {"PSNR": measured.psnr, "SSIM": measured.ssim}
    if hr in comparison.lr_by_hr:
        values["consistency"] = consistency(colours(comparison.lr_by_hr[hr]), colours(sr))
    return values


def _mean(rows: Sequence[Row]) -> list[Row]:
    """A row of the means over what could be scored, if there is more than one image."""
    scored = [row.values for row in rows if not row.error]
    if len(rows) < 2 or not scored:
        return []
    means = {}
    for column in scored[0]:
        means[column] = mean([float(values[column] or 0) for values in scored if column in values])
    return [Row("mean" if len(scored) == len(rows) else f"mean of {len(scored)}", means)]
