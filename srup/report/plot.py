"""A plot as SVG: quality against time, with the size of each network as area."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 20, 52  # of the frame
LARGEST, DOT = 30.0, 3.5  # radii
LINE, LETTER = 16, 7.2  # of a label: its height, and the width of a letter about

Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Point:
    name: str
    x: float
    y: float
    weight: float  # becomes the circle's area; 0 is a dot


@dataclass(frozen=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float

    def shared(self, other: Box) -> float:
        """The area that two boxes have in common."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def outside(self) -> float:
        """The area beyond the frame."""
        frame = Box(LEFT, 0, WIDTH, HEIGHT - BOTTOM)
        return (self.right - self.left) * (self.bottom - self.top) - self.shared(frame)


@dataclass(frozen=True)
class Disc:
    point: Point
    x: float
    y: float
    radius: float

    @property
    def box(self) -> Box:
        return Box(
            self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius
        )

    def places(self) -> list[Box]:
        """Where its label may be: right, left, above, below."""
        width, away = len(self.point.name) * LETTER, self.radius + 5
        lefts_and_tops = (
            (self.x + away, self.y - LINE / 2),
            (self.x - away - width, self.y - LINE / 2),
            (self.x - width / 2, self.y - away - LINE + 2),
            (self.x - width / 2, self.y + away - 2),
        )
        return [Box(left, top, left + width, top + LINE) for left, top in lefts_and_tops]


def bubbles(points: Sequence[Point], across: str, up: str) -> str:
    """The points as circles, x on a logarithmic scale. Colours are the page's own, for light and dark."""
    xs, ys = [math.log10(max(point.x, 1e-6)) for point in points], [point.y for point in points]
    (left, right), (low, high) = _span(xs, 0.2), _span(ys, 0.1)
    heaviest = max(point.weight for point in points) or 1

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
        )

    lines = [*_across(left, right, place, low), *_up(low, high, place, left)]
    heavy_first = sorted(zip(points, xs, strict=True), key=lambda pair: -pair[0].weight)
    discs = [
        Disc(point, *place(x, point.y), max(DOT, LARGEST * math.sqrt(point.weight / heaviest)))
        for point, x in heavy_first
    ]
    circles = [
        f'<circle cx="{disc.x:.1f}" cy="{disc.y:.1f}" r="{disc.radius:.1f}" fill="var(--accent, #1f5fbf)" fill-opacity=".35" '
        f'stroke="var(--accent, #1f5fbf)"><title>{escape(disc.point.name)}: {disc.point.x:.3g}, {disc.point.y:.2f}</title></circle>'
        for disc in discs
    ]
    taken = [disc.box for disc in discs]
    labels = []
    for disc in discs:
        box = min(
            disc.places(),
            key=lambda box: sum(box.shared(other) for other in taken) + 9 * box.outside(),
        )
        taken.append(box)
        labels.append(
            f'<text x="{box.left:.1f}" y="{box.bottom - 4:.1f}">{escape(disc.point.name)}</text>'
        )
    axes = (
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(across)}; area: parameters</text>'
        f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{escape(up)}</text>'
    )
    style = 'font-family="system-ui, sans-serif" font-size="13" fill="currentColor"'
    inside = "\n".join([*lines, *circles, *labels, axes])
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" {style}>\n{inside}\n</svg>'


def _span(values: Sequence[float], margin: float) -> tuple[float, float]:
    spread = (max(values) - min(values)) or 1.0
    return min(values) - margin * spread, max(values) + margin * spread


def _across(left: float, right: float, place: Place, low: float) -> list[str]:
    """Ticks at 1, 2 and 5 times the powers of ten."""
    ticks = [
        (math.log10(step) + power, step * 10.0**power)
        for power in range(math.floor(left), math.ceil(right) + 1)
        for step in (1, 2, 5)
    ]
    lines = []
    for x, value in ticks:
        if left <= x <= right:
            across, down = place(x, low)
            lines.append(
                _line(across, TOP, across, down)
                + f'<text x="{across:.1f}" y="{down + 18:.1f}" text-anchor="middle">{value:g}</text>'
            )
    return lines


def _up(low: float, high: float, place: Place, left: float) -> list[str]:
    """Five to ten ticks at round numbers."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (5, 2, 1) if (high - low) / (step * factor) >= 4)
    lines = []
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        across, down = place(left, number * step)
        text = f'<text x="{across - 7:.1f}" y="{down + 4:.1f}" text-anchor="end">{number * step:.4g}</text>'
        lines.append(_line(across, down, WIDTH - RIGHT, down) + text)
    return lines


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="currentColor" stroke-opacity=".15"/>'
