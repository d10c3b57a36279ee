"""The curve of a training run as a picture: the loss, and the Y-PSNR gained over the first validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from srup.files import replacing

SIZE, EDGE = (960, 540), 64  # pixels
INK, FAINT, COLOURS = "#222222", "#dddddd", ("#888888", "#c0392b", "#2471a3", "#1e8449")

Points = list[tuple[float, float]]


def draw(records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draws the records of a log (step, loss, and psnr per scale where validated) to a PNG."""
    losses = [(float(record["step"]), float(record["loss"])) for record in records]
    scales = sorted({scale for record in records for scale in record.get("psnr", {})})
    psnr = {
        scale: [
            (float(r["step"]), float(r["psnr"][scale]))
            for r in records
            if scale in r.get("psnr", {})
        ]
        for scale in scales
    }
    picture = Image.new("RGB", (SIZE[0], SIZE[1] * (2 if scales else 1)), "white")
    _panel(picture, 0, "loss", {"loss": losses})
    if scales:
        gained = {
            f"x{s}, from {p[0][1]:.2f} to {p[-1][1]:.2f}": [(x, y - p[0][1]) for x, y in p]
            for s, p in psnr.items()
        }
        _panel(picture, SIZE[1], "dB gained since the first validation", gained)
    with replacing(path) as temporary:
        picture.save(temporary, "PNG")


def _panel(picture: Image.Image, top: int, title: str, lines: Mapping[str, Points]) -> None:
    pen = ImageDraw.Draw(picture)
    xs, ys = ([point[axis] for points in lines.values() for point in points] for axis in (0, 1))
    left, right = min(xs), max(max(xs), min(xs) + 1)
    low, high = min(ys), max(max(ys), min(ys) + 1e-9)

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - left) / (right - left), (y - low) / (high - low)
        return EDGE + across * (SIZE[0] - 2 * EDGE), top + SIZE[1] - EDGE - up * (
            SIZE[1] - 2 * EDGE
        )

    pen.text((EDGE, top + EDGE / 3), title, INK)
    for part in range(5):
        y = low + (high - low) * part / 4
        pen.line([place(left, y), place(right, y)], FAINT)
        pen.text((4, place(left, y)[1] - 6), f"{y:.4g}", INK)
    for x in (left, right):
        pen.text((place(x, low)[0] - 16, place(x, low)[1] + 6), f"{x:.0f}", INK)
    for number, (label, points) in enumerate(lines.items()):
        colour = COLOURS[(number + 1) % len(COLOURS)]
        pen.line([place(x, y) for x, y in points], colour, 2)
        pen.text((SIZE[0] - EDGE - 180, top + SIZE[1] - EDGE - 24 - 16 * number), label, colour)
