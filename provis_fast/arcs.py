"""Files of arcs: every pair of residues with high attention, one row each.

An arc file is Parquet with these columns, in this order, and sorted by the first five within each
protein; proteins come in the order in which they were analysed.

=========  ==========  ==========================================================
column     type        what
=========  ==========  ==========================================================
protein    string      id of the protein
layer      int16       counted from 1
head       int16       counted from 1
query      int32       residue that attends: position in the sequence, from 1
key        int32       residue that is attended to: position in the sequence, from 1
weight     float32     attention, the threshold or more
=========  ==========  ==========================================================

Positions count the residues of the analysed sequence, special tokens apart; they are not the
author's residue numbers of a structure. The file's metadata carry `FORMAT` and its version under
``provis_fast.format`` and ``provis_fast.format_version``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike

from provis_fast.atomic import cannot_write, new_file_mode
from provis_fast.errors import ArgumentError, ResultError

FORMAT = "provis_fast.arcs"
FORMAT_VERSION = 1

_IN_RESULTS = "arcs.parquet"  # `provis_fast.storage.ARCS`

SCHEMA = pa.schema(
    [
        pa.field("protein", pa.string(), nullable=False),
        pa.field("layer", pa.int16(), nullable=False, metadata={"note": "counted from 1"}),
        pa.field("head", pa.int16(), nullable=False, metadata={"note": "counted from 1"}),
        pa.field("query", pa.int32(), nullable=False, metadata={"note": "position from 1"}),
        pa.field("key", pa.int32(), nullable=False, metadata={"note": "position from 1"}),
        pa.field("weight", pa.float32(), nullable=False),
    ],
    metadata={"provis_fast.format": FORMAT, "provis_fast.format_version": str(FORMAT_VERSION)},
)
"""Schema of arc files."""


class ArcWriter:
    """Writes arcs into a Parquet file, which appears whole when the writer is closed.

    Use it as a context manager: after an exception inside the block no file is left, and what stood
    there before still does.

    Parameters
    ----------
    path : str or path

    Raises
    ------
    ResultError
        The file cannot be written, or the disk is full.
    """

    def __init__(self, path: str | PathLike[str]):
        self._path = Path(path)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
            self._temporary = Path(name)
            self._stream = os.fdopen(handle, "wb")
        except OSError as error:
            raise cannot_write(path, error) from error
        self._parquet = pq.ParquetWriter(self._stream, SCHEMA, compression="zstd")

    def write(
        self,
        proteins: Sequence[str],
        sequence: ArrayLike,  # int [N]
        layer: ArrayLike,  # int [N]
        head: ArrayLike,  # int [N]
        query: ArrayLike,  # int [N]
        key: ArrayLike,  # int [N]
        weight: ArrayLike,  # float [N]
    ) -> None:
        """Append the arcs of some proteins, in any order; all arcs of a protein in one call.

        Parameters
        ----------
        proteins : sequence of str
            Ids.
        sequence : int [N]
            Protein of each arc, as an index into `proteins`.
        layer, head, query, key : int [N]
            0-based, as everywhere in Python; written counted from 1.
        weight : float [N]

        Raises
        ------
        ArgumentError
            Arrays of unequal length, or negative numbers.
        ResultError
            The file cannot be written, or the disk is full.
        """
        names = ("sequence", "layer", "head", "query", "key")
        indices = [np.asarray(array) for array in (sequence, layer, head, query, key)]
        weight = np.asarray(weight, dtype=np.float32)
        for name, array in zip(names, indices, strict=True):
            if array.shape != weight.shape or array.ndim != 1:
                shapes = f"{list(array.shape)} and {list(weight.shape)}"
                raise ArgumentError(f"{name}, weight: expected one length, got shapes {shapes}")
            if array.size and (array.dtype.kind not in "iu" or int(array.min()) < 0):
                raise ArgumentError(f"{name}: expected integers from 0, got {array}")
        if weight.size == 0:
            return
        if int(indices[0].max()) >= len(proteins):
            raise ArgumentError(
                f"sequence: expected indices below {len(proteins)}, got {int(indices[0].max())}"
            )
        order = np.lexsort(indices[::-1])
        sequence, layer, head, query, key = (array[order] for array in indices)
        columns = [
            pa.array(np.asarray(proteins, dtype=object)[sequence], pa.string()),
            pa.array((layer + 1).astype(np.int16)),
            pa.array((head + 1).astype(np.int16)),
            pa.array((query + 1).astype(np.int32)),
            pa.array((key + 1).astype(np.int32)),
            pa.array(weight[order]),
        ]
        try:
            self._parquet.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Finish the file and move it into place."""
        try:
            self._parquet.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            os.chmod(self._temporary, new_file_mode())
            os.replace(self._temporary, self._path)
        except OSError as error:
            self.discard()
            raise cannot_write(self._path, error) from error

    def discard(self) -> None:
        """Leave nothing behind."""
        for close in (self._parquet.close, self._stream.close):
            with suppress(OSError, ValueError):
                close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> ArcWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def read_arcs(path: str | PathLike[str]) -> pa.Table:
    """Read an arc file.

    Parameters
    ----------
    path : str or path
        The file, or the folder of a result that has one (``arcs.parquet``).

    Returns
    -------
    pyarrow.Table
        With `SCHEMA`: layers, heads and positions counted from 1.

    Raises
    ------
    ResultError
        No arc file, or one of another version.
    """
    path = Path(path)
    if path.is_dir():
        folder, path = path, path / _IN_RESULTS
        if not path.is_file():
            raise ResultError(
                f"{folder}: there is no {_IN_RESULTS} in this folder; give an arc file, or the "
                "folder of a result of an analysis with --arcs"
            )
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ResultError(f"{path}: cannot be read as an arc file ({error})") from error
    metadata = table.schema.metadata or {}
    found = metadata.get(b"provis_fast.format", b"").decode()
    version = metadata.get(b"provis_fast.format_version", b"").decode()
    if found != FORMAT or version != str(FORMAT_VERSION):
        raise ResultError(
            f"{path}: expected {FORMAT} version {FORMAT_VERSION}, got {found or 'no format'} "
            f"version {version or 'unknown'}; use the release of provis_fast that wrote it"
        )
    return table
