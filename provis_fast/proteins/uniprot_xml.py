"""UniProt's XML, read entry by entry.

Python's own expat does it, without a tree: an entry's features and sequence are kept, nothing else,
and the file may have any size. The handlers refuse every document type declaration, and so all
entities but the five of XML itself: whatever the file's encoding, expat has decoded it before it
tells. defusedxml's parsers refuse the same, but build the tree of an entry, however large it is.

The elements may be in the namespace ``http://uniprot.org/uniprot``, in the same with ``https``, or
in none. Where the text is no XML, the entry is set aside, and reading goes on at the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn
from xml.parsers import expat

from provis_fast.errors import InputError
from provis_fast.proteins.features import Entry, RecordError, too_large
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.limits import MAX_RECORD_BYTES
from provis_fast.proteins.opening import DAMAGED, open_text
from provis_fast.proteins.record import Protein, SetAside

_CHUNK = 1 << 16
_CHUNK_BEHIND_DAMAGE = 1 << 12
_MAX_TOKEN = 4 << 20  # expat keeps a tag or a comment until it ends
_MAX_DEPTH = 100
_NAMESPACES = ("http://uniprot.org/uniprot", "https://uniprot.org/uniprot")
_NEXT_ENTRY = re.compile(rb"<(?:\w+:)?entry[\s>]")
_MARKS = re.compile(
    rb"<(\w+:)?uniprot[\s>/]|<!DOCTYPE\s+(\w+:)?uniprot\W|https?://(www\.)?uniprot\.org/uniprot"
)
#: How the flat file marks positions that are not certain.
_SIGN_OF_STATUS = {"less than": "<", "greater than": ">", "uncertain": "?"}


def begins(head: bytes) -> bool:
    """Whether a file begins like UniProt's XML, in UTF-16 too."""
    text = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return text.startswith(b"<") and _MARKS.search(text) is not None


