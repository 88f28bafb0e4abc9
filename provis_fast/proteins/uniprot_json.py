"""UniProt's JSON, read entry by entry: a download, JSON lines, an array, or a single entry.

The text is taken apart by ijson into events, and of an entry its accession, features and sequence
are kept: however large a file, or an entry, is, memory does not grow with it. Where the text of an
array or a download is no JSON, nothing tells where the next entry begins: that is told, and reading
ends. Of JSON lines each stands for itself, and reading goes on with the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from provis_fast.errors import InputError
from provis_fast.proteins.features import Entry, RecordError, too_large
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.limits import MAX_RECORD_BYTES
from provis_fast.proteins.lines import bounded_lines
from provis_fast.proteins.opening import DAMAGED, open_text
from provis_fast.proteins.record import Protein, SetAside

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BUFFER = 1 << 16
_MAX_PATH = 1000  # characters of the names of all that an element lies in
#: What a download's entries lie in.
_ENVELOPE = re.compile(rb'\s*\{\s*"(results|facets|suggestions|matchedFields)"')
_ENTRY_KEYS = (b'"primaryAccession"', b'"entryType"', b'"uniProtkbId"')
#: Where entries lie: in a download, in an array, alone.
_PLACES = ("results.item", "item", "")
_FIELDS = (
    "entryType",
    "primaryAccession",
    "sequence.value",
    "sequence.length",
    "features.item",
    "features.item.type",
    "features.item.description",
    "features.item.location.start.value",
    "features.item.location.start.modifier",
    "features.item.location.end.value",
    "features.item.location.end.modifier",
    "features.item.location.sequence",
)
_FIELD_AT = {f"{place}.{name}".lstrip("."): name for place in _PLACES for name in _FIELDS}


def begins(head: bytes) -> bool:
    """Whether a file begins like UniProt's JSON."""
    text = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not text.startswith((b"{", b"[")):
        return False
    return _ENVELOPE.match(text) is not None or any(key in text for key in _ENTRY_KEYS)


