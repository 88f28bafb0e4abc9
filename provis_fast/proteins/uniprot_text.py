"""UniProt's flat file (Swiss-Prot and TrEMBL, .dat or .txt), read entry by entry.

Of an entry the lines ``ID``, ``AC``, ``FT`` and ``SQ`` and the sequence behind it are read, and
``//``, which ends it. Feature tables in the form of 2019 and later and in the older one with fixed
columns are known; `provis_fast.proteins.features` tells what becomes of the features. All that is
between, references and comments and cross references, is passed over unread: damage there does no
harm. That, the line numbers in messages, and that a single bad feature must not cost the protein,
are why Biopython's parser, with which the tests compare, does not do it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from provis_fast.errors import InputError
from provis_fast.proteins.features import Entry, RecordError, too_large
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.limits import MAX_RECORD_BYTES
from provis_fast.proteins.lines import bounded_lines
from provis_fast.proteins.opening import DAMAGED, open_text
from provis_fast.proteins.record import Protein, SetAside

FIRST_LINE = b"ID   "
_MAX_LINE = 1 << 20  # the format wraps lines at 80 columns or so
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LENGTH = re.compile(rb"SQ   SEQUENCE +(\d{1,9}) AA;")


def begins(head: bytes) -> bool:
    """Whether a file begins like a flat file."""
    first = head.removeprefix(_BYTE_ORDER_MARK).lstrip().split(b"\n")[0]
    return first.startswith(FIRST_LINE) and first.rstrip().endswith(b"AA.")


def read(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read a flat file as a stream; of one entry, no more than features and sequence are kept.

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
        In the file's order, by their first accessions; a damaged entry is set aside with its line.

    Raises
    ------
    InputError
        If the file cannot be opened, is empty, or does not begin with an entry.
    """
    try:
        with open_text(path) as stream:
            yield from _entries(stream, path, source)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error


def _entries(stream: BinaryIO, path: Path, source: str) -> Iterator[Protein | SetAside]:
    entry: _FlatEntry | None = None
    number, any_entry = 0, False
    try:
        for number, line in bounded_lines(stream, _MAX_LINE):
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if line.startswith(FIRST_LINE):
                if entry is not None:
                    entry.cut_off(f"the next entry begins on line {number}")
                    yield entry.record(source)
                entry, any_entry = _FlatEntry(f"line {number}", number), True
            elif line.startswith(b"//"):
                if entry is not None:
                    yield entry.record(source)
                entry = None
            elif entry is None:
                if not line.strip():
                    continue
                if not any_entry:
                    raise InputError(
                        "not a UniProt flat file: expected a first line that begins with 'ID   ', "
                        f"got {line[:40]!r}",
                        path,
                        number,
                    )
                entry = _FlatEntry(f"line {number}", number)
                entry.fail(
                    RecordError(
                        f"expected an entry's first line, 'ID   ...', got {line[:40]!r}: that line "
                        "is damaged or missing"
                    )
                )
            if entry is not None:
                entry.take(number, line)
    except DAMAGED as error:
        what = f"the compressed file is damaged or cut off: {error}"
        if entry is None:
            if not any_entry:
                raise InputError(what, path, number or None) from error
            entry = _FlatEntry(f"line {number + 1}", number + 1)
        entry.cut_off(what)
        yield entry.record(source)
        return
    if entry is not None:
        entry.cut_off("the file ends")
        yield entry.record(source)
    elif not any_entry:
        raise InputError("the file has no UniProt entry: it is empty", path)


class _FlatEntry(Entry):
    """An entry that takes line after line; after the first bad one it ignores the others."""

    def __init__(self, where: str, line: int):
        super().__init__(where, line)
        self._bytes = 0
        self._in_sequence = False
        self._feature: tuple[str, str] | None = None  # name and location of the one being read
        self._note = ""

    def cut_off(self, why: str) -> None:
        """The entry's end is missing."""
        self.fail(RecordError(f"expected '//' at the end of the entry, but {why}"))

    def record(self, source: str) -> Protein | SetAside:
        if self.failed is None:
            try:
                self._end_feature()
            except RecordError as error:
                self.fail(error)
        return super().record(source)

    def take(self, number: int, line: bytes) -> None:
        """Read a line."""
        if self.failed is not None:
            return
        try:
            self._bytes += len(line)
            if self._bytes > MAX_RECORD_BYTES:
                raise too_large()
            if len(line) > _MAX_LINE:
                raise RecordError(f"has a line of more than {_MAX_LINE:,} bytes: it is damaged")
            self._read(line)
        except RecordError as error:
            error.line = number
            self.fail(error)

    def _read(self, line: bytes) -> None:
        code = line[:2]
        if code == b"FT":
            self._read_feature(line.decode("utf-8", "replace").rstrip())
        elif self._in_sequence:
            if not line.startswith(b"     ") and line.strip():
                raise RecordError(
                    f"expected a line of the sequence, or '//' behind it, got {line[:40]!r}"
                )
            self.add_sequence(line.decode("utf-8", "replace"))
        elif code == b"AC" and not self.accession:
            self.name(line[5:].decode("utf-8", "replace").split(";")[0])
        elif code == b"SQ":
            self._in_sequence = True
            length = _LENGTH.match(line)
            if length is None:
                raise RecordError(f"expected 'SQ   SEQUENCE   number AA; ...', got {line[:60]!r}")
            self.stated_length = int(length[1])

    def _read_feature(self, line: str) -> None:
        name = line[5:21].strip()
        if line[5:6].strip():
            self._end_feature()
            if line[13:21].strip():  # before 2019: from and to in columns of their own
                name = line[5:13].strip()
                start, end = line[14:20].strip(), line[21:27].strip()
                self._note = line[34:].partition("{")[0].rstrip()  # without evidence
                self._feature = name, start if start == end else f"{start}..{end}"
            else:
                self._feature = name, line[21:].strip()
        elif self._feature is not None and line[21:].startswith('/note="'):
            self._note = line[28:]

    def _end_feature(self) -> None:
        if self._feature is not None:
            self.add_feature(*self._feature, self._note)
        self._feature, self._note = None, ""
