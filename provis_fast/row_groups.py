"""Parquet files whose bytes depend on their rows alone, however these come.

Row groups end after a fixed number of rows or, in tables of lists, with the row that makes their
elements too many. Where the batches of rows end plays no part.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from provis_fast.atomic import cannot_write

#: Numbers of a row group: rows times columns.
CELLS = 1 << 21
#: Rows of a row group, whatever the columns.
MIN_ROWS, MAX_ROWS = 1 << 10, 1 << 18
#: Elements of a row group's lists: 32 MiB of float32.
ELEMENTS = 1 << 23


class RowGroupWriter:
    """Writes one Parquet file.

    Parameters
    ----------
    path : Path
    schema : pyarrow.Schema

    Raises
    ------
    ResultError
        As from the methods: the file cannot be written, or the disk is full.
    """

    def __init__(self, path: Path, schema: pa.Schema):
        self._path, self._schema = path, schema
        self._rows = min(max(CELLS // len(schema), MIN_ROWS), MAX_ROWS)
        self._lists = [i for i, field in enumerate(schema) if pa.types.is_list(field.type)]
        self._pending: list[pa.Table] = []
        self._n_rows = self._n_elements = 0
        # Floats hardly repeat: a dictionary of them is given up after a while, at a cost.
        floats, others = [], []
        for field in schema:
            is_list = pa.types.is_list(field.type)
            element = field.type.value_type if is_list else field.type
            leaf = f"{field.name}.list.element" if is_list else field.name
            (floats if pa.types.is_float32(element) else others).append(leaf)
        try:
            self._stream = open(path, "wb")
            self._parquet = pq.ParquetWriter(
                self._stream,
                schema,
                compression="zstd",
                use_dictionary=others,
                use_byte_stream_split=floats,
            )
        except OSError as error:
            raise cannot_write(path, error) from error

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; columns as in the schema, in types that can be cast to its."""
        begin = 0
        sizes = self._elements(batch)
        while begin < batch.num_rows:
            end = min(begin + self._rows - self._n_rows, batch.num_rows)
            if sizes is not None:
                over = np.searchsorted(sizes, sizes[begin] + ELEMENTS - self._n_elements)
                end = min(end, max(int(over), begin + 1))
                self._n_elements += int(sizes[end] - sizes[begin])
            piece = pa.Table.from_batches([batch.slice(begin, end - begin)])
            self._pending.append(piece.cast(self._schema))
            self._n_rows += end - begin
            if self._n_rows == self._rows or self._n_elements >= ELEMENTS:
                self._end_group()
            begin = end

    def _elements(self, batch: pa.RecordBatch) -> np.ndarray | None:
        """Elements of the lists before each row and after the last, int64 [rows + 1]."""
        if not self._lists:
            return None
        sizes = np.zeros(batch.num_rows + 1, dtype=np.int64)
        for index in self._lists:
            lengths = pc.list_value_length(batch.column(index)).fill_null(0)
            sizes[1:] += lengths.to_numpy(zero_copy_only=False)
        return np.cumsum(sizes)

    def _end_group(self) -> None:
        if not self._n_rows:
            return
        table = pa.concat_tables(self._pending).combine_chunks()
        self._pending, self._n_rows, self._n_elements = [], 0, 0
        try:
            self._parquet.write_table(table, row_group_size=len(table))
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Write what is left, and bring the file to the disk."""
        self._end_group()
        try:
            self._parquet.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def discard(self) -> None:
        """Close without another word; the file is of no use."""
        for close in (self._parquet.close, self._stream.close):
            with suppress(OSError, ValueError):
                close()
