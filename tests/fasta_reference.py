"""The FASTA reader in plain Python, line by line: what the compiled one is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from provis_fast.errors import InputError
from provis_fast.proteins import limits
from provis_fast.proteins.fasta import (
    _bad_character,  # words alone; which records get them is compared
)
from provis_fast.proteins.record import Protein, SetAside

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_GAPS = b"-."
_BLANKS = b" \t\r\n\v\f"
_NUCLEOTIDES = b"ACGTUN"
#: A protein of this many residues made of A, C, G, T, U and N alone is almost surely DNA or RNA.
_SUSPICIOUS_LENGTH = 40


def records(stream: BinaryIO, path: Path, source: str) -> Iterator[Protein | SetAside]:
    """Records of a stream of lines, each of them in memory as a whole."""
    header: bytes | None = None
    header_line = 0
    lines: list[bytes] = []
    number = 0
    for number, line in enumerate(stream, start=1):
        if number == 1 and (line.startswith(_UTF16_MARKS) or b"\0" in line):
            raise InputError(
                "expected plain text, got what looks like UTF-16 (or no text at all): save the "
                "file as UTF-8",
                path,
            )
        if line.startswith(b">"):
            if header is not None:
                yield _record(header, lines, header_line, source)
            header, header_line, lines = line, number, []
        elif header is not None:
            # An empty line in a comment's place keeps the count of lines.
            lines.append(b"" if line.startswith(b";") else line)
        else:
            # Before the first header: comments, blank lines, a byte order mark.
            line = line.removeprefix(b"\xef\xbb\xbf")
            if line.startswith(b">"):
                header, header_line = line, number
            elif line.strip() and not line.startswith(b";"):
                raise InputError(
                    f"not FASTA: expected a header that starts with '>', got {line[:40]!r}",
                    path,
                    number,
                )
    if header is None:
        raise InputError("the file has no FASTA record: it is empty", path)
    yield _record(header, lines, header_line, source)


def _identifier(header: bytes) -> str:
    words = header[1:].split(None, 1)
    # ">id" and "> id" are both in use.
    return words[0].decode("utf-8", "replace") if words else ""


def _record(header: bytes, lines: list[bytes], line: int, source: str) -> Protein | SetAside:
    identifier = _identifier(header)
    if not identifier:
        return SetAside(f"line {line}", "failed", "the header has no identifier", source, line)
    # Comments were dropped from `lines`: a test of this limit has none.
    if len(header) + sum(map(len, lines)) > limits.MAX_RECORD_BYTES:
        reason = (
            f"expected a record of at most {limits.MAX_RECORD_BYTES:,} bytes, got more; if it is a "
            "genome, translate its genes"
        )
        return SetAside(identifier, "failed", reason, source, line)
    raw = b"".join(lines).translate(None, _BLANKS).upper()
    sequence = raw.translate(None, _GAPS)
    notes = []
    if len(sequence) != len(raw):
        notes.append(f"{len(raw) - len(sequence)} gap characters of an alignment were dropped")
    sequence = sequence.removesuffix(b"*")
    if not sequence:
        return SetAside(identifier, "failed", "the record has no residues", source, line)
    if not sequence.isalpha():
        return _bad_character(identifier, lines, line, source)
    if len(sequence) > limits.MAX_RESIDUES:
        reason = (
            f"expected a protein of at most {limits.MAX_RESIDUES:,} residues, got "
            f"{len(sequence):,} letters; if it is a genome, translate its genes"
        )
        return SetAside(identifier, "failed", reason, source, line)
    if len(sequence) >= _SUSPICIOUS_LENGTH and not sequence.strip(_NUCLEOTIDES):
        notes.append("only the letters A, C, G, T, U, N: this looks like a nucleotide sequence")
    return Protein(
        identifier, sequence.decode("ascii"), source=source, notes=tuple(notes), line=line
    )
