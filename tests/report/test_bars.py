from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from srup.report.bars import Bar, bars
from srup.report.plot import WIDTH

FOUND = [
    Bar("lite", "fp32", 0.5),
    Bar("lite", "bf16", 1.0),
    Bar("imdn <x2>", "fp32", 0.25),
    Bar("imdn <x2>", "bf16", 0.0),
]


def rectangles(svg: str) -> list[dict[str, str]]:
    """The bars of the plot for desks; that for telephones is the same, narrower."""
    desk, telephone = svg.replace("</svg>\n<svg", "</svg>\n\n<svg").split("\n\n")
    assert len(_rectangles(desk)) == len(_rectangles(telephone))
    return _rectangles(desk)


def _rectangles(svg: str) -> list[dict[str, str]]:
    root = ElementTree.fromstring(svg)
    return [each.attrib for each in root.iter("{http://www.w3.org/2000/svg}rect")]


def test_lengths_are_the_values() -> None:
    lengths = [float(each["width"]) for each in rectangles(bars(FOUND, "speed"))]
    assert [length / lengths[1] for length in lengths] == pytest.approx([0.5, 1, 0.25, 0], abs=1e-3)


def test_one_name_has_one_colour() -> None:
    first, second, third, fourth = (each["fill"] for each in rectangles(bars(FOUND, "speed")))
    assert (first, second) == (third, fourth)
    assert first != second


def test_bars_are_below_one_another_and_inside() -> None:
    svg = bars(FOUND, "speed")
    tops = [float(each["y"]) for each in rectangles(svg)]
    heights = [float(each["height"]) for each in rectangles(svg)]
    assert all(a + b < c for a, b, c in zip(tops, heights, tops[1:], strict=False))
    for each in rectangles(svg):
        assert float(each["x"]) + float(each["width"]) < WIDTH - 40
    size = re.search(r'viewBox="0 0 760 ([\d.]+)"', svg)
    assert size and tops[-1] + heights[-1] < float(size[1])


def test_names_are_escaped() -> None:
    assert "imdn &lt;x2&gt;" in bars(FOUND, "speed")


def test_nothing_but_zeros() -> None:
    assert [float(each["width"]) for each in rectangles(bars([Bar("a", "b", 0)], "speed"))] == [0]
