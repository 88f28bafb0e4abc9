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
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import ijson

from provis_fast.errors import InputError
from provis_fast.proteins.features import Entry, RecordError, too_large
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.limits import MAX_RECORD_BYTES
from provis_fast.proteins.lines import bounded_lines
from provis_fast.proteins.opening import DAMAGED, first_bytes, open_text
from provis_fast.proteins.record import Protein, SetAside

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHUNK = 1 << 16
_HEAD = 1000  # bytes of a line that tell what it is
#: What a download's entries lie in.
_ENVELOPE = re.compile(rb'\s*\{\s*"(results|facets|suggestions|matchedFields)"')
_ENTRY_KEYS = (b'"primaryAccession"', b'"entryType"', b'"uniProtkbId"')
#: What is read of an entry; names with "item" between them are in a list.
_FIELDS = (
    "entryType",
    "primaryAccession",
    "sequence.value",
    "sequence.length",
    "features.item.type",
    "features.item.description",
    "features.item.location.start.value",
    "features.item.location.start.modifier",
    "features.item.location.end.value",
    "features.item.location.end.modifier",
    "features.item.location.sequence",
)


class _Node(dict[str, "_Node"]):
    """A place in the text: its name, and those of its elements that are read."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name


def _entry_node(name: str) -> _Node:
    root = _Node(name)
    for field in _FIELDS:
        node, path = root, ""
        for part in field.split("."):
            path = f"{path}.{part}" if path else part
            node = node.setdefault(part, _Node(path))
    return root


_ENTRY = _entry_node("entry")
_LIST = _Node("list")
_LIST["item"] = _ENTRY
#: A single entry, or a download with its results.
_TOP = _entry_node("top")
_TOP["results"] = _Node("results")
_TOP["results"]["item"] = _ENTRY


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
    head = first_bytes(path).removeprefix(_BYTE_ORDER_MARK).lstrip()
    if head.startswith(b"[") or _ENVELOPE.match(head):
        return False  # at once: its first line may be all of a large file
    seen = 0
    try:
        with open_text(path) as stream:
            for _, line in bounded_lines(stream, MAX_RECORD_BYTES):
                line = line[:_HEAD].removeprefix(_BYTE_ORDER_MARK).lstrip()
                if seen and line:
                    return line.startswith(b"{")
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
            reader = _Reader(source, where, number)
            records = list(islice(reader.records(BytesIO(text)), 2))
            if reader.broken:
                yield _failed(where, reader.broken, source, number)
            elif len(records) == 1:
                yield records[0]
            else:
                found = "more" if records else "none"
                reason = f"expected one entry on a line of JSON lines, got {found}"
                yield _failed(where, RecordError(reason), source, number)
    except DAMAGED as error:
        reason = f"the compressed file is damaged or cut off: {error}"
        yield _failed(f"line {number + 1}", RecordError(reason), source, number + 1)


def _whole(stream: BinaryIO, path: Path, source: str) -> Iterator[Protein | SetAside]:
    reader = _Reader(source)
    number = 0
    for record in reader.records(stream):
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


class _Reader:
    """Entries from the events of a text.

    Parameters
    ----------
    source : str
        Name of the file.
    where, line : str and int, optional
        Name and line of an entry without accession; by default its number tells.

    Attributes
    ----------
    entry : Entry or None
        The one being read.
    broken : RecordError or None
        Why reading ended before the text did.
    """

    def __init__(self, source: str, where: str = "", line: int | None = None):
        self.entry: Entry | None = None
        self.broken: RecordError | None = None
        self._source, self._where, self._line = source, where, line
        self._done: list[Protein | SetAside] = []
        self._number = 0
        self._bytes = 0  # since the entry began
        self._inactive = self._envelope = False
        self._feature: dict[str, Any] = {}
        # Objects and lists that are open and read, whether they are lists; the place of what comes
        # next; and how many are open within the last one that is not read.
        self._open: list[tuple[_Node, bool]] = []
        self._next: _Node | None = None
        self._passed_over = 0

    def records(self, stream: BinaryIO) -> Iterator[Protein | SetAside]:
        """Entries of a text, until it ends or is `broken`."""
        events = ijson.sendable_list()
        parser = ijson.basic_parse_coro(events, use_float=True)
        silent, first = 0, True
        while self.broken is None:
            try:
                chunk = stream.read(_CHUNK)
            except DAMAGED as error:
                self.broken = RecordError(f"the compressed file is damaged or cut off: {error}")
                return
            ended = not chunk
            if first:
                chunk, first = chunk.removeprefix(_BYTE_ORDER_MARK), False
            silent += len(chunk)
            self._bytes += len(chunk)
            try:
                if ended:
                    parser.close()
                else:
                    parser.send(chunk)
            except (ijson.JSONError, ValueError, OverflowError) as error:
                self.broken = RecordError(f"expected JSON, but {_first_line(error)}")
            if events:
                silent = 0
                for event, value in events:
                    self._take(event, value)
                del events[:]
                yield from self._done
                self._done.clear()
            if silent > MAX_RECORD_BYTES:
                self.broken = too_large()
            if ended:
                return

    def _take(self, event: str, value: Any) -> None:
        if self._passed_over:
            if event in ("start_map", "start_array"):
                self._passed_over += 1
            elif event in ("end_map", "end_array"):
                self._passed_over -= 1
        elif event == "map_key":
            self._next = self._open[-1][0].get(value)
        elif event in ("start_map", "start_array"):
            node = self._next
            if not self._open:
                node = _TOP if event == "start_map" else _LIST
            if node is not None and not self._begin(node, event):
                node = None
            if node is None:
                self._passed_over = 1
            else:
                self._open.append((node, event == "start_array"))
                self._next = node.get("item")
        elif event in ("end_map", "end_array"):
            self._end(self._open.pop()[0])
            if self._open and self._open[-1][1]:
                self._next = self._open[-1][0].get("item")
        elif self._next is not None:
            self._value(self._next.name, value)

    def _begin(self, node: _Node, event: str) -> bool:
        """Begin an object or a list; whether it is of use."""
        if node.name in ("entry", "top"):
            if event == "start_array":
                self._no_entry("a list")
                return False
            self._number += 1
            self.entry = Entry(self._where or f"entry {self._number}", self._line)
            self._bytes, self._inactive = 0, False
        elif node.name == "results":
            self._envelope, self.entry, self._number = True, None, 0
            return event == "start_array"
        elif node.name == "features.item":
            self._feature = {}
        return True

    def _end(self, node: _Node) -> None:
        entry = self.entry
        if entry is None:
            return
        if node.name == "entry" or (node.name == "top" and not self._envelope):
            self.entry = None
            if self._bytes > MAX_RECORD_BYTES + _CHUNK:
                entry.fail(too_large())
            if self._inactive and entry.failed is None:
                reason = "an inactive entry (deleted, merged or split) has no sequence"
                self._done.append(SetAside(entry.id, "skipped", reason, self._source, entry.line))
            else:
                self._done.append(entry.record(self._source))
        elif node.name == "features.item":
            self._end_feature(entry)

    def _no_entry(self, what: str) -> None:
        self._number += 1
        error = RecordError(f"expected an entry (an object), got {what}")
        where = self._where or f"entry {self._number}"
        self._done.append(_failed(where, error, self._source, self._line))

    def _value(self, name: str, value: Any) -> None:
        entry = self.entry
        if name == "entry":
            self._no_entry(f"{value!r:.40}")
        if entry is None or entry.failed is not None:
            return
        if name.startswith("features.item."):
            self._feature[name[14:]] = value
        elif name == "sequence.length":
            entry.stated_length = value if isinstance(value, int) else None
        elif not isinstance(value, str):
            return
        elif name == "entryType":
            self._inactive = value == "Inactive"
        else:
            try:
                if name == "primaryAccession":
                    entry.name(value)
                elif name == "sequence.value":
                    entry.add_sequence(value)
            except RecordError as error:
                entry.fail(error)

    def _end_feature(self, entry: Entry) -> None:
        told = self._feature
        start, end = _position(told, "start", "<"), _position(told, "end", ">")
        isoform = told.get("location.sequence")
        location = (f"{isoform!s:.40}:" if isoform else "") + (
            start if start == end else f"{start}..{end}"
        )
        if entry.failed is None:
            try:
                entry.add_feature(
                    str(told.get("type")), location, str(told.get("description") or "")
                )
            except RecordError as error:
                entry.fail(error)


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
