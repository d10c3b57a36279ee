"""The page in a real Chromium: what it shows, and how it answers mouse, keys and fingers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from srup.report import Picture, Report, Row, write
from srup.report.lines import line_plot
from srup.report.plot import Point, bubbles
from tests.browser import DESK, PHONE, at, box, colour, launched, levels, places, watched

RED, BLUE, GREEN = (220, 0, 0), (0, 0, 220), (0, 160, 0)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Open]:
    """Opens a file without a network; fails afterwards if the page had errors or fetched."""
    with watched(browser) as made:

        def open_(path: Path, **settings: Any) -> Any:
            page = made(("file:", "data:"), offline=True, **settings)
            page.goto(path.as_uri())
            page.wait_for_load_state()
            return page

        yield open_


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Two rows of three pictures: red first, a quarter as wide, then green, then blue."""
    paths = []
    for name, painted, size in (
        ("red", RED, (60, 40)),
        ("green", GREEN, (240, 160)),
        ("blue", BLUE, (240, 160)),
    ):
        paths.append(tmp_path / f"{name}.png")
        Image.new("RGB", size, painted).save(paths[-1])
    pictures = tuple(Picture(path.stem, path, {"seconds": 0.5}) for path in paths)
    return [
        Row("one.png", {"size": "240×160"}, pictures=pictures),
        Row("two.png", {"size": "240×160"}, pictures=pictures),
    ]


@pytest.fixture
def single(rows: list[Row], tmp_path: Path) -> Path:
    write(Report("one.png", rows[:1]), tmp_path / "single.html")
    return tmp_path / "single.html"


@pytest.fixture
def several(rows: list[Row], tmp_path: Path) -> Path:
    write(Report("both", [*rows, Row("three.png", error="damaged")]), tmp_path / "several.html")
    return tmp_path / "several.html"


