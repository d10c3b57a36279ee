"""Reports: names, values and pictures of strangers, written in every format.

A case is a report as JSON; its pictures are Base64.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any

from srup import report
from srup.evaluation import compare
from srup.report import Picture, Report, Row
from tests.fuzz import seeds
from tests.fuzz.mutation import STRINGS
from tests.fuzz.targets import read

COLUMNS = ("seconds", "PSNR", "before")
FORMATS = {"seconds": ".2f", "PSNR": "+.1f"}
NUMBERS = (0, 1, -1, 0.5, 1e308, -1e-300, 10**30, float("nan"), float("inf"), -float("inf"), None)
SCRIPTS = 2  # elements of a page: its data, and what shows them


def make(chance: Random) -> bytes:
    rows = [_row(chance) for _ in range(chance.choice((0, 1, 1, 2, 4)))]
    texts = {"title": _text(chance), "heading": _text(chance), "note": _text(chance)}
    limit = chance.choice((0, 1 << 30))
    return json.dumps({**texts, "rows": rows, "limit": limit}).encode()


def _text(chance: Random) -> str:
    if chance.random() < 0.7:
        return "".join(chance.choices(STRINGS, k=chance.choice((1, 1, 2))))
    return "".join(chr(chance.randrange(0x110000)) for _ in range(chance.randrange(8)))


def _row(chance: Random) -> dict[str, Any]:
    values = {}
    for column in chance.sample((*COLUMNS, _text(chance)), k=chance.randrange(4)):
        # columns with a format hold numbers, by whoever makes the report
        pool = NUMBERS if column in FORMATS or chance.random() < 0.5 else (_text(chance),)
        values[column] = chance.choice(pool)
    pictures = [_picture(chance) for _ in range(chance.choice((0, 0, 1, 2, 3)))]
    error = _text(chance) if chance.random() < 0.2 else None
    return {"name": _text(chance), "values": values, "error": error, "pictures": pictures}


def _picture(chance: Random) -> dict[str, Any]:
    if chance.random() < 0.5:
        kind = seeds.files()[chance.choice(list(seeds.files()))]
        data = kind[chance.choice(list(kind))]
    else:
        data = read.mutant(chance)
    extension = chance.choice((*seeds.writable(), ".PNG", ".html", ".svg", ""))
    made: dict[str, Any] = {"name": _text(chance), "file": f"{_text(chance)[:40]}{extension}"}
    if chance.random() < 0.95:  # or it is gone
        made["data"] = base64.b64encode(data).decode()
    return made


def run(case: bytes, folder: Path) -> None:
    told = json.loads(case)
    pictures = folder / "pictures"
    pictures.mkdir()
    rows = [_made(row, pictures) for row in told.get("rows", ())]
    texts = {name: told.get(name, "") for name in ("title", "heading", "note")}
    made = Report(texts["title"], rows, [texts["note"]], FORMATS, texts["heading"] or "name")
    before = sorted(pictures.iterdir())
    for name in report.REPORT_FORMATS:
        path = folder / f"report.{name}"
        report.write(made, path, limit=told.get("limit", 0))
        CHECKS[name](path.read_text(encoding="utf-8"), made)
    assert sorted(pictures.iterdir()) == before, "what was there has changed"
    paths = [picture.path for row in rows for picture in row.pictures]
    if paths:
        row = compare.given(paths[:2], paths[-1])
        report.text(Report("compared", [row], formats=compare.VERSION_COLUMNS), "html")


def _made(told: dict[str, Any], folder: Path) -> Row:
    pictures = []
    for each in told.get("pictures", ()):
        path = folder / each.get("file", "a.png").replace("/", "").replace("\0", "")
        if "data" in each:
            try:
                path.write_bytes(base64.b64decode(each["data"]))
            except (OSError, UnicodeEncodeError):  # a name that no file can have
                path = folder / "a.png"
        pictures.append(Picture(each.get("name", ""), path, {"seconds": 0.5}))
    return Row(told.get("name", ""), told.get("values", {}), told.get("error"), tuple(pictures))


class _Elements(HTMLParser):
    """The elements of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def _check_html(text: str, made: Report) -> None:
    page = _Elements()
    page.feed(text)
    scripts = [tag for tag, _ in page.found if tag == "script"]
    assert len(scripts) == SCRIPTS, f"{len(scripts)} scripts in the page"
    for tag, attributes in page.found:
        assert tag in TAGS, f"an element {tag}"
        assert not any(name.startswith("on") for name in attributes), attributes
        source = attributes.get("src") or ""
        assert source.startswith(("data:image/", "report_files/", "")), source
        assert not source.lower().startswith(("javascript:", "http", "data:text")), source
    data = text.partition('id="rows">')[2].partition("</script>")[0]
    json.loads(data)


def _check_json(text: str, made: Report) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    assert len(json.loads(text, parse_constant=refuse)["rows"]) == len(made.lines)


def _check_csv(text: str, made: Report) -> None:
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert len(rows) == len(made.lines) + 1, "rows of the table"
    assert len({len(row) for row in rows}) == 1, "columns of the table"
    for cell in _cells(rows):
        number = cell.lstrip("+-").replace(".", "").replace("e", "").replace("-", "")
        plain = number.isdigit() or cell == "-inf"
        assert plain or not cell.startswith(("=", "+", "-", "@", "\t", "\r")), f"a formula {cell!r}"


def _cells(rows: list[list[str]]) -> Iterator[str]:
    for row in rows:
        yield from row


def _check_markdown(text: str, made: Report) -> None:
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) >= len(made.lines) + 2, "lines of the table"
    assert "<script" not in text


TAGS = frozenset(
    (
        *("html", "head", "meta", "link", "title", "style", "body", "header", "h1", "h2", "main"),
        *("script", "section", "ul", "li", "b", "button", "img", "span", "div", "dialog", "table"),
        *("thead", "tbody", "tr", "th", "td", "p", "figure"),
    )
)
CHECKS = {"html": _check_html, "json": _check_json, "csv": _check_csv, "md": _check_markdown}
