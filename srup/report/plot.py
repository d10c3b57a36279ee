"""A bubble plot as SVG: quality against time, with the size of each network as area.

`lines` draws its plot into the same frames. A plot is drawn twice, for desks and for telephones, so
that its letters have the same size on both; the page shows the one that fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape

WIDTH, HEIGHT = 760, 440  # of a plot on a desk
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 20, 52  # margins of the frame
LARGEST, DOT = 0.04, 3.5  # radii: a share of the width, and pixels
LINE, LETTER = 16, 7.2  # height of a label, and about the width of a letter
OUTSIDE = 9  # how much worse a label outside the frame is than one over something else
FILL, STROKE = "var(--accent, #1f5fbf)", 'stroke="var(--accent, #1f5fbf)"'


@dataclass(frozen=True)
class Frame:
    """Where a plot is drawn: its width and height in pixels, and the class of its element."""

    width: int
    height: int
    name: str


WIDE, NARROW = Frame(WIDTH, HEIGHT, "wide"), Frame(350, 380, "narrow")


@dataclass(frozen=True)
class Point:
    """A point of the plot; `weight` becomes the area of its circle, 0 is a dot."""

    name: str
    x: float
    y: float
    weight: float


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the plot."""

    left: float
    top: float
    right: float
    bottom: float

    def shared(self, other: Box) -> float:
        """The area that two boxes have in common."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0.0) * max(height, 0.0)

    def outside(self, frame: Frame) -> float:
        """The area beyond the frame."""
        inside = self.shared(Box(LEFT, 0, frame.width, frame.height - BOTTOM))
        return (self.right - self.left) * (self.bottom - self.top) - inside


@dataclass(frozen=True)
class Disc:
    """A point as a circle, in pixels of the plot."""

    point: Point
    x: float
    y: float
    radius: float

    @property
    def box(self) -> Box:
        """The rectangle around the circle."""
        x, y, radius = self.x, self.y, self.radius
        return Box(x - radius, y - radius, x + radius, y + radius)

    def label_boxes(self) -> list[Box]:
        """Where its label may be: right, left, above, below."""
        width, away = len(self.point.name) * LETTER, self.radius + 5
        corners = (
            (self.x + away, self.y - LINE / 2),
            (self.x - away - width, self.y - LINE / 2),
            (self.x - width / 2, self.y - away - LINE + 2),
            (self.x - width / 2, self.y + away - 2),
        )
        return [Box(left, top, left + width, top + LINE) for left, top in corners]

    def svg(self) -> str:
        """The circle, with its values as a tooltip."""
        name = escape(self.point.name)
        return (
            f'<circle cx="{self.x:.1f}" cy="{self.y:.1f}" r="{self.radius:.1f}" '
            f'fill="{FILL}" fill-opacity=".35" {STROKE}>'
            f"<title>{name}: {self.point.x:.3g}, {self.point.y:.2f}</title></circle>"
        )


@dataclass(frozen=True)
class Axes:
    """The ranges that the frame shows; of bubbles, x is the decimal logarithm of what is plotted.

    `beside` is the margin on the right, in pixels.
    """

    left: float
    right: float
    low: float
    high: float
    beside: float = RIGHT
    frame: Frame = WIDE

    def place(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a point of the plane."""
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.low) / (self.high - self.low)
        return (
            LEFT + across * (self.frame.width - LEFT - self.beside),
            self.frame.height - BOTTOM - up * (self.frame.height - TOP - BOTTOM),
        )


def bubbles(points: Sequence[Point], across: str, up: str) -> str:
    """The points as labelled circles, x on a logarithmic scale; `across` and `up` name the axes.

    Colours are those of the page, for light and dark.
    """
    return in_both_sizes(partial(_bubbles, points, across, up))


def in_both_sizes(drawn: Callable[[Frame], str]) -> str:
    """A plot for desks and the same for telephones."""
    return f"{drawn(WIDE)}\n{drawn(NARROW)}"


