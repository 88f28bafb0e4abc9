"""Lists of arcs: every pair of residues with high attention, one row each.

A list of arcs is Parquet with these columns, sorted by layer, head, query and key within each
protein; proteins come in the order of the units that the input was cut into.

=============  ==============  ==========================================================
column         type            what
=============  ==============  ==========================================================
record         int64           number of the protein's record in the input, from 1
protein        string          id of the protein
layer          int16           counted from 1
head           int16           counted from 1
query          int32           residue that attends: position in the sequence, from 1
key            int32           residue that is attended to: position in the sequence, from 1
weight         float32         attention, the (least) threshold or more
query_residue  string or null  author number of the query in its structure, insertion code
                               included ("52A"); null where it has none
key_residue    string or null  the same of the key
=============  ==============  ==========================================================

Positions count the residues of the analysed sequence, special tokens apart. The file's metadata
carry `FORMAT` and its version under ``provis_fast.format`` and ``provis_fast.format_version``.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from provis_fast.errors import ResultError

FORMAT = "provis_fast.arcs"
FORMAT_VERSION = 2

_TABLE = Path("per_protein", "arcs")

SCHEMA = pa.schema(
    [
        pa.field("record", pa.int64(), nullable=False, metadata={"note": "counted from 1"}),
        pa.field("protein", pa.string(), nullable=False),
        pa.field("layer", pa.int16(), nullable=False, metadata={"note": "counted from 1"}),
        pa.field("head", pa.int16(), nullable=False, metadata={"note": "counted from 1"}),
        pa.field("query", pa.int32(), nullable=False, metadata={"note": "position from 1"}),
        pa.field("key", pa.int32(), nullable=False, metadata={"note": "position from 1"}),
        pa.field("weight", pa.float32(), nullable=False),
        pa.field("query_residue", pa.string(), metadata={"note": "author number"}),
        pa.field("key_residue", pa.string(), metadata={"note": "author number"}),
    ],
    metadata={"provis_fast.format": FORMAT, "provis_fast.format_version": str(FORMAT_VERSION)},
)
"""Schema of lists of arcs."""


def read_arcs(path: str | PathLike[str]) -> pa.Table:
    """Read a list of arcs.

    Parameters
    ----------
    path : str or path
        A file that ``analyze(arcs=...)`` wrote, or the folder of a result that has arcs: all parts
        of it are read, one after the other.

    Returns
    -------
    pyarrow.Table
        With `SCHEMA`: layers, heads and positions counted from 1.

    Raises
    ------
    ResultError
        No list of arcs, or one of another version.
    """
    path = Path(path)
    if not path.is_dir():
        return _read_file(path)
    files = sorted((path / _TABLE).glob("shard=*/*.parquet"))
    if not files:
        raise ResultError(
            f"{path}: there is no {_TABLE.as_posix()} in this folder; give a file of arcs, or the "
            "folder of a result of an analysis with --per-protein arcs"
        )
    return pa.concat_tables([_read_file(file) for file in files])


def _read_file(path: Path) -> pa.Table:
    try:
        table = pq.ParquetFile(path).read()  # unlike read_table, blind to the folders' names
    except (OSError, pa.ArrowException) as error:
        raise ResultError(f"{path}: cannot be read as a list of arcs ({error})") from error
    metadata = table.schema.metadata or {}
    found = metadata.get(b"provis_fast.format", b"").decode()
    version = metadata.get(b"provis_fast.format_version", b"").decode()
    if found != FORMAT or version != str(FORMAT_VERSION):
        raise ResultError(
            f"{path}: expected {FORMAT} version {FORMAT_VERSION}, got {found or 'no format'} "
            f"version {version or 'unknown'}; use the release of provis_fast that wrote it"
        )
    return table
