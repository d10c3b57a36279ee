"""A training run as a picture: its losses, and the Y-PSNR gained since the first validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from srup.files import replacing

SIZE, EDGE = (960, 540), 64  # of a panel, and its margins, in pixels
INK, FAINT, COLOURS = "#222222", "#dddddd", ("#c0392b", "#2471a3", "#1e8449")
EACH, PALE = "each record", "#e6b0aa"  # the label and the colour of what a mean is drawn over
SMOOTHED = 20  # records at most whose mean is a point of a smooth line

Points = list[tuple[float, float]]
Lines = Mapping[str, Points]  # by their labels


def draw(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws the records of a log to a PNG: a panel for each kind of loss, and for each spec by
    which the LR of validation images was degraded.

    A record has "step" and "loss", and may have "kind", of loss. Where the step validated it has
    "psnr": scale → dB, and "degraded": the same by spec.
    """
    panels = {**_losses(records), **_gains(records)}
    picture = Image.new("RGB", (SIZE[0], SIZE[1] * len(panels)), "white")
    for number, (title, lines) in enumerate(panels.items()):
        _draw_panel(picture, SIZE[1] * number, title, lines)
    with replacing(path) as temporary:
        picture.save(temporary, "PNG")


def _losses(records: Sequence[Mapping[str, Any]]) -> dict[str, Lines]:
    """The panels of loss; their kinds lie too far from each other for one."""
    kinds: dict[str, Points] = {}
    for record in records:
        point = (float(record["step"]), float(record["loss"]))
        kinds.setdefault(record.get("kind", ""), []).append(point)
    panels: dict[str, Lines] = {}
    for kind, points in kinds.items():
        smooth = _smoothed(points)
        lines = {EACH: points, f"mean of {SMOOTHED}, {smooth[-1][1]:.4g} at the end": smooth}
        panels[f"loss {kind.upper()}".rstrip()] = lines
    return panels


def _smoothed(points: Points) -> Points:
    """Each point's mean with those before it, which tells where a noisy line goes."""
    smooth = []
    for end in range(1, len(points) + 1):
        last = [value for _, value in points[max(end - SMOOTHED, 0) : end]]
        smooth.append((points[end - 1][0], sum(last) / len(last)))
    return smooth


def _gains(records: Sequence[Mapping[str, Any]]) -> dict[str, Lines]:
    """The panels of Y-PSNR, on clean images and on degraded ones."""
    panels: dict[str, dict[str, Points]] = {}
    for record in records:
        for spec, psnr in {"": record.get("psnr", {}), **record.get("degraded", {})}.items():
            for scale, value in psnr.items():
                points = panels.setdefault(spec, {}).setdefault(scale, [])
                points.append((float(record["step"]), float(value)))
    title = "dB gained since the first validation"
    return {title + f", {spec}" * bool(spec): _gained(psnr) for spec, psnr in panels.items()}


def _gained(psnr: Mapping[str, Points]) -> dict[str, Points]:
    """For each scale a label, and the dB gained since the first point."""
    lines = {}
    for scale, points in sorted(psnr.items()):
        first, last = points[0][1], points[-1][1]
        label = f"x{scale}, from {first:.2f} to {last:.2f}"
        lines[label] = [(step, value - first) for step, value in points]
    return lines


@dataclass(frozen=True)
class _Axes:
    """The ranges that a panel shows; `top` is the panel's, in pixels."""

    top: int
    left: float
    right: float
    low: float
    high: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a point of the plane."""
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.low) / (self.high - self.low)
        width, height = SIZE[0] - 2 * EDGE, SIZE[1] - 2 * EDGE
        return EDGE + across * width, self.top + SIZE[1] - EDGE - up * height


def _axes(top: int, lines: Lines) -> _Axes:
    """Axes that hold all points; ranges are never empty."""
    everything = [point for points in lines.values() for point in points]
    xs, ys = [x for x, _ in everything], [y for _, y in everything]
    right, high = max(max(xs), min(xs) + 1), max(max(ys), min(ys) + 1e-9)
    return _Axes(top, min(xs), right, min(ys), high)


def _draw_panel(picture: Image.Image, top: int, title: str, lines: Lines) -> None:
    axes, pen = _axes(top, lines), ImageDraw.Draw(picture)
    left, right, low = axes.left, axes.right, axes.low
    pen.text((EDGE, top + EDGE / 3), title, INK)
    for part in range(5):
        y = low + (axes.high - low) * part / 4
        pen.line([axes.place(left, y), axes.place(right, y)], FAINT)
        pen.text((4, axes.place(left, y)[1] - 6), f"{y:.4g}", INK)
    for x in (left, right):
        across, down = axes.place(x, low)
        pen.text((across - 16, down + 6), f"{x:.0f}", INK)
    legend = (SIZE[0] - EDGE - 180, top + SIZE[1] - EDGE - 24)
    for number, (label, points) in enumerate(lines.items()):
        colour = PALE if label == EACH else COLOURS[number % len(COLOURS)]
        pen.line([axes.place(x, y) for x, y in points], colour, 2)
        pen.text((legend[0], legend[1] - 16 * number), label, colour)
