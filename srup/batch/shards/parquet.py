"""Parquet files with a column of image files, as bytes or, as Hugging Face's datasets have them, as
a struct of bytes and path.

Rows are read and written a few at a time: a file may be larger than the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from srup.batch.shards.members import Members
from srup.errors import EngineUnavailable, ImageError, OutOfMemory, ReadError

ROWS = 16  # read at once
GROUP = 64 << 20  # bytes of a row group that is written
SHOWN = 8  # columns, in a message


def enlarge_parquet(source: Path, target: BinaryIO, members: Members) -> None:
    """Writes a Parquet file with the images of one column enlarged.

    An image that fails is null in its row. Raises ReadError for a file that is damaged or has no
    such column.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        about = f"{members.name} needs pyarrow: pip install 'srup[shards]'"
        raise EngineUnavailable(about) from error
    with _damage(members.name, pyarrow.ArrowException):
        file: Any = parquet.ParquetFile(source, pre_buffer=False)
        column = _column(file.schema_arrow, members)
        compression = _compression(file)
    with parquet.ParquetWriter(target, column.schema, compression=compression) as writer:
        waiting: list[Any] = []
        for batch in _batches(file, members.name, pyarrow.ArrowException):
            waiting.append(column.enlarged(batch))
            if sum(each.nbytes for each in waiting) >= GROUP:
                writer.write_table(pyarrow.Table.from_batches(waiting, column.schema))
                waiting = []
        if waiting:
            writer.write_table(pyarrow.Table.from_batches(waiting, column.schema))


@dataclass
class _Column:
    """The column of images: where it is, and the schema that it has with results in it."""

    members: Members
    index: int
    schema: Any
    row: int = 0

    def enlarged(self, batch: Any) -> Any:
        """Rows with their images enlarged."""
        import pyarrow

        images = [self._enlarged(each) for each in batch.column(self.index).to_pylist()]
        made = pyarrow.array(images, self.schema.field(self.index).type)
        columns = [*batch.columns[: self.index], made, *batch.columns[self.index + 1 :]]
        return pyarrow.RecordBatch.from_arrays(columns, schema=self.schema)

    def _enlarged(self, value: Any) -> Any:
        """A value of the column; what has no image stays as it is."""
        key, self.row = str(self.row), self.row + 1
        if not isinstance(value, dict):
            return None if value is None else self._made(key, value)
        path, data = value.get("path"), value.get("bytes")
        if data is None:
            if path is not None:
                about = f"{self.members.name}/{key}: its image {path} is a file elsewhere"
                self.members.refuse(key, ImageError(f"{about}; put its bytes into the table"))
            return value
        made = self._made(f"{key}/{PurePosixPath(path).name}" if path else key, data)
        named = PurePosixPath(path).with_suffix(self.members.extension) if path else None
        return {**value, "bytes": made, "path": named and str(named)}

    def _made(self, key: str, data: bytes) -> bytes | None:
        return self.members.enlarged(key, partial(_write, data))


def _write(data: bytes, file: BinaryIO) -> None:
    file.write(data)


def _column(schema: Any, members: Members) -> _Column:
    """The column of images by the recipe's name. Raises ReadError if there is none."""
    name = members.worker.recipe.column
    index: int = schema.get_field_index(name)
    if index < 0:
        there = ", ".join(schema.names[:SHOWN])
        about = f"{members.name} has no column {name}, or two; it has {there}"
        raise ReadError(about, "{column} names another")
    field = schema.field(index)
    if not _holds_images(field.type):
        about = f"{members.name}: the column {name} is of {field.type}, and not of image files"
        raise ReadError(about, "{column} names another")
    return _Column(members, index, schema.set(index, field.with_nullable(True)))


def _holds_images(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        fields = {
            kind.field(index).name: kind.field(index).type for index in range(kind.num_fields)
        }
        return "bytes" in fields and _holds_images(fields["bytes"])
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _compression(file: Any) -> str:
    """How the file is compressed, as its first column tells."""
    if not file.metadata.num_row_groups or not file.metadata.num_columns:
        return "snappy"
    name: str = file.metadata.row_group(0).column(0).compression
    return "none" if name == "UNCOMPRESSED" else name


def _batches(file: Any, name: str, damage: type[Exception]) -> Iterator[Any]:
    batches = file.iter_batches(ROWS)
    while True:
        with _damage(name, damage):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


@contextmanager
def _damage(name: str, damage: type[Exception]) -> Iterator[None]:
    """Turns what pyarrow raises for a file that is none into a ReadError."""
    try:
        yield
    except MemoryError as error:  # also an ArrowException
        raise OutOfMemory(f"{name}: its rows do not fit into the memory") from error
    except (damage, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        about = f"cannot read {name}: damaged or cut short ({reason}); get a whole copy of it"
        raise ReadError(about) from error