def test_the_divider_follows_the_mouse(opened: Open, single: Path) -> None:
    page = opened(single)
    assert (at(page), colour(page, 0.45), colour(page, 0.55)) == (50, RED, BLUE)
    stage = box(page)
    middle = stage["y"] + stage["height"] / 2
    page.mouse.move(stage["x"] + stage["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] * 0.7, middle, steps=5)
    page.mouse.up()
    assert (at(page), colour(page, 0.65), colour(page, 0.75)) == (70, RED, BLUE)
    page.mouse.move(stage["x"] + stage["width"] * 0.2, middle)  # let go: it stays
    assert at(page) == 70


def test_the_divider_follows_the_keys(opened: Open, single: Path) -> None:
    page = opened(single)
    page.keyboard.press("Tab")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert (at(page), colour(page, 0.36), colour(page, 0.44)) == (40, RED, BLUE)
    page.keyboard.press("ArrowRight")
    assert at(page) == 42
    page.keyboard.press("End")
    assert (at(page), colour(page, 0.7)) == (100, RED)
    page.keyboard.press("Home")
    assert (at(page), colour(page, 0.3)) == (0, BLUE)
    page.keyboard.press("ArrowUp")  # the version before on the right
    assert colour(page, 0.3) == GREEN


def test_the_divider_follows_a_finger_and_two_fingers_zoom(opened: Open, single: Path) -> None:
    page = opened(single, viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    stage = box(page)
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *fingers: float) -> None:
        points = [
            {"x": stage["x"] + stage["width"] * x, "y": stage["y"] + stage["height"] / 2, "id": n}
            for n, x in enumerate(fingers)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.5)
    touch("touchMove", 0.4)
    touch("touchMove", 0.25)
    touch("touchEnd")
    assert (at(page), colour(page, 0.2), colour(page, 0.3)) == (25, RED, BLUE)
    before = places(page)[0]
    touch("touchStart", 0.4, 0.6)
    touch("touchMove", 0.3, 0.7)
    touch("touchMove", 0.2, 0.8)
    touch("touchEnd")
    assert places(page)[0] != before
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_zoom_and_pan_are_one_for_all(opened: Open, single: Path) -> None:
    page = opened(single)
    page.get_by_text("Side by side").click()
    fitting = places(page)
    assert len(fitting) == 3
    tile = box(page, ".layer")
    page.mouse.move(tile["x"] + tile["width"] / 4, tile["y"] + tile["height"] / 4)
    page.mouse.wheel(0, -600)
    page.wait_for_function(
        "before => document.querySelector('.layer img').style.transform !== before", arg=fitting[0]
    )
    zoomed = places(page)
    page.mouse.down()
    page.mouse.move(
        tile["x"] + tile["width"] / 4 - 30, tile["y"] + tile["height"] / 4 - 20, steps=3
    )
    page.mouse.up()
    panned = places(page)
    assert all(len(set(each)) == 1 for each in (fitting, zoomed, panned))
    assert len({fitting[0], zoomed[0], panned[0]}) == 3
    page.get_by_text("Fit").click()
    assert places(page) == fitting


def test_a_gallery_opens_and_closes(opened: Open, several: Path) -> None:
    page = opened(several)
    assert not page.locator("dialog").is_visible()
    assert page.locator(".failures").inner_text().startswith("1 failed")
    page.locator(".thumbnail").nth(1).click()
    assert page.locator("dialog b").inner_text() == "two.png"
    assert (colour(page, 0.4), colour(page, 0.6)) == (RED, BLUE)
    page.keyboard.press("PageDown")
    assert page.locator("dialog b").inner_text() == "one.png"
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_files_beside_the_page_are_shown(opened: Open, rows: list[Row], tmp_path: Path) -> None:
    write(Report("both", rows), tmp_path / "beside.html", limit=0)
    page = opened(tmp_path / "beside.html")
    page.locator(".thumbnail").first.click()
    page.wait_for_function(
        "[...document.images].every(image => image.complete && image.naturalWidth)"
    )
    assert (colour(page, 0.4), colour(page, 0.6)) == (RED, BLUE)


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_light_and_dark(opened: Open, several: Path, size: dict[str, int]) -> None:
    """Background and text have the scheme's colours, and nothing is wider than the window."""
    found = {}
    for scheme in ("light", "dark"):
        page = opened(several, color_scheme=scheme, viewport=size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        found[scheme] = levels(page)
    assert found["light"][0] > 240 > 60 > found["light"][1]
    assert found["dark"][0] < 40 < 200 < found["dark"][1]


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A page with both kinds of plots and a table that is wider than a telephone."""
    points = [Point(f"network-{n}", 0.004 * 3**n, 30 + n % 3, 10.0**n) for n in range(6)]
    figures = [
        bubbles(points, "seconds for an image", "PSNR in dB"),
        line_plot({"lite": [(30, 1), (40, 2), (97, 3)], "bicubic": [(30, 2)]}, "quality", "dB"),
    ]
    values = {f"column {n}": n * 1.5 for n in range(12)}
    rows = [Row("a very long name that nobody would want to read in one line.png", values)] * 3
    summary = {"made": "2026-11-28 03:50 UTC", "megapixels in": 12.5}
    report = Report("measured", rows, ["A note."], figures=figures, summary=summary)
    write(report, tmp_path / "measured.html")
    return tmp_path / "measured.html"


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_plots_are_legible(opened: Open, measured: Path, size: dict[str, int]) -> None:
    """One of each two is shown; letters are no smaller than elsewhere, and none cover others."""
    page = opened(measured, viewport=size)
    shown = [each for each in page.locator(".plot svg").all() if each.is_visible()]
    assert len(shown) == 2
    for plot in shown:
        edges = plot.bounding_box()
        boxes = [each.bounding_box() for each in plot.locator("text").all()]
        assert min(min(each["height"], each["width"]) for each in boxes if each["width"]) >= 7
        assert min(max(each["height"], each["width"]) for each in boxes if each["width"]) >= 11
        for number, each in enumerate(boxes):
            assert edges["x"] <= each["x"]
            assert each["x"] + each["width"] <= edges["x"] + edges["width"]
            assert not any(covers(each, other) for other in boxes[:number])


def covers(one: dict[str, float], other: dict[str, float]) -> bool:
    """Whether two boxes share more than the space around their letters."""
    across = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    down = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    return across > 0 and down > 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_shows_that_it_scrolls(opened: Open, measured: Path, scheme: str) -> None:
    """There is a shade at an edge beyond which there is more, and at no other."""
    page = opened(measured, viewport=PHONE, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    tables = page.locator("table")
    assert tables.count() == page.locator(".scroll > table").count() == 1
    assert shades(page) == (False, True)
    scroll = "(at) => { const it = document.querySelector('.scroll'); it.scrollLeft = at(it); }"
    page.evaluate(f"({scroll})((it) => it.scrollWidth / 2)")
    assert shades(page) == (True, True)
    page.evaluate(f"({scroll})((it) => it.scrollWidth)")
    assert shades(page) == (True, False)


def shades(page: Any) -> tuple[bool, bool]:
    """Whether the left and the right edge of the table are darker than what is inside of them."""
    seen = Image.open(io.BytesIO(page.locator(".scroll").screenshot())).convert("L")
    levels = []
    # a row of pixels above the first text
    for across in (3, seen.width - 4, 40, seen.width - 41):
        levels.append(seen.getpixel((across, 4)))
    left, right, *inside = levels
    return left < min(inside) - 4, right < min(inside) - 4
