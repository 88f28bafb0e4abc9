"""Tables as text: CSV and TSV, read row by row.

Fields are separated by commas (CSV) or tabs (TSV) and quoted as RFC 4180 has it: a field in double
quotes may hold separators and line ends, and two double quotes for one. The first row has the names
of the columns, which are understood as `provis_fast.proteins.columns` says. The text is UTF-8.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from provis_fast.errors import InputError
from provis_fast.proteins.columns import Columns
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.limits import MAX_RECORD_BYTES
from provis_fast.proteins.opening import DAMAGED, open_text
from provis_fast.proteins.record import Protein, SetAside

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = "\ufeff"
_CHUNK = 1 << 20
#: What else tables of one column are often separated by.
_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", ",": "commas", "|": "bars"}


def read_csv(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read a CSV file; see `read_table`."""
    return read_table(path, source, reading, ",")


def read_tsv(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read a TSV file; see `read_table`."""
    return read_table(path, source, reading, "\t")


def read_table(
    path: Path, source: str, reading: Reading, separator: str
) -> Iterator[Protein | SetAside]:
    """Read a table as a stream; no more than one row is in memory.

    Parameters
    ----------
    path : Path
        The file; compressed or not, whatever its name.
    source : str
        What to call the file in records.
    reading : Reading
        Its `id_column` and `sequence_column` name columns.
    separator : str

    Yields
    ------
    Protein or SetAside
        One for each row, in the file's order.

    Raises
    ------
    InputError
        If the file cannot be read, has no row, or no column with sequences.
    """
    try:
        with open_text(path) as stream:
            yield from _records(stream, path, source, reading, separator)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error


def _records(
    stream: BinaryIO, path: Path, source: str, reading: Reading, separator: str
) -> Iterator[Protein | SetAside]:
    rows = _rows(stream, separator)
    header = next((row for row in rows if row.cells or row.wrong is not None), None)
    if header is None:
        raise InputError("the table is empty: expected a row with the names of the columns", path)
    if header.wrong is not None:
        raise InputError(
            f"the names of the columns cannot be read: {header.wrong}", path, header.line
        )
    names = [header.cells[0].removeprefix(_UTF8_MARK), *header.cells[1:]]
    if len(names) == 1:
        _check_separator(names[0], separator, path)
    columns = Columns(names, path, source, reading)
    number = 0
    for row in rows:
        if not row.cells and row.wrong is None:
            continue  # an empty line
        number += 1
        if row.wrong is not None:
            yield SetAside(f"line {row.line}", "failed", row.wrong, source, row.line)
        elif len(row.cells) != len(columns):
            identifier = f"line {row.line}"
            if columns.id is not None and columns.id < len(row.cells):
                identifier = row.cells[columns.id].strip() or identifier
            yield SetAside(
                identifier,
                "failed",
                f"expected {len(columns)} fields, as many as there are names of columns, got "
                f"{len(row.cells)}; quote fields that hold separators",
                source,
                row.line,
            )
        else:
            yield columns.protein(number, row.cells, row.line)
        if row.last:
            return
    if not number:
        raise InputError("the table has names of columns but no row", path)


def _check_separator(name: str, separator: str, path: Path) -> None:
    """Tell where a table is separated by something else than its name says."""
    for other, what in _OTHER_SEPARATORS.items():
        if other != separator and other in name:
            raise InputError(
                f"expected columns separated by {_OTHER_SEPARATORS[separator]}, got {name[:60]!r}: "
                f"this table is separated by {what}, it seems; write it as "
                + ("TSV with the suffix .tsv" if other == "\t" else "CSV with commas"),
                path,
                1,
            )


class _Row(NamedTuple):
    """One row: its first line, and its cells or what is wrong with it."""

    line: int
    cells: list[str]
    wrong: str | None = None
    last: bool = False  # nothing after it can be read


def _rows(stream: BinaryIO, separator: str) -> Iterator[_Row]:
    # The limit of the csv module is one of the whole process, too low for a row of many numbers.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
    feed = _Feed(stream)

    def reader() -> Iterator[list[str]]:
        return csv.reader(feed, delimiter=separator, strict=True)

    rows = reader()
    while True:
        feed.begin_row()
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            span = "" if feed.line == feed.first else f", in lines {feed.first} to {feed.line}"
            wrong = (
                f"the row is not quoted as expected{span}: {error}; fields with quotes or line "
                "ends in them stand between double quotes, which are doubled inside"
            )
        except _UnusableRowError as error:
            wrong = str(error)
        except DAMAGED as error:
            wrong = f"the compressed file is damaged or cut off in or after this row: {error}"
            yield _Row(feed.first, [], wrong, last=True)
            return
        else:
            yield _Row(feed.first, cells)
            continue
        yield _Row(feed.first, [], wrong)
        rows = reader()  # the other one may be in the middle of a field


class _UnusableRowError(Exception):
    """A row is too large, or no text."""


class _Feed:
    """Lines of a file as text, counted; no more of a row than the limit is ever read."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.line = 0
        self.begin_row()

    def begin_row(self) -> None:
        self.first, self._size = self.line + 1, 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        raw = self._stream.readline(MAX_RECORD_BYTES + 1 - self._size)
        if not raw:
            raise StopIteration
        self.line += 1
        self._size += len(raw)
        if self._size > MAX_RECORD_BYTES:
            while raw and not raw.endswith(b"\n"):
                raw = self._stream.readline(_CHUNK)
            raise _UnusableRowError(
                f"expected at most {MAX_RECORD_BYTES >> 20} MiB in a row, got more, in lines "
                f"{self.first} to {self.line}; perhaps a double quote is never closed"
            )
        if self.line == 1 and (raw.startswith(_UTF16_MARKS) or b"\0" in raw):
            raise _UnusableRowError(
                "expected plain text, got what looks like UTF-16 (or no text at all): save the "
                "file as UTF-8"
            )
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _UnusableRowError(
                f"expected text in UTF-8, got the byte {raw[error.start : error.start + 1]!r} in "
                f"line {self.line}"
            ) from None
