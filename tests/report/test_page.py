from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

import numpy as np
import pytest
from PIL import ExifTags, Image

from srup.errors import AlreadyExists
from srup.report import Picture, Report, Row, text, write
from srup.report.plot import Point, bubbles
from tests.data.draw import draw
from tests.data.hostile import tiff_without_a_width

NASTY = '</script><img src=x onerror="alert(1)">.png'


class Page(HTMLParser):
    """The tags of a page, and what its data element holds."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        found = re.search(r'<script type="application/json" id="rows">(.*?)</script>', html, re.S)
        assert found
        self.rows = json.loads(found[1])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def urls(self) -> Iterator[str]:
        """Everything the page could fetch."""
        yield from (
            str(value)
            for _, attrs in self.tags
            for name, value in attrs.items()
            if name in ("src", "href")
        )
        yield from (picture["src"] for row in self.rows for picture in row["pictures"])


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    """Two rows with pictures, one of them of a format that browsers do not show, and a failure."""
    draw(60, 40).save(tmp_path / "before #1.png")
    draw(120, 80).save(tmp_path / "after.tif")
    pictures = (
        Picture("before", tmp_path / "before #1.png"),
        Picture("after", tmp_path / "after.tif", {"seconds": 0.5}),
    )
    return [
        Row(NASTY, {"size": "120×80"}, pictures=pictures),
        Row("two.png", pictures=pictures),
        Row(NASTY, error=f"damaged {NASTY}"),
    ]


def pixels(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2]))))


def test_a_page_is_one_file_and_holds_its_pictures(rows: list[Row], tmp_path: Path) -> None:
    page = Page(text(Report("both", rows), "html"))
    assert all(url.startswith("data:") for url in page.urls())
    before, after = (picture["src"] for picture in page.rows[0]["pictures"])
    assert (pixels(before) == np.asarray(Image.open(tmp_path / "before #1.png"))).all()
    assert (pixels(after) == np.asarray(Image.open(tmp_path / "after.tif"))).all()


def test_names_cannot_inject_html(rows: list[Row]) -> None:
    html = text(Report(NASTY, rows, [NASTY]), "html")
    page = Page(html)
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    assert page.rows[0]["name"] == NASTY


def test_failures_come_first_then_thumbnails(rows: list[Row]) -> None:
    kinds = [
        attrs["class"]
        for tag, attrs in Page(text(Report("all", rows), "html")).tags
        if tag in ("section", "dialog", "div") and "class" in attrs
    ]
    assert kinds == ["failures", "thumbnails", "large", "viewer", "scroll"]


def test_an_error_is_shown_once(rows: list[Row]) -> None:
    assert text(Report("all", rows), "html").count("damaged") == 1


def test_beyond_a_size_files_lie_beside_it(rows: list[Row], tmp_path: Path) -> None:
    path, folder = tmp_path / "report.html", tmp_path / "report_files"
    assert write(Report("all", rows), path, limit=0, overwrite=False) == (path, folder)
    html = (tmp_path / "report.html").read_text()
    page = Page(html)
    links = {url for url in page.urls() if not url.startswith("data:")}
    assert "before%20%231.png" in links
    assert all((tmp_path / unquote(link)).is_file() for link in links)
    assert sorted(path.suffix for path in (tmp_path / "report_files").iterdir()) == [
        ".png",
        ".png",
        ".webp",
        ".webp",
    ]
    assert all(attrs["loading"] == "lazy" for tag, attrs in page.tags if tag == "img")
    assert len(html) < 40_000


def test_what_others_have_is_not_replaced(rows: list[Row], tmp_path: Path) -> None:
    """And of a page that cannot be written nothing is left."""
    report, path, folder = Report("all", rows), tmp_path / "report.html", tmp_path / "report_files"
    path.write_text("theirs")
    with pytest.raises(AlreadyExists):
        write(report, path, limit=0, overwrite=False)
    assert (path.read_text(), folder.exists()) == ("theirs", False)
    path.unlink()
    folder.mkdir()
    with pytest.raises(AlreadyExists, match="report_files exists"):
        write(report, path, limit=0, overwrite=False)
    assert (path.exists(), list(folder.iterdir())) == (False, [])
    assert write(report, path, limit=0) == (path, folder)


def test_names_that_are_not_utf8_lead_to_their_pictures(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xfe")
    folder.mkdir()
    draw(60, 40).save(folder / os.fsdecode(b"\xff.png"))
    picture = Picture(os.fsdecode(b"\xff"), folder / os.fsdecode(b"\xff.png"))
    report = Report("all", [Row("\x1b.png", pictures=(picture, picture))] * 2)
    write(report, tmp_path / "report.html", limit=0)
    (row, _) = Page((tmp_path / "report.html").read_text(encoding="utf-8")).rows
    assert (row["name"], row["pictures"][0]["name"]) == (r"\x1b.png", r"\udcff")
    assert (tmp_path / os.fsdecode(unquote_to_bytes(row["pictures"][0]["src"]))).is_file()


def test_pictures_lie_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    draw(60, 40).save(tmp_path / "turned.jpg", exif=exif)
    picture = Picture("turned", tmp_path / "turned.jpg")
    (row,) = Page(text(Report("one", [Row("turned", pictures=(picture, picture))]), "html")).rows
    assert (row["pictures"][0]["width"], row["pictures"][0]["height"]) == (40, 60)


def test_a_missing_picture_does_not_break_the_report(rows: list[Row], tmp_path: Path) -> None:
    (tmp_path / "after.tif").unlink()
    draw(30, 20).save(tmp_path / "other.png")
    kept = Row(
        "kept.png",
        {"size": "30×20"},
        pictures=(Picture("a", tmp_path / "other.png"), Picture("b", tmp_path / "other.png")),
    )
    page = Page(text(Report("all", [*rows, kept]), "html"))
    assert [row["name"] for row in page.rows] == ["kept.png"]


def test_a_picture_that_no_decoder_reads_is_left_out(rows: list[Row], tmp_path: Path) -> None:
    """Cut short, so that its header is whole; or of a kind at which Pillow raises a TypeError."""
    whole = (tmp_path / "before #1.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "pages.tif").write_bytes(tiff_without_a_width())
    damaged = []
    for name in ("cut.png", "pages.tif"):
        pictures = (Picture("a", tmp_path / name), Picture("b", tmp_path / name))
        damaged.append(Row(name, {"size": "60×40"}, pictures=pictures))
    page = Page(text(Report("all", [*damaged, *rows]), "html"))
    assert [row["name"] for row in page.rows] == [row.name for row in rows[:2]]


def test_sixteen_bit_pictures_keep_their_look(tmp_path: Path) -> None:
    grey = np.asarray(draw(64, 48).convert("L"))
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    picture = Picture("deep", tmp_path / "deep.png")
    html = text(
        Report(
            "two", [Row("a", pictures=(picture, picture)), Row("b", pictures=(picture, picture))]
        ),
        "html",
    )
    thumbnail = next(str(attrs["src"]) for tag, attrs in Page(html).tags if tag == "img")
    assert np.abs(pixels(thumbnail).mean(2) - grey).mean() < 6


def test_a_plot_has_a_circle_for_each_point_with_its_area() -> None:
    svg = bubbles(
        [Point("a<b", 0.1, 30.0, 100.0), Point("c", 1.0, 31.0, 400.0), Point("d", 1.0, 31.0, 0.0)],
        "s",
        "dB",
    )
    radii = {name: float(r) for r, name in re.findall(r'r="([\d.]+)".*?<title>(\S+):', svg)}
    assert radii["c"] == pytest.approx(2 * radii["a&lt;b"])
    assert 0 < radii["d"] < radii["a&lt;b"]
    assert "nan" not in bubbles([Point("alone", 0.1, 30.0, 0.0)], "s", "dB")
