"""srup score: how near results are to what they should be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from srup.cli import console, options
from srup.errors import ImageError, UsageError
from srup.evaluation.consistency import consistency
from srup.evaluation.pairing import Pairing, pair, scale_in
from srup.evaluation.protocols import PROTOCOLS, colours, mean, score_files, stated
from srup.report import Report, Row

SCORE_COLUMNS = {"PSNR": ".2f", "SSIM": ".4f", "consistency": ".1f"}


@click.command("score")
@click.argument("sr", type=click.Path(path_type=Path))
@click.argument("hr", type=click.Path(path_type=Path))
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    default="paper",
    show_default=True,
    help="What is compared.",
)
@click.option(
    "-s",
    "--scale",
    type=click.IntRange(1),
    help="Pixels left out at each border.  [default: by --lr, or names (_x4)]",
)
@click.option("--border", type=click.IntRange(0), help="The same, where it is not the scale.")
@click.option(
    "--lr",
    type=click.Path(path_type=Path),
    help="What SR was made of: tells the scale, and is held to SR shrunk again.",
)
@options.report_output
def command(
    sr: Path,
    hr: Path,
    protocol: str,
    scale: int | None,
    border: int | None,
    lr: Path | None,
    report_output: console.ReportOutput,
) -> int:
    """PSNR and SSIM of SR, a file or a folder, against HR.

    Files of folders are paired by name; endings such as _x4 or _out are left out. Transparency is not compared.

    \b
    srup score photo_x4.png photo.png
    srup score results/ Set5/HR -s 4 -o scores.html
    """
    console.start_logging(False)
    paired = pair(sr, hr)
    small = {large: low for low, large in pair(lr, hr).both} if lr else {}
    shaved = border if border is not None else scale or _scale(paired, small)
    comparison = Comparison(protocol, shaved, small)
    with console.progress("scoring") as progress:
        rows = []
        for done, both in enumerate(paired.both, 1):
            rows.append(_row(*both, comparison))
            progress(done, len(paired.both))
    for path in paired.alone:
        console.warning(f"{path} has no partner and was left out")
    notes = [
        stated(PROTOCOLS[protocol].what, shaved),
        *(f"Without a partner: {path}" for path in paired.alone),
    ]
    if lr:
        notes.append(
            "Consistency: PSNR in dB between LR and SR shrunk to its size (bicubic imresize, colours)."
        )
    report = Report(
        f"{sr} against {hr}", [*rows, *_mean(rows)], notes, SCORE_COLUMNS, heading="image"
    )
    report_output.show(report)
    return 1 if any(row.error for row in rows) else 0


@dataclass(frozen=True)
class Comparison:
    protocol: str
    border: int
    small: dict[Path, Path]  # HR → what its SR was made of


def _scale(paired: Pairing, small: dict[Path, Path]) -> int:
    """The scale that the sizes of LR and HR say, or the names of the results; 0 if nothing does. Raises UsageError."""
    said = {scale for one, _ in paired.both if (scale := scale_in(one))}
    if small:
        said = {
            round(colours(large).shape[1] / colours(low).shape[1]) for large, low in small.items()
        }
    if len(said) > 1:
        raise UsageError(
            f"several scales at once: {', '.join(f'×{scale}' for scale in sorted(said))}; say --scale or --border"
        )
    if not said:
        console.warning(
            "no scale is known, so no border is left out; papers leave out as many pixels as the scale (-s 4)"
        )
    return said.pop() if said else 0


def _row(sr: Path, hr: Path, comparison: Comparison) -> Row:
    try:
        measured = score_files(sr, hr, protocol=comparison.protocol, border=comparison.border)
        values = {"PSNR": measured.psnr, "SSIM": measured.ssim}
        if hr in comparison.small:
            values["consistency"] = consistency(colours(comparison.small[hr]), colours(sr))
    except ImageError as error:
        return Row(sr.name, error=str(error))
    return Row(sr.name, values)


def _mean(rows: list[Row]) -> list[Row]:
    """The means over what could be scored, if it is more than one image."""
    scored = [row.values for row in rows if not row.error]
    if len(rows) < 2 or not scored:
        return []
    means = {
        column: mean([float(values[column] or 0) for values in scored if column in values])
        for column in scored[0]
    }
    return [Row(f"mean of {len(scored)}" if len(scored) < len(rows) else "mean", means)]
