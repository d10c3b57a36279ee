from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srup import batch
from srup.batch.shards import parquet as shards
from srup.images import read_image
from tests.batch.shards.test_tar import RECIPE, made, picture, status

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra srup[shards]")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra srup[shards]")


def sample_table(path: Path, count: int = 3) -> None:
    """Rows of an image, a caption and a class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [picture(20 + number % 5, "JPEG") for number in range(count)]
    table = {
        "image": pyarrow.array(images, pyarrow.binary()),
        "caption": [f"caption {number}" for number in range(count)],
        "class": list(range(count)),
    }
    parquet.write_table(pyarrow.table(table), path, row_group_size=20)


def cells(path: Path) -> list[Any]:
    """All values of a table."""
    return [value for row in parquet.read_table(path).to_pylist() for value in row.values()]


def size(data: bytes) -> tuple[int, int]:
    return read_image(io.BytesIO(data)).size


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_images_are_enlarged_and_other_columns_are_as_they_were(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the rows that are written at once."""
    monkeypatch.setattr(shards, "GROUP", 30_000)
    source, out = tmp_path / "in" / "a.parquet", tmp_path / "out"
    source.parent.mkdir()
    images = [picture(20 + number, "JPEG") for number in range(40)]
    table = pyarrow.table(
        {
            "n": pyarrow.array(range(40), pyarrow.int16()),
            "image": pyarrow.array(images, pyarrow.large_binary()),
            "words": [["a", str(number)] for number in range(40)],
        },
        metadata={"about": "pictures"},
    )
    parquet.write_table(table, source, compression=compression)
    (result,) = made(source, out).values()
    assert (result.status, result.images, result.failed) == ("done", 40, 0), result.error
    file, table = parquet.ParquetFile(out / "a.parquet"), parquet.read_table(source)
    assert file.schema_arrow.equals(table.schema, check_metadata=True)
    assert file.metadata.num_row_groups == 3
    after = file.read()
    assert after.drop_columns("image").equals(table.drop_columns("image"))
    assert [size(data.as_py()) for data in after["image"]] == [
        (2 * (20 + number), 32) for number in range(40)
    ]
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "0.jpg").write_bytes(images[0])
    made(tmp_path / "files", tmp_path / "enlarged")
    assert after["image"][0].as_py() == (tmp_path / "enlarged" / "0.png").read_bytes()


def test_the_struct_of_hugging_face(tmp_path: Path) -> None:
    """Bytes and path; a bad image is null in its row, and one that is elsewhere stays so."""
    source, out = tmp_path / "a.parquet", tmp_path / "out"
    rows = [
        {"bytes": picture(20), "path": "photos/0.jpg"},
        {"bytes": b"no image", "path": "photos/1.jpg"},
        {"bytes": None, "path": "photos/2.jpg"},
        {"bytes": picture(22), "path": None},
        None,
    ]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    table = pyarrow.table({"picture": pyarrow.array(rows, kind), "n": [*range(5)]})
    parquet.write_table(table, source)
    (result,) = made(source, out, replace(RECIPE, column="picture")).values()
    assert (result.status, result.images, result.failed) == ("done", 4, 2)
    after = parquet.read_table(out / "a.parquet")
    assert after.schema == table.schema
    first, bad, elsewhere, last, none = after["picture"].to_pylist()
    assert (first["path"], size(first["bytes"])) == ("photos/0.png", (40, 32))
    assert bad == {"bytes": None, "path": "photos/1.png"}
    assert (elsewhere, none) == (rows[2], None)
    assert (last["path"], size(last["bytes"])) == (None, (44, 32))
    assert [row["key"] for row in status(out / "a.parquet")] == ["0/0.jpg", "1/1.jpg", "2", "3"]
    errors = [str(row["error"]) for row in status(out / "a.parquet")]
    assert "a.parquet/1/1.jpg: not an image" in errors[1]
    assert "is a file elsewhere; put its bytes into the table" in errors[2]


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("picture", "has no column picture, or two; it has image, caption, class; column names"),
        ("caption", "the column caption is of string, and not of image files"),
    ],
)
def test_a_column_that_is_none(tmp_path: Path, column: str, told: str) -> None:
    sample_table(tmp_path / "a.parquet")
    recipe = replace(RECIPE, column=column)
    (result,) = made(tmp_path / "a.parquet", tmp_path / "out", recipe).values()
    assert (result.status, told in str(result.error)) == ("failed", True), result.error
    assert not [path for path in (tmp_path / "out").iterdir() if ".parquet" in path.name]


@pytest.mark.parametrize("rows", [0, 1])
def test_a_table_of_hardly_anything(tmp_path: Path, rows: int) -> None:
    sample_table(tmp_path / "a.parquet", rows)
    (result,) = made(tmp_path / "a.parquet", tmp_path / "out").values()
    assert (result.status, result.images) == ("done", rows), result.error
    assert parquet.read_table(tmp_path / "out" / "a.parquet").num_rows == rows


@pytest.mark.parametrize("keep", [0, 3, 100, -1000, -9])
def test_a_damaged_table_fails_whole(tmp_path: Path, keep: int) -> None:
    sample_table(tmp_path / "a.parquet", 30)
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:keep])
    (result,) = made(tmp_path / "a.parquet", tmp_path / "out").values()
    assert result.status == "failed"
    assert "damaged or cut short" in str(result.error)


def test_a_page_that_is_damaged(tmp_path: Path) -> None:
    sample_table(tmp_path / "a.parquet", 30)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    data[4:24] = b"\xff" * 20  # where the first page of the first column begins
    (tmp_path / "a.parquet").write_bytes(data)
    (result,) = made(tmp_path / "a.parquet", tmp_path / "out").values()
    assert result.status == "failed"
    assert "damaged or cut short" in str(result.error)
    assert batch.find([str(tmp_path / "out")]) == []
