"""Tables in Parquet, and in Arrow's IPC format as files (Feather) and as streams.

Parquet is read row group by row group, a bounded number of rows at a time; Arrow record batch by
record batch, a file mapped into memory. Columns are understood as `provis_fast.proteins.columns`
says; lists may be of any of Arrow's list types, and text may be dictionary-encoded.

Nothing in a file is believed: every batch is validated in full before any of it is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from provis_fast.errors import InputError, ProvisError
from provis_fast.proteins.columns import SOMETHING, Cell, Columns
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.opening import is_compressed, open_text
from provis_fast.proteins.record import Protein, SetAside

FILE_MAGIC = b"ARROW1"
PARQUET_MAGIC = b"PAR1"
_FEATHER1_MAGIC = b"FEA1"
#: Rows of Parquet decoded at a time, as far as they stay below so many bytes.
_ROWS = 1024
_BYTES = 16 << 20
#: What a damaged file makes pyarrow raise.
_DAMAGE = (
    pa.ArrowException, OSError, MemoryError, ValueError, TypeError, KeyError, IndexError,
    OverflowError, RecursionError,
)  # fmt: skip


def read_parquet(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read a Parquet file; see `read_batches`."""
    return read_batches(path, source, reading, _parquet_batches)


def read_arrow(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read an Arrow IPC file or stream, told apart by how it begins; see `read_batches`."""
    return read_batches(path, source, reading, _arrow_batches)


def read_batches(
    path: Path,
    source: str,
    reading: Reading,
    batches_of: Callable[[Path], Iterator[pa.RecordBatch]],
) -> Iterator[Protein | SetAside]:
    """Read a table as a stream of record batches.

    Parameters
    ----------
    path : Path
    source : str
        What to call the file in records.
    reading : Reading
        Its `id_column` and `sequence_column` name columns.
    batches_of : callable
        Yields the batches of the file.

    Yields
    ------
    Protein or SetAside
        One for each row, in the file's order. Where the file is damaged further on, the last one
        says from which row.

    Raises
    ------
    InputError
        If the file cannot be read, is damaged before its first row, has no row, or no column with
        sequences.
    """
    row = 0
    columns: Columns | None = None
    batches = batches_of(path)
    while True:
        try:
            with damage_told(path):
                batch = next(batches, None)
                if batch is None:
                    break
                batch.validate(full=True)
                if columns is None:
                    _check_no_part(batch.schema, path)
                    columns = Columns(batch.schema.names, path, source, reading)
                rows = list(zip(*_cells(batch, columns), strict=True))
        except InputError as error:
            if not row:
                raise
            reason = f"from row {row + 1:,} on nothing can be read: {error.reason}"
            yield SetAside(source, "failed", reason, source)
            return
        for cells in rows:
            row += 1
            yield columns.protein(row, cells)
    if not row:
        raise InputError("the table has no row", path)


def _check_no_part(schema: pa.Schema, path: Path) -> None:
    """A part alone would be read without the contacts and the records that were set aside."""
    if b"provis_fast.format" in (schema.metadata or {}):
        raise InputError("is a part of a prepared data set: give the folder as a whole", path)


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Turn what pyarrow raises about a file into InputError."""
    try:
        yield
    except ProvisError:
        raise
    except _DAMAGE as error:
        lines = str(error).strip().splitlines()
        what = f"{type(error).__name__}: {lines[0][:200] if lines else 'no more is known'}"
        raise InputError(
            f"cannot be read, or is damaged or cut off ({what}); restore it from a copy, or write "
            "it again",
            path,
        ) from error


def _parquet_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with open(path, "rb") as stream:
        if not stream.read(1):
            raise InputError("the file is empty", path)
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        names = [field.name for field in file.schema_arrow if _usable(field.type)]
        others = [field.name for field in file.schema_arrow if not _usable(field.type)]
        metadata = file.metadata
        for group in range(metadata.num_row_groups):
            about = metadata.row_group(group)
            each = max(1, about.total_byte_size) // max(1, about.num_rows)
            rows = max(1, min(_ROWS, _BYTES // max(1, each)))
            for batch in file.iter_batches(rows, row_groups=[group], columns=names):
                for name in others:  # told of, though not decoded
                    batch = batch.append_column(name, pa.nulls(len(batch)))
                yield batch


def _arrow_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with open_text(path) as stream:
        magic = stream.read(len(FILE_MAGIC))
    if not magic:
        raise InputError("the file is empty", path)
    if magic.startswith(_FEATHER1_MAGIC):
        raise InputError("Feather version 1 is not read: write it as Feather version 2", path)
    if magic == FILE_MAGIC and is_compressed(path):
        raise InputError(
            "an Arrow file is mapped into memory and cannot be compressed as a whole: decompress "
            "it, or write it as an Arrow stream or with compressed buffers",
            path,
        )
    if magic == FILE_MAGIC:
        with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as reader:
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)
    else:
        with open_text(path) as stream, pa.ipc.open_stream(stream) as reader:
            yield from reader


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    kind = _plain(kind)
    return any(
        told(kind)
        for told in (
            pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
            pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view,
        )
    )  # fmt: skip


def _is_list(kind: pa.DataType) -> bool:
    return any(
        told(kind)
        for told in (
            pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list,
            pa.types.is_list_view, pa.types.is_large_list_view,
        )
    )  # fmt: skip


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)


def _usable(kind: pa.DataType) -> bool:
    """Whether a column may say something of a protein."""
    if _is_list(kind):
        return _is_number(kind.value_type) or _is_text(kind.value_type)
    return _is_text(kind) or pa.types.is_integer(_plain(kind))


def _cells(batch: pa.RecordBatch, columns: Columns) -> list[list[Cell]]:
    """Cells of each column; the names of rows and clusters may be integers."""
    names = {columns.id, columns.cluster}
    return [_column_cells(column, index in names) for index, column in enumerate(batch.columns)]


def _column_cells(column: pa.Array, names: bool) -> list[Cell]:
    kind = column.type
    if not _usable(kind):
        return [SOMETHING] * len(column)
    if _is_list(kind):
        as_text = _is_text(kind.value_type)
        convert = _listed_text if as_text else _numbers
        return [convert(item.values) if item.is_valid else None for item in column]
    if pa.types.is_dictionary(kind):
        # Each text once, however many rows have it: a short file may repeat a long one.
        values = _column_cells(column.dictionary, names)
        return [None if i is None else values[i] for i in column.indices.to_pylist()]
    if _is_text(kind):
        return [_text(value) for value in column.to_pylist()]
    if names:
        return [None if value is None else str(value) for value in column.to_pylist()]
    return [None if value is None else SOMETHING for value in column.to_pylist()]


def _text(value: Any) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _listed_text(values: pa.Array) -> str:
    """A list of words as the JSON list that a table of text would have."""
    return json.dumps([_text(value) for value in values.to_pylist()])


def _numbers(values: pa.Array) -> np.ndarray:
    """A list of numbers; unknown is -1 among whole numbers, else NaN."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    if not values.null_count or pa.types.is_floating(values.type):
        return values.to_numpy(zero_copy_only=False)
    known = values.drop_null().to_numpy(zero_copy_only=False)
    limits = np.iinfo(np.int16)
    if len(known) and not limits.min <= int(known.min()) <= int(known.max()) <= limits.max:
        return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    found = np.full(len(values), -1, np.int16)
    found[values.is_valid().to_numpy(zero_copy_only=False)] = known
    return found
