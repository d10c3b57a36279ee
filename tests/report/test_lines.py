from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest

from srup.report.lines import line_plot
from srup.report.plot import HEIGHT, LINE, WIDTH

SVG = "{http://www.w3.org/2000/svg}"
LINES = {
    "a<b": [(75.0, 31.0), (30.0, 29.0), (97.0, 33.0)],
    "other": [(30.0, 29.1), (75.0, 31.2), (97.0, 33.1)],
    "bicubic": [(30.0, 29.5), (75.0, 30.0)],
}


@pytest.fixture
def plot() -> ElementTree.Element:
    return wide(line_plot(LINES, "quality", "PSNR in dB"))


def wide(figure: str) -> ElementTree.Element:
    """The one of the two plots of a figure that is for desks."""
    both = ElementTree.fromstring(f"<div>{figure}</div>")
    assert [each.attrib["class"] for each in both] == ["wide", "narrow"]
    return both[0]


def texts(plot: ElementTree.Element) -> dict[str, tuple[float, float]]:
    """Where each text with a place of its own begins."""
    found = {}
    for text in plot.iter(f"{SVG}text"):
        if "x" in text.attrib:
            found[text.text or ""] = (float(text.attrib["x"]), float(text.attrib["y"]))
    return found


def test_a_line_has_a_dot_for_each_point_from_left_to_right(plot: ElementTree.Element) -> None:
    dots: dict[str, list[tuple[float, float]]] = {}
    values: dict[str, list[str]] = {}
    for circle in plot.iter(f"{SVG}circle"):
        name, _, value = (circle.findtext(f"{SVG}title") or "").partition(": ")
        dots.setdefault(name, []).append((float(circle.attrib["cx"]), float(circle.attrib["cy"])))
        values.setdefault(name, []).append(value)
    assert values["a<b"] == ["30, 29.00", "75, 31.00", "97, 33.00"]
    assert {name: len(found) for name, found in dots.items()} == {
        "a<b": 3,
        "other": 3,
        "bicubic": 2,
    }
    for found in dots.values():
        assert found == sorted(found)
        assert [down for _, down in found] == sorted((down for _, down in found), reverse=True)
    # 45 of the 67 from 30 to 97
    left, middle, right = (across for across, _ in dots["other"])
    assert (middle - left) / (right - left) == pytest.approx(45 / 67, abs=0.001)
    # the path runs through the dots
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in dots["a<b"])
    assert f"M{path}" in {each.attrib["d"] for each in plot.iter(f"{SVG}path")}


def test_names_lie_beside_the_lines_and_do_not_cover_each_other(plot: ElementTree.Element) -> None:
    found = texts(plot)
    downs = sorted(found[name][1] for name in LINES)
    assert all(below - above >= LINE - 0.1 for above, below in itertools.pairwise(downs))
    for name in LINES:
        assert found[name][0] + 6 * len(name) < WIDTH
        assert found[name][1] < HEIGHT
    assert found["other"][1] < found["a<b"][1] < found["bicubic"][1]


def test_ticks_are_where_something_was_measured() -> None:
    close = {"one": [(30.0, 1.0), (31.0, 2.0), (97.0, 3.0)]}
    found = texts(wide(line_plot(close, "quality", "PSNR in dB")))
    assert {"30", "97", "quality"} <= set(found)
    assert "31" not in found  # it would lie over 30


def test_a_single_point_has_a_place() -> None:
    svg = line_plot({"alone": [(75.0, 30.0)]}, "quality", "PSNR in dB")
    assert "nan" not in svg and re.search("alone: 75, 30.00", svg)