def read(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read UniProt's JSON as a stream; of one entry, no more than features and sequence are kept.

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
        In the file's order, by their primary accessions. A damaged entry is set aside, with its
        line in JSON lines, else with its number; an inactive entry, which has no sequence, is
        skipped.

    Raises
    ------
    InputError
        If the file cannot be opened, is no JSON from its beginning, or has no entry.
    """
    try:
        lines = _has_lines(path)
        with open_text(path) as stream:
            records = _from_lines(stream, path, source) if lines else _whole(stream, path, source)
            yield from records
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error


def _has_lines(path: Path) -> bool:
    """Whether a file is JSON lines: the second line that is not blank begins another object."""
    seen = 0
    try:
        with open_text(path) as stream:
            for _, line in bounded_lines(stream, MAX_RECORD_BYTES):
                line = line[:_MAX_PATH].removeprefix(_BYTE_ORDER_MARK).lstrip()
                if seen and line:
                    return line.startswith(b"{")
                if line.startswith(b"[") or _ENVELOPE.match(line):
                    return False
                seen += bool(line)
    except DAMAGED:
        pass  # the damage will be told when it is read
    return False


def _from_lines(stream: BinaryIO, path: Path, source: str) -> Iterator[Protein | SetAside]:
    number = 0
    try:
        for number, line in bounded_lines(stream, MAX_RECORD_BYTES):
            text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if not text.strip():
                continue
            where = f"line {number}"
            if len(line) > MAX_RECORD_BYTES:
                yield _failed(where, too_large(), source, number)
                continue
            reader = _Reader()
            records = list(reader.records(BytesIO(text), source, where, number))
            if reader.broken:
                yield _failed(where, reader.broken, source, number)
            elif len(records) == 1:
                yield records[0]
            else:
                reason = f"expected one entry on a line of JSON lines, got {len(records)}"
                yield _failed(where, RecordError(reason), source, number)
    except DAMAGED as error:
        reason = f"the compressed file is damaged or cut off: {error}"
        yield _failed(f"line {number + 1}", RecordError(reason), source, number + 1)


def _whole(stream: BinaryIO, path: Path, source: str) -> Iterator[Protein | SetAside]:
    reader = _Reader()
    number = 0
    for record in reader.records(_Bounded(stream, reader), source):
        number += 1
        yield record
    if reader.broken:
        if number == 0 and reader.entry is None:
            raise InputError(reader.broken.reason, path)
        entry = reader.entry or Entry(f"entry {number + 1}")
        reason = f"{reader.broken.reason}; entries behind it cannot be read"
        yield _failed(entry.id, RecordError(reason), source)
    elif number == 0:
        raise InputError(
            'the file has no UniProt entry: expected {"results": [...]}, an array of entries, one '
            "entry, or one on each line",
            path,
        )


def _failed(name: str, error: RecordError, source: str, line: int | None = None) -> SetAside:
    entry = Entry(name, line)
    entry.fail(error)
    record = entry.record(source)
    assert isinstance(record, SetAside)
    return record


class _TooLargeError(Exception):
    """A single string of the text is larger than an entry may be."""


class _Bounded:
    """A stream that ends with an error where no event comes for too many bytes."""

    def __init__(self, stream: BinaryIO, reader: _Reader):
        self._stream, self._reader = stream, reader
        self._first = True

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        if self._first and chunk:
            chunk, self._first = chunk.removeprefix(_BYTE_ORDER_MARK), False
        self._reader.silent += len(chunk)
        self._reader.bytes_of_entry += len(chunk)
        if self._reader.silent > MAX_RECORD_BYTES:
            raise _TooLargeError
        return chunk


class _Reader:
    """Entries from the events of a text.

    Attributes
    ----------
    entry : Entry or None
        The one being read.
    broken : RecordError or None
        Why reading ended before the text did.
    silent, bytes_of_entry : int
        Bytes read since the last event, and since the entry began.
    """

    def __init__(self) -> None:
        self.entry: Entry | None = None
        self.broken: RecordError | None = None
        self.silent = self.bytes_of_entry = 0
        self._inactive = False
        self._feature: dict[str, Any] = {}

    def records(
        self, stream: Any, source: str, where: str = "", line: int | None = None
    ) -> Iterator[Protein | SetAside]:
        """Entries of a text, until it ends or is `broken`."""
        number, envelope = 0, False
        try:
            for place, event, value in ijson.parse(stream, use_float=True, buf_size=_BUFFER):
                self.silent = 0
                name = _FIELD_AT.get(place)
                if name is not None:
                    self._take(name, event, value)
                elif place in _PLACES:
                    if event == "start_map":
                        number += place != "" or not envelope
                        self.entry = Entry(where or f"entry {max(number, 1)}", line)
                        self.bytes_of_entry, self._inactive = 0, False
                    elif event == "end_map":
                        if self.entry is not None and (place or not envelope):
                            yield self._record(source)
                        self.entry = None
                    elif place and event not in ("map_key", "start_array", "end_array"):
                        number += 1
                        what = RecordError(f"expected an entry (an object), got {value!r:.40}")
                        yield _failed(where or f"entry {number}", what, source, line)
                elif place == "results" and event == "start_array":
                    envelope, self.entry, number = True, None, 0
                elif len(place) > _MAX_PATH:
                    raise RecordError("has too many elements within one another")
        except (ijson.JSONError, ValueError, OverflowError) as error:
            self.broken = RecordError(f"expected JSON, but {_first_line(error)}")
        except _TooLargeError:
            self.broken = too_large()
        except RecordError as error:
            self.broken = error
        except DAMAGED as error:
            self.broken = RecordError(f"the compressed file is damaged or cut off: {error}")

    def _record(self, source: str) -> Protein | SetAside:
        entry = self.entry
        assert entry is not None
        if self._inactive:
            reason = "an inactive entry (deleted, merged or split) has no sequence"
            return SetAside(entry.id, "skipped", reason, source, entry.line)
        return entry.record(source)

    def _take(self, name: str, event: str, value: Any) -> None:
        entry = self.entry
        if entry is None or entry.failed is not None:
            return
        if self.bytes_of_entry > MAX_RECORD_BYTES:
            entry.fail(too_large())
            return
        try:
            if name == "features.item":
                if event == "start_map":
                    self._feature = {}
                elif event == "end_map":
                    self._end_feature(entry)
            elif name.startswith("features"):
                self._feature[name[14:]] = value
            elif name == "sequence.length":
                entry.stated_length = value if isinstance(value, int) else None
            elif event == "string":
                if name == "sequence.value":
                    entry.add_sequence(value)
                elif name == "primaryAccession":
                    entry.accession = value.strip()
                else:
                    self._inactive = value == "Inactive"
        except RecordError as error:
            entry.fail(error)

    def _end_feature(self, entry: Entry) -> None:
        told = self._feature
        start, end = _position(told, "start", "<"), _position(told, "end", ">")
        isoform = told.get("location.sequence")
        entry.add_feature(
            str(told.get("type")),
            (f"{isoform!s:.40}:" if isoform else "")
            + (start if start == end else f"{start}..{end}"),
            str(told.get("description") or ""),
        )


def _position(feature: dict[str, Any], which: str, outside: str) -> str:
    """A position as the flat file writes it."""
    value = feature.get(f"location.{which}.value")
    modifier = feature.get(f"location.{which}.modifier") or "EXACT"
    if value is None or modifier == "UNKNOWN":
        return "?"
    sign = {"EXACT": "", "OUTSIDE": outside}.get(modifier, "?")
    usable = isinstance(value, int) and abs(value) < 10**9
    return f"{sign}{value}" if usable else f"{sign}({value!r:.10})"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:100] or type(error).__name__
