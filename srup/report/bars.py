"""Bars as SVG: one number for each of some things, in groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape

from srup.report.lines import COLOURS
from srup.report.plot import LETTER, LINE, Frame, in_both_sizes, svg

BAR, GAP, BETWEEN = 16, 4, 12  # pixels: height of a bar, and between bars and groups
EDGE = 10  # pixels around the plot, and between a bar and its texts


@dataclass(frozen=True)
class Bar:
    """A bar of a group; bars of one `name` have one colour. `value` is at least 0."""

    group: str
    name: str
    value: float


def bars(found: Sequence[Bar], across: str) -> str:
    """Horizontal bars from 0, each with its name on the left and its value at its end.

    `found` are in order of their groups; `across` says what the values are.
    """
    return in_both_sizes(partial(_drawn, found, across))


def _drawn(found: Sequence[Bar], across: str, frame: Frame) -> str:
    names = list(dict.fromkeys(bar.name for bar in found))
    left = EDGE + LETTER * max(len(text) for bar in found for text in (bar.group, bar.name))
    room = frame.width - left - 8 * LETTER - EDGE
    longest = max(bar.value for bar in found) or 1
    parts: list[str] = []
    down, group = float(EDGE), ""
    for bar in found:
        if bar.group != group or not parts:
            group, down = bar.group, down + (BETWEEN if parts else 0)
            parts.append(_text(EDGE, down + BAR - 4, bar.group, 'font-weight="600"'))
            down += LINE + GAP
        colour = COLOURS[names.index(bar.name) % len(COLOURS)]
        parts += _bar(bar, left + EDGE, down, room * bar.value / longest, colour)
        down += BAR + GAP
    parts.append(_text(EDGE, down + LINE, across, 'fill-opacity=".7"'))
    return svg(parts, replace(frame, height=round(down + LINE + EDGE)))


def _bar(bar: Bar, left: float, down: float, length: float, colour: str) -> Iterator[str]:
    yield _text(left - EDGE, down + BAR - 4, bar.name, 'text-anchor="end"')
    size = f'width="{length:.1f}" height="{BAR}" fill="{colour}"'
    title = f"<title>{escape(bar.group)}, {escape(bar.name)}: {bar.value:.3g}</title>"
    yield f'<rect x="{left:.1f}" y="{down:.1f}" {size} rx="2">{title}</rect>'
    yield _text(left + length + EDGE / 2, down + BAR - 4, f"{bar.value:.3g}", "")


def _text(left: float, down: float, text: str, style: str) -> str:
    return f'<text x="{left:.1f}" y="{down:.1f}" {style}>{escape(text)}</text>'
