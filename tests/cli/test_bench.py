from __future__ import annotations

import pytest

from srup.cli import run
from tests.conftest import json_lines


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


def test_a_network_that_cannot_do_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "-m", "imdn-rtc", "-s", "3"]) == 2
    assert "imdn-rtc has no ×3; it has ×2" in capsys.readouterr().err