def read(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read UniProt's XML as a stream; of one entry, no more than features and sequence are kept.

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
        If the file cannot be opened, is no XML from its beginning, has another root than
        ``uniprot``, or declares a document type or entities.
    """
    try:
        with open_text(path) as stream:
            yield from _entries(stream, path, source)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error


def _entries(file: BinaryIO, path: Path, source: str) -> Iterator[Protein | SetAside]:
    stream = _Stream(file)
    parser: _Parser | None = _Parser(path)
    size, records = _CHUNK, 0
    while parser is not None:
        reason = None
        try:
            chunk = stream.read(size)
        except DAMAGED as error:
            reason, chunk = f"the compressed file is damaged or cut off: {error}", b""
        size = _CHUNK
        broken = parser.feed(chunk)
        for entry in parser.take():
            records += 1
            yield entry.record(source)
        if broken is not None:
            reason = reason or broken.reason
            if not parser.root:
                raise InputError(f"not XML, or cut off: {reason}", path, broken.line)
            entry = parser.entry or Entry(f"line {broken.line}", broken.line)
            entry.fail(RecordError(reason, broken.line))
            records += 1
            yield entry.record(source)
            # The next damage may be near: little of what is read now has to be read again.
            parser, size = _behind_damage(parser, stream, path), _CHUNK_BEHIND_DAMAGE
        elif not chunk:
            break
    if not records:
        raise InputError("the file has no entry: expected <entry> within <uniprot>", path)


def _behind_damage(parser: _Parser, stream: _Stream, path: Path) -> _Parser | None:
    """A parser for the next entry, at which the stream then is; none if there is no entry."""
    rest, line = parser.unread()
    if len(rest) > 2 * _CHUNK:
        # A comment, say, that does not end. What it holds is searched again, but not for ever.
        stream.searches_left -= 1
        if stream.searches_left < 0:
            line, rest = line + rest.count(b"\n"), b""
    while (found := _NEXT_ENTRY.search(rest)) is None:
        try:
            more = stream.read(_CHUNK)
        except DAMAGED:
            more = b""
        if not more:
            return None
        kept = rest[-64:]  # a tag may lie across two chunks
        line += rest.count(b"\n", 0, len(rest) - len(kept))
        rest = kept + more
    stream.push_back(rest[found.start() :])
    return _Parser(path, parser, line + rest.count(b"\n", 0, found.start()))


class _Stream:
    """A file of which something that was read can be pushed back, to be read again."""

    def __init__(self, file: BinaryIO):
        self.searches_left = 20  # of long stretches
        self._file = file
        self._back: list[tuple[bytes, int]] = []  # with how much of it has been read again

    def read(self, size: int) -> bytes:
        if not self._back:
            return self._file.read(size)
        data, begin = self._back.pop()
        if begin + size < len(data):
            self._back.append((data, begin + size))
        return data[begin : begin + size]

    def push_back(self, data: bytes) -> None:
        self._back.append((data, 0))


class _BrokenError(Exception):
    """The elements are not those of UniProt's XML from here on."""


class _Parser:
    """Entries from chunks of bytes.

    Parameters
    ----------
    path : Path
        For messages.
    before : _Parser, optional
        One that met damage: this one goes on behind it, within the same root.
    line : int
        Line of the file on which the first chunk begins.

    Attributes
    ----------
    root : str
        Name of the root element, "" before it has begun.
    entry : Entry or None
        The one being read.
    """

    def __init__(self, path: Path, before: _Parser | None = None, line: int = 1):
        self.root = ""
        self.entry: Entry | None = None
        self._path, self._first_line = path, line
        self._encoding: str | None = before._encoding if before else None
        self._done: list[Entry] = []
        self._pending = b""  # what was fed and is not parsed yet
        self._pending_from = 0  # its place among all bytes fed
        self._damage = 0, 0  # place and line
        self._depth = 0
        self._began = 0  # byte at which the entry begins
        self._text: list[str] | None = None
        self._feature: tuple[str, str] | None = None  # name and note
        self._isoform, self._start_place, self._end_place = "", "", ""
        self._expat = parser = expat.ParserCreate(self._encoding)
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ExternalEntityRefHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        if before:
            self.feed(f"<{before.root}>".encode(self._encoding or "utf-8", "replace"))

    def feed(self, chunk: bytes) -> RecordError | None:
        """Read on, an empty chunk being the end; returns what is wrong, which ends this parser."""
        self._pending += chunk
        parser = self._expat
        try:
            parser.Parse(chunk, not chunk)
            place = parser.CurrentByteIndex
            self._pending = self._pending[place - self._pending_from :]
            self._pending_from = place
            if len(self._pending) > _MAX_TOKEN:
                self._break(f"a tag or comment has more than {_MAX_TOKEN >> 20} MiB")
        except expat.ExpatError as error:
            reason = f"not well-formed: {expat.ErrorString(error.code)}"
            self._damage = parser.ErrorByteIndex + 1, self._line()
        except _BrokenError as error:
            reason = str(error)
        except InputError:
            raise
        except (LookupError, ValueError) as error:  # of an encoding that Python does not know
            reason = f"not readable: {error}"
            self._damage = parser.CurrentByteIndex, self._line()
        else:
            if self.entry is not None and place - self._began > MAX_RECORD_BYTES:
                self.entry.fail(too_large())
            return None
        return RecordError(reason, self._damage[1])

    def _break(self, reason: str) -> NoReturn:
        """End the parser here: what the handlers' exceptions do, though expat may read on."""
        self._damage = self._expat.CurrentByteIndex, self._line()
        raise _BrokenError(reason)

    def unread(self) -> tuple[bytes, int]:
        """What was fed and lies behind the damage, and the line on which that begins."""
        place, line = self._damage
        return self._pending[max(0, place - self._pending_from) :], line

    def take(self) -> list[Entry]:
        """The entries that have ended since."""
        done, self._done = self._done, []
        return done

    def _line(self) -> int:
        return self._first_line + self._expat.CurrentLineNumber - 1

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        self._encoding = encoding

    def _refuse(self, *what: object) -> None:
        raise InputError(
            "declares a document type or entities (<!DOCTYPE ...>), which UniProt's XML does not, "
            "and which are refused since they can fill the memory or read other files: remove the "
            "declaration",
            self._path,
            self._line(),
        )

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth = depth = self._depth + 1
        entry = self.entry
        if depth <= 2:
            if depth == 1:
                self._start_root(name, attributes)
            elif _local(name) == "entry":
                line = self._line()
                self.entry = Entry(f"line {line}", line)
                self._began = self._expat.CurrentByteIndex
            return
        if depth > _MAX_DEPTH:
            self._break(f"more than {_MAX_DEPTH} elements within one another")
        if entry is None:
            return
        name = _local(name)
        if depth == 3:
            if name == "feature":
                self._feature = attributes.get("type", ""), attributes.get("description", "")
                self._isoform = self._start_place = self._end_place = ""
            elif name == "sequence":
                length = attributes.get("length", "")
                if re.fullmatch("[0-9]{1,9}", length):
                    entry.stated_length = int(length)
                self._collect_text()
            elif name == "accession" and not entry.accession:
                self._collect_text()
            elif name == "entry":
                self._break("expected </entry> before the next <entry>")
        elif self._feature is not None:
            if name == "location":
                isoform = attributes.get("sequence")
                self._isoform = f"{isoform[:40]}:" if isoform else ""
            elif name == "position":
                self._start_place = self._end_place = _place(attributes)
            elif name == "begin":
                self._start_place = _place(attributes)
            elif name == "end":
                self._end_place = _place(attributes)

    def _start_root(self, name: str, attributes: dict[str, str]) -> None:
        prefix = name.rpartition(":")[0]
        space = attributes.get(f"xmlns:{prefix}" if prefix else "xmlns")
        if _local(name) != "uniprot" or (space is not None and space not in _NAMESPACES):
            within = f" of {space[:80]}" if space else ""
            raise InputError(
                f"not UniProt's XML: expected the root <uniprot>, got <{name[:80]}>{within}",
                self._path,
                self._line(),
            )
        self.root = name

    def _end(self, name: str) -> None:
        depth = self._depth
        self._depth = depth - 1
        entry = self.entry
        if entry is None or depth > 3:
            return
        if depth == 2:
            if self._expat.CurrentByteIndex - self._began > MAX_RECORD_BYTES:
                entry.fail(too_large())
            self.entry = None
            self._done.append(entry)
            return
        try:
            if self._text is not None:
                self._end_text(entry, _local(name))
            elif self._feature is not None:
                start, end = self._start_place or "?", self._end_place or "?"
                location = self._isoform + (start if start == end else f"{start}..{end}")
                entry.add_feature(self._feature[0], location, self._feature[1])
        except RecordError as error:
            error.line = self._line()
            entry.fail(error)
        self._feature = None

    def _collect_text(self) -> None:
        self._text = []
        self._expat.CharacterDataHandler = self._take_text

    def _take_text(self, text: str) -> None:
        assert self._text is not None
        if self.entry is not None and self.entry.failed is None:
            self._text.append(text)

    def _end_text(self, entry: Entry, name: str) -> None:
        assert self._text is not None
        text, self._text = "".join(self._text), None
        self._expat.CharacterDataHandler = None
        if name == "sequence":
            entry.add_sequence(text)
        else:
            entry.name(text)


def _local(name: str) -> str:
    return name.rpartition(":")[2] if ":" in name else name


def _place(attributes: dict[str, str]) -> str:
    """A position as the flat file writes it."""
    sign = _SIGN_OF_STATUS.get(attributes.get("status", ""), "")
    return sign + attributes.get("position", "" if sign else "?")[:20]
