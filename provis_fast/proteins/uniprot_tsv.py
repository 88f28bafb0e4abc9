"""UniProt's TSV downloads, read row by row.

Columns are told by the header, in any order. ``Entry`` and ``Sequence`` have to be there;
``Length``, if it is there, is compared with the sequence; and every column of features whose kind
is used (`provis_fast.proteins.features`) is read. A kind without a column is unknown. A cell of
features is

    BINDING 52; /ligand="ATP"; /note="..."; BINDING 60..62; /ligand="..."
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from provis_fast.errors import InputError
from provis_fast.proteins.features import Entry, RecordError, key_of, too_large
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.limits import MAX_RECORD_BYTES
from provis_fast.proteins.lines import bounded_lines
from provis_fast.proteins.opening import DAMAGED, open_text
from provis_fast.proteins.record import Protein, SetAside

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ACCESSION, _SEQUENCE, _LENGTH = "Entry", "Sequence", "Length"
#: Columns that tell UniProt's header where only its beginning is seen.
_OTHER_COLUMNS = {"Entry Name", "Reviewed", "Protein names", "Gene Names", "Organism", _LENGTH}
_MAX_HEADER = 1 << 20
#: What stands between semicolons, those in quotes not counted.
_PIECE = re.compile(r'(?:"[^"]*"|[^;"]+|")+')
_FEATURE = re.compile(r"([A-Z_]+) +(\S+)")


class _Columns(NamedTuple):
    number: int
    accession: int
    sequence: int
    length: int | None
    features: list[tuple[str, int]]


def begins(head: bytes) -> bool:
    """Whether a file begins like the header of a TSV download."""
    line, end, _ = head.partition(b"\n")
    names = set(_names(line))
    if _ACCESSION not in names:
        return False
    return _SEQUENCE in names or (not end and bool(names & _OTHER_COLUMNS))


def read(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read a TSV download as a stream; no more than one row is in memory.

    Parameters
    ----------
    path : Path
        The file; compressed or not, whatever its name.
    source : str
        What to call the file in records.
    reading : Reading
        The format needs none.

    Yields
    ------
    Protein or SetAside
        In the file's order; a damaged row is set aside with its line.

    Raises
    ------
    InputError
        If the file cannot be opened, is empty, or its header lacks Entry or Sequence.
    """
    try:
        with open_text(path) as stream:
            yield from _rows(stream, path, source)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error


def _names(header: bytes) -> list[str]:
    text = header.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")
    return [name.strip() for name in text.split("\t")]


def _rows(stream: BinaryIO, path: Path, source: str) -> Iterator[Protein | SetAside]:
    number = 0
    columns: _Columns | None = None
    rows = 0
    try:
        for number, line in bounded_lines(stream, MAX_RECORD_BYTES):
            if columns is None:
                columns = _columns(line, path)
            elif line.strip(b"\r\n"):
                rows += 1
                yield _row(line, columns, Entry(f"line {number}", number)).record(source)
    except DAMAGED as error:
        what = f"the compressed file is damaged or cut off: {error}"
        if columns is None:
            raise InputError(what, path) from error
        entry = Entry(f"line {number + 1}", number + 1)
        entry.fail(RecordError(what))
        yield entry.record(source)
        return
    if not rows:
        what = "is empty" if columns is None else "has a header and no rows"
        raise InputError(f"the file {what}: expected UniProt entries", path)


def _columns(header: bytes, path: Path) -> _Columns:
    if len(header) > _MAX_HEADER:
        reason = f"expected a header of column names, got a line over {_MAX_HEADER:,} bytes"
        raise InputError(reason, path, 1)
    names = _names(header)
    for needed in (_ACCESSION, _SEQUENCE):
        if names.count(needed) != 1:
            raise InputError(
                f"expected one column {needed!r} in the header, got {names.count(needed)} among "
                f"{', '.join(names)[:500]!r}: download the table with the columns Entry and "
                "Sequence",
                path,
                1,
            )
    return _Columns(
        len(names),
        names.index(_ACCESSION),
        names.index(_SEQUENCE),
        names.index(_LENGTH) if _LENGTH in names else None,
        [(name, i) for i, name in enumerate(names) if key_of(_kind(name))],
    )


def _kind(column: str) -> str:
    """The kind of feature in a column: "Domain [FT]" (not [CC]) and ft_domain are domain."""
    return column.removesuffix(" [FT]").removeprefix("ft_")


def _row(line: bytes, columns: _Columns, entry: Entry) -> Entry:
    try:
        if len(line) > MAX_RECORD_BYTES:
            raise too_large()
        found = line.count(b"\t") + 1
        if found != columns.number:
            raise RecordError(
                f"expected {columns.number} columns, as in the header, got {found}: the row is "
                "damaged or cut off"
            )
        cells = line.decode("utf-8", "replace").rstrip("\r\n").split("\t")
        entry.name(cells[columns.accession])
        length = "" if columns.length is None else cells[columns.length].replace(",", "").strip()
        if re.fullmatch("[0-9]{1,9}", length):
            entry.stated_length = int(length)
        entry.add_sequence(cells[columns.sequence])
        for name, i in columns.features:
            _read_features(name, cells[i], entry)
    except RecordError as error:
        entry.fail(error)
    return entry


def _read_features(column: str, cell: str, entry: Entry) -> None:
    cell = cell.strip()
    if cell.startswith('"') and cell.endswith('"'):  # as spreadsheets save it
        cell = cell[1:-1].replace('""', '"')
    feature: tuple[str, str] | None = None
    note = ""
    for piece in _PIECE.finditer(cell):
        text = piece[0].strip()
        if text.startswith("/"):
            if text.startswith("/note="):
                note = text[6:]
            continue
        if not text:
            continue
        if feature is not None:
            entry.add_feature(*feature, note)
        match = _FEATURE.fullmatch(text)
        if match is None:
            raise RecordError(
                f"column {column!r}: expected features such as 'BINDING 60..62; /note=\"...\"', "
                f"got {text[:40]!r}"
            )
        feature, note = (match[1], match[2]), ""
    if feature is not None:
        entry.add_feature(*feature, note)
