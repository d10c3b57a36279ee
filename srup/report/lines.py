"""A line plot as SVG: quality over how strongly something was done, a line for each network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

from srup.report.plot import (
    DOT,
    LETTER,
    LINE,
    Axes,
    Frame,
    in_both_sizes,
    svg,
    titles,
    widened,
    x_tick,
    y_ticks,
)

# Okabe and Ito, "Color Universal Design" (2008): told apart by the colour-blind, and on both the
# light page and the dark one.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
AWAY, SAMPLE = 9, 12  # pixels beside a line's end, and the length of the sample at its name
APART = 30  # pixels between the texts below the axis, at least

Places = Sequence[tuple[float, float]]


def line_plot(lines: Mapping[str, Places], across: str, up: str) -> str:
    """Lines of (x, y) with their names at the right end; `across` and `up` name the axes.

    Both are finite. Points are joined from left to right.
    """
    return in_both_sizes(partial(_lines, lines, across, up))


def _lines(lines: Mapping[str, Places], across: str, up: str, frame: Frame) -> str:
    xs = sorted({x for points in lines.values() for x, _ in points})
    ys = [y for points in lines.values() for _, y in points]
    beside = 3 * AWAY + SAMPLE + LETTER * max(len(name) for name in lines)
    axes = Axes(*widened(xs, 0.03), *widened(ys, 0.1), beside, frame)
    drawn = []
    for number, (name, points) in enumerate(lines.items()):
        drawn.append(_Line(axes, name, sorted(points), COLOURS[number % len(COLOURS)]))
    parts = [*_x_ticks(axes, xs), *y_ticks(axes), *(line.svg() for line in drawn)]
    return svg([*parts, *_names(drawn), titles(axes, across, up)], frame)


@dataclass(frozen=True)
class _Line:
    """A named line through points from left to right."""

    axes: Axes
    name: str
    points: Places
    colour: str

    @property
    def end(self) -> float:
        """How far down it ends, in pixels."""
        return self.axes.place(*self.points[-1])[1]

    def svg(self) -> str:
        """The line with a dot at each point, whose values are a tooltip."""
        parts = [_path([self.axes.place(*point) for point in self.points], self.colour)]
        for x, y in self.points:
            right, down = self.axes.place(x, y)
            place = f'cx="{right:.1f}" cy="{down:.1f}" r="{DOT}" fill="{self.colour}"'
            title = f"<title>{escape(self.name)}: {x:g}, {y:.2f}</title>"
            parts.append(f"<circle {place}>{title}</circle>")
        return "".join(parts)

    def name_at(self, down: float) -> str:
        """Its name right of the frame, after a sample of the line."""
        left = self.axes.place(self.axes.right, 0)[0] + AWAY
        sample = _path([(left, down), (left + SAMPLE, down)], self.colour)
        place = f'x="{left + SAMPLE + AWAY:.1f}" y="{down + 4:.1f}"'
        return f"{sample}<text {place}>{escape(self.name)}</text>"


def _path(places: Places, colour: str) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _x_ticks(axes: Axes, xs: Sequence[float]) -> Iterator[str]:
    """Ticks where something was measured; the texts of some are left out where they are close."""
    last = -math.inf
    for x in xs:
        right, _ = axes.place(x, axes.low)
        text = ""
        if right - last >= APART:
            text, last = f"{x:g}", right
        yield x_tick(axes, x, text)


def _names(lines: Sequence[_Line]) -> Iterator[str]:
    """Names beside the ends of lines, from the top down, moved so that none covers another."""
    down = 0.0
    for line in sorted(lines, key=lambda line: line.end):
        down = max(line.end, down + LINE)
        yield line.name_at(down)
