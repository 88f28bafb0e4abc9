"""Where rows of single proteins wait until an analysis is complete.

Rows come unit by unit (`provis_fast.units`), in whatever order several workers finish them, and the
process may be killed at any moment. A spool takes them as they come and, in the end, writes Parquet
files in the order of the units, whose bytes depend on the rows and their units alone.

A spool is a folder of two files that only grow:

``rows.spool``
    Frames, one per unit: `_FRAME` (mark, block, part, bytes of the payload, its CRC-32), then for
    each table, in the order of their names, 8 bytes of length and an Arrow IPC stream of one batch.
``index.spool``
    For each frame four int64, little endian: block, part, first byte and bytes.

`Spool.commit` flushes both and returns their lengths. What was written after that belongs to no
checkpoint, and `Spool.resume` cuts it off. Memory holds the rows of one unit and one row group per
table; the index is read when the files are written (32 bytes a unit).
"""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from provis_fast.atomic import cannot_write, flush_folder, replaced_file, replaced_folder
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.row_groups import RowGroupWriter

FORMAT = "provis_fast.spool"
FORMAT_VERSION = 1
ROWS, INDEX = "rows.spool", "index.spool"

_FRAME = struct.Struct("<8sqqQI")
_MARK = b"PFrows01"
_LENGTH = struct.Struct("<Q")
_ENTRY = np.dtype([("block", "<i8"), ("part", "<i8"), ("at", "<i8"), ("bytes", "<i8")])
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Spool:
    """Rows of the units of an analysis, by table; a folder on the disk.

    Parameters
    ----------
    folder : str or path
        Made where it is not there. An earlier spool in it begins anew.
    schemas : mapping of str to pyarrow.Schema
        Every table, also those that may stay empty. Rows may have other types in between, as long
        as they can be cast: text as a dictionary, for one.

    Raises
    ------
    ResultError
        The folder cannot be written, or the disk is full.
    """

    def __init__(self, folder: str | PathLike[str], schemas: Mapping[str, pa.Schema]):
        self._begin(folder, schemas)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._open("wb")
            flush_folder(self.folder)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def _begin(self, folder: str | PathLike[str], schemas: Mapping[str, pa.Schema]) -> None:
        self.folder = Path(folder)
        self._schemas = {name: schemas[name] for name in sorted(schemas)}
        self._streams: list[BinaryIO] = []

    def _open(self, mode: str) -> None:
        for leftover in self.folder.glob(".*/"):  # of a process that was killed while it finished
            shutil.rmtree(leftover, ignore_errors=True)
        for name in (ROWS, INDEX):
            self._streams.append(open(self.folder / name, mode))

    @classmethod
    def resume(
        cls, folder: str | PathLike[str], state: Mapping[str, Any], schemas: Mapping[str, pa.Schema]
    ) -> Spool:
        """A spool as it was when `commit` returned `state`; what came later is cut off.

        Raises
        ------
        ResultError
            There is no spool, it has lost what had been committed, or it is one of other tables.
        """
        spool = cls.__new__(cls)
        spool._begin(folder, schemas)
        spool._check_state(state)
        try:
            for name, length in ((ROWS, state["rows_bytes"]), (INDEX, state["index_bytes"])):
                path = spool.folder / name
                if not path.is_file():
                    raise ResultError(
                        f"{path}: the rows of single proteins that the checkpoint speaks of are "
                        "not there; restore the file, or begin anew without the checkpoint "
                        "(--no-resume)"
                    )
                if (found := path.stat().st_size) < length:
                    raise ResultError(
                        f"{path}: expected at least {length:,} bytes, as the checkpoint says, got "
                        f"{found:,}; restore the file, or begin anew without the checkpoint "
                        "(--no-resume)"
                    )
                os.truncate(path, length)
            spool._open("ab")
        except OSError as error:
            spool.close()
            raise cannot_write(spool.folder, error) from error
        return spool

    def _check_state(self, state: Mapping[str, Any]) -> None:
        if (state.get("format"), state.get("format_version")) != (FORMAT, FORMAT_VERSION):
            raise ResultError(
                f"{self.folder}: expected the state of a {FORMAT} version {FORMAT_VERSION}, got "
                f"{state.get('format')} version {state.get('format_version')}; use the release of "
                "provis_fast that wrote it"
            )
        if state["tables"] != self._checksums():
            raise ResultError(
                f"{self.folder}: rows of other tables wait there "
                f"({', '.join(state['tables']) or 'none'}, expected "
                f"{', '.join(self._schemas) or 'none'} with the same columns); resume with the "
                "options of the interrupted analysis, or begin anew (--no-resume)"
            )

    def _checksums(self) -> dict[str, int]:
        """A checksum of each table's columns and metadata."""
        return {
            name: zlib.crc32(schema.to_string(show_schema_metadata=True).encode())
            for name, schema in self._schemas.items()
        }

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables."""
        return tuple(self._schemas)

    def append(self, unit: tuple[int, int], tables: Mapping[str, pa.RecordBatch]) -> None:
        """Take the rows of a unit: all of it at once, and every unit once.

        Parameters
        ----------
        unit : (block, part)
        tables : mapping of str to RecordBatch
            Columns named as in the schemas. A table may be left out, and so may a unit of no rows.

        Raises
        ------
        ArgumentError
            A table or columns that the spool does not know.
        ResultError
            The folder cannot be written, or the disk is full. What the last commit knew is safe.
        """
        if unknown := tables.keys() - self._schemas.keys():
            raise ArgumentError(
                f"tables: expected some of {', '.join(self._schemas)}, got {sorted(unknown)[0]!r}"
            )
        pieces = []
        for name, schema in self._schemas.items():
            piece = b""
            if (batch := tables.get(name)) is not None and batch.num_rows:
                if batch.schema.names != schema.names:
                    raise ArgumentError(
                        f"{name}: expected columns {schema.names}, got {batch.schema.names}"
                    )
                piece = _to_bytes(batch)
            pieces += [_LENGTH.pack(len(piece)), piece]
        if not any(pieces[1::2]):
            return
        size, checksum = sum(map(len, pieces)), 0
        for piece in pieces:
            checksum = zlib.crc32(piece, checksum)
        rows, index = self._streams
        try:
            at = rows.tell()
            rows.write(_FRAME.pack(_MARK, *unit, size, checksum))
            rows.writelines(pieces)
            index.write(np.array((*unit, at, _FRAME.size + size), dtype=_ENTRY).tobytes())
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def append_parts(
        self, parts: Iterable[tuple[tuple[int, int], Mapping[str, pa.RecordBatch]]]
    ) -> None:
        """Take the rows of some units as workers tell them: a unit may come in several parts.

        All parts of a unit must be there, in the order of its rows. See `append`.
        """
        units: dict[tuple[int, int], list[Mapping[str, pa.RecordBatch]]] = {}
        for unit, tables in parts:
            units.setdefault(unit, []).append(tables)
        for unit, found in units.items():
            self.append(unit, found[0] if len(found) == 1 else _joined(found))

    def commit(self) -> dict[str, Any]:
        """Bring everything to the disk.

        Returns
        -------
        dict
            What `resume` needs; JSON types.

        Raises
        ------
        ResultError
            The folder cannot be written, or the disk is full.
        """
        try:
            for stream in self._streams:
                stream.flush()
                os.fsync(stream.fileno())
            rows, index = (stream.tell() for stream in self._streams)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "rows_bytes": rows,
            "index_bytes": index,
            "tables": self._checksums(),
        }

    def finish(
        self,
        target: str | PathLike[str],
        shard: tuple[int, int] = (1, 1),
        tables: Sequence[str] | None = None,
    ) -> None:
        """Write tables into a folder, which appears whole or not at all.

        The spool stays as it is, and can be finished again.

        Parameters
        ----------
        target : str or path
            Becomes a folder of ``TABLE/shard=0001-of-0001/part-0.parquet``; one that stands there
            is replaced.
        shard : (index, of)
            Which shard of the input this was, from 1.
        tables : sequence of str, optional
            Default: all.

        Raises
        ------
        ResultError
            The target cannot be written, the disk is full, or the spool is damaged.
        """
        with replaced_folder(Path(target)) as folder:
            names = self._schemas if tables is None else tables
            paths = {name: folder / name / partition(*shard) for name in names}
            self._write(paths)

    def finish_table(self, name: str, path: str | PathLike[str]) -> None:
        """Write one table into a file, which appears whole or not at all; as `finish` does."""
        with replaced_file(Path(path)) as temporary:
            self._write({name: temporary})

    def _write(self, paths: Mapping[str, Path]) -> None:
        for stream in self._streams:
            stream.flush()
        writers: dict[str, RowGroupWriter] = {}
        try:
            for name, path in paths.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                writers[name] = RowGroupWriter(path, self._schemas[name])
            with open(self.folder / ROWS, "rb") as rows:
                for entry in self._in_order():
                    for name, batch in self._read(rows, entry).items():
                        if name in writers:
                            writers[name].write(batch)
            for writer in writers.values():
                writer.close()
        except BaseException:
            for writer in writers.values():
                writer.discard()
            raise

    def _in_order(self) -> np.ndarray:
        """Entries of the index by unit."""
        path = self.folder / INDEX
        entries = np.fromfile(path, dtype=_ENTRY)
        entries = entries[np.lexsort((entries["part"], entries["block"]))]
        same = (entries["block"][1:] == entries["block"][:-1]) & (
            entries["part"][1:] == entries["part"][:-1]
        )
        if same.any():
            block, part = entries[1:][same][0].tolist()[:2]
            raise ResultError(f"{path}: damaged: unit {block}, {part} stands there twice; {_ANEW}")
        return entries

    def _read(self, rows: BinaryIO, entry: np.void) -> dict[str, pa.RecordBatch]:
        block, part, at, size = entry.tolist()
        rows.seek(at)
        frame = rows.read(size)
        if len(frame) == size >= _FRAME.size:
            mark, *unit, length, checksum = _FRAME.unpack_from(frame)
            payload = memoryview(frame)[_FRAME.size :]
            if (mark, unit, length) == (_MARK, [block, part], len(payload)):
                if zlib.crc32(payload) == checksum:
                    return self._tables_of(payload)
        raise ResultError(
            f"{rows.name}: damaged at byte {at:,} (unit {block}, {part}): what is there is not "
            f"what was written; {_ANEW}"
        )

    def _tables_of(self, payload: memoryview) -> dict[str, pa.RecordBatch]:
        tables, at = {}, 0
        for name in self._schemas:
            (length,) = _LENGTH.unpack_from(payload, at)
            at += _LENGTH.size
            if length:
                with pa.ipc.open_stream(pa.py_buffer(payload[at : at + length])) as reader:
                    tables[name] = reader.read_next_batch()
            at += length
        return tables

    def close(self) -> None:
        """Close the files; they stay where they are."""
        streams, self._streams = self._streams, []
        failed: OSError | None = None
        for stream in streams:
            try:
                stream.close()
            except OSError as error:  # what was committed is on the disk
                failed = failed or error
        if failed is not None:
            raise cannot_write(self.folder, failed) from failed

    def remove(self) -> None:
        """Close the files and delete the folder."""
        try:
            self.close()
        except ResultError:
            pass
        shutil.rmtree(self.folder, ignore_errors=True)


_ANEW = "the disk or a copy has failed. Run the analysis anew, without the checkpoint (--no-resume)"


def partition(index: int, of: int) -> Path:
    """Place of a shard's part within its table's folder.

    Examples
    --------
    >>> partition(2, 16).as_posix()
    'shard=0002-of-0016/part-0.parquet'
    """
    return Path(f"shard={index:04}-of-{of:04}", "part-0.parquet")


def _joined(parts: Sequence[Mapping[str, pa.RecordBatch]]) -> dict[str, pa.RecordBatch]:
    joined = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        batches = [part[name] for part in parts if name in part]
        table = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks()
        joined[name] = table.to_batches()[0] if table.num_rows else batches[0]
    return joined


def _to_bytes(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()
