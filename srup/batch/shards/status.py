"""The table beside a shard: what became of each of its images."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from srup.pipeline import Result
from srup.report.rows import Value, csv_cell

COLUMNS = {  # → their types in Parquet
    "key": "string",
    "status": "string",
    "error": "string",
    "seconds": "double",
    "bytes": "int64",
    "width": "int32",
    "height": "int32",
    "new_width": "int32",
    "new_height": "int32",
    "networks": "string",
    "consistency": "double",
}
ENDINGS = (".status.parquet", ".status.csv")


def status_name(shard: str) -> str:
    """The name of the table beside a shard: Parquet, or CSV where pyarrow is not installed."""
    return f"{shard}.status.{'parquet' if importlib.util.find_spec('pyarrow') else 'csv'}"


def shard_of_status(name: str) -> str:
    """The name of the shard that such a table is beside; other names as they are."""
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name


def is_status(name: str) -> bool:
    """Whether a file is called as such a table."""
    return name.lower().endswith(ENDINGS)


def write_status(path: Path, results: Sequence[Result], *, as_csv: bool) -> None:
    """Writes the table to a local file, as CSV or as Parquet. Raises OSError."""
    rows = [_row(result) for result in results]
    if as_csv:
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(map(csv_cell, row) for row in rows)
        return
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(list(COLUMNS.items()))
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in COLUMNS]
    parquet.write_table(pyarrow.table(dict(zip(COLUMNS, columns, strict=True)), schema), path)


def _row(result: Result) -> tuple[Value, ...]:
    width, height = result.before or (None, None)
    new_width, new_height = result.after or (None, None)
    error = _printable(str(result.error)) if result.error else None
    return (
        _printable(result.name),
        result.status,
        error,
        round(result.seconds, 4),
        result.bytes,
        width,
        height,
        new_width,
        new_height,
        result.networks or None,
        result.consistency,
    )


def _printable(text: str) -> str:
    """A text that can be written as UTF-8, whatever bytes a name has."""
    return text.encode(errors="backslashreplace").decode()
