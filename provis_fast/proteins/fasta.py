"""FASTA files, read record by record.

What is accepted beside the plain format: compressed files (.gz, .zst), lower case (soft masking;
converted to upper case), blank lines, blanks within lines, comment lines that start with ``;``,
one ``*`` at the end of a sequence (a translated stop codon; dropped), and the gap characters ``-``
and ``.`` of an alignment (dropped, with a note on the protein). A record with anything else that is
not a letter is set aside with its line, and so is one beyond the package's limits (`limits`).

Plain records are found and cleaned in C++ (csrc/text/fasta.h), a chunk of the file at a time. Those
that have something to be said about them come back as they are, and `_record` says it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from provis_fast.errors import NOTED, InputError
from provis_fast.proteins import limits
from provis_fast.proteins.compiled import _text
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.opening import DAMAGED, damaged_file, open_text
from provis_fast.proteins.record import Protein, SetAside, plain_protein

logger = logging.getLogger(__name__)

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GAPS = b"-."
_BLANKS = b" \t\r\n\v\f"
_NOT_A_LETTER = re.compile(rb"[^A-Z]")
_NUCLEOTIDES = b"ACGTUN"
#: A protein of this many residues made of A, C, G, T, U and N alone is almost surely DNA or RNA.
_SUSPICIOUS_LENGTH = 40
#: Bytes read at a time: what they become fits a core's own cache.
_CHUNK = 1 << 18

#: Makes something of a record as the file has it and the line of its header.
Maker = Callable[[bytes, int], Protein | SetAside]


def read(path: Path, source: str, reading: Reading) -> Iterator[Protein | SetAside]:
    """Read a FASTA file as a stream; no more than a chunk, or one record, is in memory.

    Parameters
    ----------
    path : Path
        The file; compressed or not, whatever its name.
    source : str
        What to call the file in records.
    reading : Reading

    Yields
    ------
    Protein or SetAside
        In the file's order. The id is the header's first word.

    Raises
    ------
    InputError
        If the file cannot be opened, is empty, or does not begin with a header.
    """

    def explained(raw: bytes, line: int) -> Protein | SetAside:
        return _record(raw, line, source)

    for ids, bodies, lines in chunks(path, source):
        for identifier, body, line in zip(ids, bodies, lines, strict=True):
            if identifier is not None:
                yield plain_protein(identifier, body, source, line)
            else:
                yield explained(body, line) if isinstance(body, bytes) else body


def chunks(
    path: Path, source: str, *, clean: bool = True, comments: tuple[bytes, ...] = (b";",)
) -> Iterator[tuple[list[str | None], list[str | bytes | SetAside], list[int]]]:
    """Records of a file, a chunk of it at a time.

    Parameters
    ----------
    path : Path
    source : str
        What to call the file in records.
    clean : bool
        Whether plain records are cleaned; otherwise all come as they are.
    comments : tuple of bytes
        How lines before the first header may begin.

    Yields
    ------
    ids : list of str or None
    bodies : list of str, bytes or SetAside
        Of a plain record its residues. Where the id is None the whole record, header and lines, as
        the file has it; or what is to be said of one that cannot be held in memory or is damaged.
    lines : list of int
        Of the headers, counted from 1.

    Raises
    ------
    InputError
        As `read`.
    """
    try:
        with open_text(path) as stream:
            yield from _chunks(stream, path, source, 0 if not clean else None, comments)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error


def _chunks(
    stream: BinaryIO,
    path: Path,
    source: str,
    max_residues: int | None,
    comments: tuple[bytes, ...],
) -> Iterator[tuple[list[str | None], list[str | bytes | SetAside], list[int]]]:
    max_bytes = limits.MAX_RECORD_BYTES
    max_residues = limits.MAX_RESIDUES if max_residues is None else max_residues
    buffer, line = b"", 1
    begun = last = too_large = False
    while not last:
        damage: Exception | None = None
        more = b""
        try:
            # At least as much again as there is: a long record is not gone over time and again.
            more = stream.read1(max(_CHUNK, len(buffer)))  # type: ignore[attr-defined]
        except DAMAGED as error:
            damage = error
        last = not more
        buffer += more
        if not begun:
            try:
                buffer, line, begun = _before_the_first(buffer, line, last, path, comments)
            except InputError as error:
                if damage is None:
                    raise
                raise damaged_file(path, damage, error.line) from damage
            if damage is not None and not begun:
                raise damaged_file(path, damage, line if line > 1 else None) from damage
            if not begun:
                continue
        if too_large:
            at = buffer.find(b"\n>")
            if at < 0 and not last:
                buffer, line = _all_but_the_end(buffer, line)
                continue
            at = len(buffer) if at < 0 else at + 1
            line += buffer.count(b"\n", 0, at)
            buffer, too_large = buffer[at:], False
        at_end = last and damage is None
        ids, bodies, lines, consumed, passed = _text.split_fasta(
            buffer, at_end, line, max_residues, max_bytes
        )
        if ids:
            yield ids, bodies, lines
        buffer, line = buffer[consumed:], line + passed
        if len(buffer) > max_bytes:
            yield [None], [_too_large(buffer, line, source)], [line]
            buffer, line = _all_but_the_end(buffer, line)
            too_large = True
        if damage is not None:
            yield [None], [_cut_off(buffer, line, source, damage)], [line]
    if not begun:
        raise InputError("the file has no FASTA record: it is empty", path)


def _all_but_the_end(buffer: bytes, line: int) -> tuple[bytes, int]:
    """Skip what belongs to a record that is too large; after a line feed there may be a header."""
    return buffer[-1:], line + buffer.count(b"\n", 0, len(buffer) - 1)


def _before_the_first(
    buffer: bytes, line: int, last: bool, path: Path, comments: tuple[bytes, ...]
) -> tuple[bytes, int, bool]:
    """Skip comments, blank lines and a byte order mark.

    Returns
    -------
    buffer : bytes
        What remains to be read, from the first header on where there is one.
    line : int
    found : bool
        Whether there is one.
    """
    while buffer:
        end = buffer.find(b"\n") + 1
        if not end and not last and len(buffer) <= limits.MAX_RECORD_BYTES:
            break  # the line is not whole yet
        text = buffer[:end] if end else buffer
        if line == 1 and (text.startswith(_UTF16_MARKS) or b"\0" in text):
            raise InputError(
                "expected plain text, got what looks like UTF-16 (or no text at all): save the "
                "file as UTF-8",
                path,
            )
        text = text.removeprefix(_BYTE_ORDER_MARK)
        if text.startswith(b">"):
            return buffer.removeprefix(_BYTE_ORDER_MARK), line, True
        if (text.strip() and not text.startswith(comments)) or (not end and not last):
            raise InputError(
                f"not FASTA: expected a header that starts with '>', got {text[:40]!r}", path, line
            )
        buffer = buffer[len(buffer) if not end else end :]
        line += bool(end)
    return buffer, line, False


def _too_large(raw: bytes, line: int, source: str) -> SetAside:
    return SetAside(
        identifier(raw[:4096]) or f"line {line}",  # an id, too, may go on for ever
        "failed",
        f"expected a record of at most {limits.MAX_RECORD_BYTES:,} bytes, got more; if it is a "
        "genome, translate its genes",
        source,
        line,
    )


def _cut_off(raw: bytes, line: int, source: str, damage: Exception) -> SetAside:
    name = identifier(raw) if raw.startswith(b">") and b"\n" in raw else ""
    return SetAside(
        name or f"line {line}",
        "failed",
        f"the compressed file is damaged or cut off in or after this record: {damage}",
        source,
        line,
    )


def identifier(record: bytes) -> str:
    """The first word of a record's header; "" where it has none."""
    words = record[1 : record.find(b"\n") + 1 or None].split(None, 1)  # ">id" and "> id" are in use
    return words[0].decode("utf-8", "replace") if words else ""


