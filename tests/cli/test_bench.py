from __future__ import annotations

import re
from pathlib import Path

import pytest

from srup.cli import run
from srup.inference.engines import libraries
from srup.inference.engines.choice import choose
from srup.models import registry
from tests.conftest import json_lines
from tests.data.draw import draw


def test_a_row_for_each_precision(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "bench",
        "-m",
        "imdn-rtc",
        "-s",
        "2",
        "--side",
        "64",
        "--runs",
        "1",
        "-d",
        "cpu",
        "--engine",
        "pytorch",
        "--json",
    ]
    assert run([*arguments, "--precision", "fp32"]) == 0
    (row,) = json_lines(capsys.readouterr().out)
    assert (row["network"], row["engine"], row["device"], row["precision"]) == (
        "imdn-rtc",
        "pytorch",
        "cpu",
        "fp32",
    )
    assert all(float(str(row[name])) > 0 for name in ("LR MP/s", "MB", "s", "of ceiling"))


def test_the_page_has_a_chart(tmp_path: Path) -> None:
    page = tmp_path / "speed.html"
    small = ["-s", "2", "--side", "64", "--side", "32", "--runs", "1", "-d", "cpu"]
    how = ["--engine", "pytorch", "--precision", "fp32"]
    assert run(["bench", "-m", "imdn-rtc", *small, *how, "-o", str(page)]) == 0
    text = page.read_text()
    (chart,) = re.findall(r'<figure class="plot">(.*?)</figure>', text, re.DOTALL)
    assert chart.count("<rect") == 2 * 2  # for desks, and for telephones
    for word in ("imdn-rtc", "pytorch, cpu, fp32, 0.0041 MP", "megapixels of the input"):
        assert f">{word}" in chart


def test_a_network_that_cannot_do_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "-m", "imdn-rtc", "-s", "3"]) == 2
    assert "imdn-rtc has no ×3; it has ×2" in capsys.readouterr().err


def test_a_picture_is_measured_and_the_faster_engine_remembered(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(80, 60).save(tmp_path / "photo.jpg")
    measured = ["bench", "-m", "imdn-rtc", "-s", "2", "--runs", "1", "-d", "cpu"]
    assert run([*measured, "--file", str(tmp_path / "photo.jpg"), "--save", "--json"]) == 0
    rows = json_lines(capsys.readouterr().out)
    seconds = {str(row["engine"]): float(str(row["s"])) for row in rows}
    assert {row["LR MP"] for row in rows} == {80 * 60 / 1e6}
    assert seconds.keys() == libraries().keys()
    assert (cache / "engines.json").exists()
    fastest = min(seconds, key=seconds.__getitem__)
    assert choose(registry.find("imdn-rtc")[2], "auto", 1e6) == fastest


def test_one_engine_leaves_nothing_to_remember(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "-m", "imdn-rtc", "-s", "2", "--engine", "pytorch", "--save"]) == 2
    assert "leave out --engine" in capsys.readouterr().err