def _bubbles(points: Sequence[Point], across: str, up: str, frame: Frame) -> str:
    ranges = widened([_log(point) for point in points], 0.2), widened([p.y for p in points], 0.1)
    axes = Axes(*ranges[0], *ranges[1], frame=frame)
    heaviest = max(point.weight for point in points) or 1
    discs = []
    # The heaviest are drawn first, so that small circles lie on top of them.
    for point in sorted(points, key=lambda point: -point.weight):
        x, y = axes.place(_log(point), point.y)
        radius = LARGEST * frame.width * math.sqrt(point.weight / heaviest)
        discs.append(Disc(point, x, y, max(DOT, radius)))
    circles = [disc.svg() for disc in discs]
    named = titles(axes, f"{across}; area: parameters", up)
    labels = _labels(discs, frame)
    return svg([*_x_ticks(axes), *y_ticks(axes), *circles, *labels, named], frame)


def svg(parts: Iterable[str], frame: Frame = WIDE) -> str:
    """The whole picture of its parts."""
    style = 'font-family="system-ui, sans-serif" font-size="13" fill="currentColor"'
    size = f'class="{frame.name}" viewBox="0 0 {frame.width} {frame.height}" role="img"'
    inside = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{inside}\n</svg>'


def _log(point: Point) -> float:
    return math.log10(max(point.x, 1e-6))


def widened(values: Sequence[float], margin: float) -> tuple[float, float]:
    """From the least to the largest value, and a share of that on both sides."""
    spread = (max(values) - min(values)) or 1.0
    return min(values) - margin * spread, max(values) + margin * spread


def _labels(discs: Iterable[Disc], frame: Frame) -> Iterator[str]:
    """Names beside their circles, each where it covers the least of circles and other names."""
    taken = [disc.box for disc in discs]

    def covered(box: Box) -> float:
        return sum(box.shared(other) for other in taken) + OUTSIDE * box.outside(frame)

    for disc in discs:
        box = min(disc.label_boxes(), key=covered)
        taken.append(box)
        yield f'<text x="{box.left:.1f}" y="{box.bottom - 4:.1f}">{escape(disc.point.name)}</text>'


def titles(axes: Axes, across: str, up: str) -> str:
    """The names of the axes, beside them."""
    width, height = axes.frame.width, axes.frame.height
    x, y = (LEFT + width - axes.beside) / 2, (TOP + height - BOTTOM) / 2
    middle, turned = 'text-anchor="middle"', f"translate(14 {y}) rotate(-90)"
    return (
        f'<text x="{x}" y="{height - 10}" {middle}>{escape(across)}</text>'
        f'<text transform="{turned}" {middle}>{escape(up)}</text>'
    )


def _x_ticks(axes: Axes) -> Iterator[str]:
    """Ticks at 1, 2 and 5 times the powers of ten; texts that would touch the last are left out."""
    end = 0.0
    for power in range(math.floor(axes.left), math.ceil(axes.right) + 1):
        for step in (1, 2, 5):
            x, value = math.log10(step) + power, step * 10.0**power
            if axes.left <= x <= axes.right:
                text = f"{value:g}"
                middle, half = axes.place(x, axes.low)[0], LETTER * (len(text) + 1) / 2
                if middle - half < end:
                    text = ""
                else:
                    end = middle + half
                yield x_tick(axes, x, text)


def x_tick(axes: Axes, x: float, text: str) -> str:
    """A line up from the x axis, with a text below."""
    across, down = axes.place(x, axes.low)
    place = f'x="{across:.1f}" y="{down + 18:.1f}" text-anchor="middle"'
    return f"{_line(across, TOP, across, down)}<text {place}>{text}</text>"


def y_ticks(axes: Axes) -> Iterator[str]:
    """Five to ten ticks at round numbers."""
    spread = axes.high - axes.low
    step = 10 ** math.floor(math.log10(spread / 4))
    step *= next(factor for factor in (5, 2, 1) if spread / (step * factor) >= 4)
    for number in range(math.ceil(axes.low / step), math.floor(axes.high / step) + 1):
        across, down = axes.place(axes.left, number * step)
        place = f'x="{across - 7:.1f}" y="{down + 4:.1f}" text-anchor="end"'
        text = f"<text {place}>{number * step:.4g}</text>"
        yield f"{_line(across, down, axes.frame.width - axes.beside, down)}{text}"


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    path = f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"
    return f'<path d="{path}" stroke="currentColor" stroke-opacity=".15"/>'
