"""The table beside a shard, where pyarrow is not installed."""

from __future__ import annotations

import csv
from pathlib import Path

from srup.batch.shards.status import COLUMNS, write_status
from srup.pipeline import Result


def test_no_name_of_a_member_is_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    names = ["=1+1.png", "plain.png", "zero\0.png"]
    write_status(path, [Result(name, name, "done") for name in names], as_csv=True)
    with path.open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file)
    assert heading == list(COLUMNS)
    assert [row[0] for row in rows] == ["'=1+1.png", "plain.png", r"zero\x00.png"]