def _record(raw: bytes, line: int, source: str) -> Protein | SetAside:
    return make_protein(raw, line, source, identifier(raw))


def make_protein(
    raw: bytes, line: int, source: str, name: str, *, alignment: bool = False
) -> Protein | SetAside:
    """Make a protein of one record as the file has it, or say why there is none.

    Parameters
    ----------
    raw : bytes
        Header and lines.
    line : int
        Of the header.
    source : str
    name : str
        Identifier.
    alignment : bool
        Whether gaps are what is expected, and need no note.
    """
    if not name:
        return SetAside(f"line {line}", "failed", "the header has no identifier", source, line)
    if len(raw) > limits.MAX_RECORD_BYTES:
        return _too_large(raw, line, source)
    # An empty line in a comment's place keeps the count of lines.
    lines = [b"" if text.startswith(b";") else text for text in raw.split(b"\n")[1:]]
    body = b"".join(lines).translate(None, _BLANKS).upper()
    sequence = body.translate(None, _GAPS)
    notes = []
    if len(sequence) != len(body) and not alignment:
        notes.append(f"{len(body) - len(sequence)} gap characters of an alignment were dropped")
    sequence = sequence.removesuffix(b"*")
    if not sequence:
        return SetAside(name, "failed", "the record has no residues", source, line)
    if not sequence.isalpha():
        return _bad_character(name, lines, line, source)
    if len(sequence) > limits.MAX_RESIDUES:
        return SetAside(
            name,
            "failed",
            f"expected a protein of at most {limits.MAX_RESIDUES:,} residues, got "
            f"{len(sequence):,} letters; if it is a genome, translate its genes",
            source,
            line,
        )
    if len(sequence) >= _SUSPICIOUS_LENGTH and not sequence.strip(_NUCLEOTIDES):
        notes.append("only the letters A, C, G, T, U, N: this looks like a nucleotide sequence")
        logger.warning("%s:%d: %s: %s", source, line, name, notes[-1], extra=NOTED)
    return Protein(name, sequence.decode("ascii"), source=source, notes=tuple(notes), line=line)


def _bad_character(identifier: str, lines: list[bytes], line: int, source: str) -> SetAside:
    """Say which character is at fault, at which residue, on which line."""
    residue = 0
    bodies = [text.translate(None, _BLANKS + _GAPS).upper() for text in lines]
    last = max(i for i, body in enumerate(bodies) if body)
    bodies[last] = bodies[last].removesuffix(b"*")
    for offset, body in enumerate(bodies, start=1):
        found = _NOT_A_LETTER.search(body)
        if found:
            # The whole character, where the file is UTF-8; else its byte as Latin-1 has it.
            character = body[found.start() :].decode("utf-8", "replace")[0]
            if character == "\ufffd":
                character = found.group().decode("latin-1")
            what = (
                "a stop codon '*' inside the sequence"
                if character == "*"
                else f"the character {character!r}"
            )
            return SetAside(
                identifier,
                "failed",
                f"expected one letter per residue, got {what} at residue "
                f"{residue + found.start() + 1}",
                source,
                line + offset,
            )
        residue += len(body)
    raise AssertionError("called for a sequence without a bad character")
