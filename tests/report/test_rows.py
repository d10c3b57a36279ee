from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path

import pytest

from srup.errors import UsageError, WriteError
from srup.report import REPORT_FORMATS, Picture, Report, Row, check, shown, text, write

ROWS = (
    Row("a|b.png", {"PSNR": 30.126, "seconds": 1.5}),
    Row("same.png", {"PSNR": math.inf, "note": "equal, as it is"}),
    Row("broken.png", error="cannot read it: damaged"),
)
REPORT = Report("Two <images>", ROWS, ["How it was done."], {"PSNR": ".2f"}, heading="image")


def test_columns_come_in_the_order_of_rows_and_errors_last() -> None:
    assert REPORT.columns == ["PSNR", "seconds", "note", "error"]
    assert REPORT.cells(ROWS[0]) == ["a|b.png", "30.13", "1.5", "–", ""]


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (None, "", "–"),
        (1234, "", "1,234"),
        (0.123456, "", "0.1235"),
        (math.inf, ".2f", "inf"),
        ("x", ".2f", "x"),
        (True, "", "yes"),
        (False, ".2f", "no"),
    ],
)
def test_values_as_they_are_shown(value: float | str | None, spec: str, expected: str) -> None:
    assert shown(value, spec) == expected


def test_json_is_strict_and_in_full() -> None:
    def no_constants(name: str) -> None:
        pytest.fail(f"{name} is not JSON")

    read = json.loads(text(REPORT, "json"), parse_constant=no_constants)
    assert read["rows"][0] == {"image": "a|b.png", "PSNR": 30.126, "seconds": 1.5}
    assert read["rows"][1]["PSNR"] == "inf"
    assert read["rows"][2] == {"image": "broken.png", "error": "cannot read it: damaged"}


def test_csv_reads_back() -> None:
    first, second, third = csv.DictReader(io.StringIO(text(REPORT, "csv")))
    assert (first["image"], float(first["PSNR"])) == ("a|b.png", 30.126)
    assert (float(second["PSNR"]), second["note"]) == (math.inf, "equal, as it is")
    assert third["error"] == "cannot read it: damaged"


def test_no_cell_of_csv_is_a_formula() -> None:
    names = ("=1+1", "+1", "-1", "@SUM(A1)", "\tx", "plain", "a=1")
    rows = [Row(name, {"note": "=2", "PSNR": -0.5, "gain": -math.inf}) for name in names]
    found = list(csv.DictReader(io.StringIO(text(Report("all", rows), "csv"))))
    assert [row["name"] for row in found] == [f"'{name}" for name in names[:5]] + ["plain", "a=1"]
    assert {row["note"] for row in found} == {"'=2"}
    headed = Report("all", [Row("a", {"@SUM(A1)": 1})], heading="=1+1")
    assert text(headed, "csv").splitlines()[0] == "'=1+1,'@SUM(A1)"
    assert [(float(row["PSNR"]), float(row["gain"])) for row in found] == [(-0.5, -math.inf)] * 7


def test_csv_has_no_zero_bytes() -> None:
    made = text(Report("all", [Row("a\0b", {"note": "\0=1"})]), "csv")
    assert made.splitlines()[1] == r"a\x00b,\x00=1"


def test_markdown_has_no_html_and_no_control_characters() -> None:
    nasty = "<script>a&b\x1b[2J|\n.png"
    made = text(Report(nasty, [Row(nasty, {"note": nasty})], [nasty]), "md")
    assert "<" not in made and "\x1b" not in made
    assert r"| &lt;script&gt;a&amp;b\x1b[2J\|\n.png | &lt;script" in made


@pytest.mark.parametrize("name", REPORT_FORMATS)
def test_names_that_are_not_utf8_can_be_written(name: str, tmp_path: Path) -> None:
    rows = [Row(os.fsdecode(b"\xff.png"), {"PSNR": 1.0})]
    write(Report("all", rows), tmp_path / f"report.{name}")
    assert r"\udcff.png" in (tmp_path / f"report.{name}").read_text(encoding="utf-8")


def test_markdown_is_a_table() -> None:
    lines = [line for line in text(REPORT, "md").splitlines() if line.startswith("|")]
    assert lines[1] == "| --- | ---: | ---: | --- | --- |"
    assert lines[2] == r"| a\|b.png | 30.13 | 1.5 | – |  |"


def test_pictures_with_values_have_lines() -> None:
    pictures = (Picture("input", Path("a.png")), Picture("lite", Path("b.png"), {"seconds": 1.0}))
    one = Report("one", [Row("photo", pictures=pictures)])
    assert [row.name for row in one.lines] == ["lite"]
    two = Report(
        "two",
        [Row("photo", pictures=pictures), Row("other", pictures=pictures), Row("bad", error="no")],
    )
    assert [row.name for row in two.lines] == ["photo, lite", "other, lite", "bad"]


@pytest.mark.parametrize("name", REPORT_FORMATS)
def test_written_by_extension_whole_or_not_at_all(name: str, tmp_path: Path) -> None:
    write(REPORT, tmp_path / f"report.{name}")
    assert (tmp_path / f"report.{name}").read_text() == text(REPORT, name)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(WriteError, match="create it first"):
        write(REPORT, tmp_path / "nowhere" / f"report.{name}")


def test_check_finds_what_cannot_be_written(tmp_path: Path) -> None:
    assert check(tmp_path / "a.HTM") == "html"
    with pytest.raises(UsageError, match=r"\.html, \.csv, \.json, \.md"):
        check(tmp_path / "report.pdf")
    with pytest.raises(WriteError, match="create it first"):
        check(tmp_path / "nowhere" / "report.csv")
    assert list(tmp_path.iterdir()) == []


def test_thousands_of_rows() -> None:
    """The cost of a cell does not grow with the number of rows; else this takes minutes."""
    rows = [Row(f"{number}.png", {"PSNR": float(number)}) for number in range(20_000)]
    assert text(Report("many", rows), "md").count("\n|") == 20_002


def test_a_summary_stands_above_the_table() -> None:
    """What has no value is left out; names say nothing to HTML."""
    summary = {"images": 1200, "seconds": 1.5, "made": None, "<b>": "<b>"}
    report = Report("sums", [Row("a", {"x": 1})], formats={"seconds": ".2f"}, summary=summary)
    assert json.loads(text(report, "json"))["summary"] == summary
    lines = text(report, "md").splitlines()
    assert lines[2:4] == ["- images: 1,200", "- seconds: 1.50"]
    assert "<b>" not in text(report, "md")
    html = text(report, "html")
    assert "<dt>images<dd>1,200" in html and "<dt>made" not in html and "<b>" not in html
    assert text(report, "csv") == "name,x\na,1\n"
