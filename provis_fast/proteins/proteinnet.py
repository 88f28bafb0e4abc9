"""ProteinNet text files (AlQuraishi 2019), read record by record.

A record is a few sections, each a line with its name in brackets and then its content; records
follow one another, usually with a blank line between them:

===================  ===============================================================================
``[ID]``             one line, the identifier (required, comes first)
``[PRIMARY]``        one line, the sequence (required)
``[EVOLUTIONARY]``   21 lines of profile and information content; not read
``[SECONDARY]``      one line, DSSP's letters with L for "none of them"; most releases lack it
``[TERTIARY]``       three lines (x, y, z) of 3 L numbers: N, C-alpha and C of each residue in turn,
                     in picometres
``[MASK]``           one line, ``+`` where the coordinates of a residue are known, ``-`` elsewhere
===================  ===============================================================================

As in TAPE's data set, which was made of these files, C-alpha positions in Angstrom are kept, and
residues that the mask hides are unknown.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from provis_fast.errors import InputError
from provis_fast.proteins import limits
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.lines import bounded_lines
from provis_fast.proteins.opening import open_text
from provis_fast.proteins.record import HELIX, OTHER, STRAND, TURN, UNKNOWN, Protein, SetAside

#: What a file of this format begins with.
FIRST_SECTION = b"[ID]"
_SECTIONS = (b"[ID]", b"[PRIMARY]", b"[EVOLUTIONARY]", b"[SECONDARY]", b"[TERTIARY]", b"[MASK]")
_PICOMETRES = 100.0  # in one Angstrom
_ATOMS = 3  # N, C-alpha, C
_CA = 1
_CLASS_OF_LETTER = {
    **dict.fromkeys("HGI", HELIX),
    **dict.fromkeys("EB", STRAND),
    **dict.fromkeys("TS", TURN),
    "L": OTHER,
}

#: Line of its name, and the lines after it that are not blank with their numbers.
_Section = tuple[int, list[tuple[int, bytes]]]


def count_proteinnet(path: Path) -> int:
    """Records of a file, as `read` numbers them; InputError where it is unreadable.

    Of a compressed file that is damaged, those up to the damage, and the one in which it lies.
    """
    count = 0
    try:
        with open_text(path) as stream:
            for _, line in bounded_lines(stream, limits.MAX_RECORD_BYTES):
                count += line.strip() == FIRST_SECTION
    except (OSError, EOFError, zlib.error) as error:
        damaged = isinstance(error, (EOFError, zlib.error, gzip.BadGzipFile))
        if not (damaged and count):
            raise InputError(f"cannot be read: {error}", path) from error
    return count


def read(path: Path, source: str, reading: Reading | None = None) -> Iterator[Protein | SetAside]:
    """Read a ProteinNet file as a stream; no more than one record is in memory.

    Parameters
    ----------
    path : Path
        The file; compressed or not, whatever its name.
    source : str
        What to call the file in records.
    reading : Reading, optional
        The format needs none.

    Yields
    ------
    Protein or SetAside
        In the file's order; a record that is damaged is set aside with its line.

    Raises
    ------
    InputError
        If the file cannot be opened, is empty, or does not begin with ``[ID]``.
    """
    try:
        with open_text(path) as stream:
            for sections, end in _records(stream, path):
                yield _record(sections, end, source)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", path) from error


def _records(
    stream: BinaryIO, path: Path
) -> Iterator[tuple[list[tuple[str, _Section]], str | None]]:
    """Sections of each record in order, and why the file ends within it, if it does."""
    sections: list[tuple[str, _Section]] = []
    number = size = 0
    try:
        for number, line in bounded_lines(stream, limits.MAX_RECORD_BYTES):
            size += len(line)
            line = line.strip()
            if not line:
                continue
            if line == FIRST_SECTION and sections:
                yield sections, _too_large(size - len(FIRST_SECTION) - 1)
                sections, size = [], len(FIRST_SECTION) + 1
            elif line != FIRST_SECTION and not sections:
                raise InputError(
                    f"not ProteinNet: expected a first line [ID], got {line[:40]!r}", path, number
                )
            if line.startswith(b"["):
                sections.append((line[:40].decode("utf-8", "replace"), (number, [])))
            elif size > limits.MAX_RECORD_BYTES:
                sections[-1][1][1].clear()  # it is set aside, and what it has is not kept
            elif sections[-1][0] != "[EVOLUTIONARY]":  # of no use here, and most of the file
                sections[-1][1][1].append((number, line))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        if not sections:
            raise InputError(f"damaged gzip file: {error}", path, number or None) from error
        yield sections, f"the compressed file is damaged or cut off in this record: {error}"
        return
    if not sections:
        raise InputError("the file has no ProteinNet record: it is empty", path)
    yield sections, _too_large(size)


def _too_large(size: int) -> str | None:
    if size <= limits.MAX_RECORD_BYTES:
        return None
    return (
        f"expected a record of at most {limits.MAX_RECORD_BYTES:,} bytes, got more; is a line [ID] "
        "missing?"
    )


class _DamagedError(Exception):
    """A record cannot be used; with the line that tells so."""

    def __init__(self, line: int, reason: str):
        super().__init__(reason)
        self.line = line


def _record(
    sections: list[tuple[str, _Section]], end: str | None, source: str
) -> Protein | SetAside:
    first, (first_line, _) = sections[0]
    identifier = f"line {first_line}"
    try:
        found = {first: sections[0][1]}
        identifier = _text(first, *_one_line(first, found))
        for name, section in sections[1:]:
            if name.encode() not in _SECTIONS:
                known = ", ".join(s.decode() for s in _SECTIONS)
                raise _DamagedError(section[0], f"expected one of {known}, got {name!r}")
            if name in found:
                raise _DamagedError(section[0], f"{name} comes twice in one record")
            found[name] = section
        if end is not None:
            raise _DamagedError(first_line, end)
        return _protein(identifier, found, source)
    except _DamagedError as error:
        return SetAside(identifier, "failed", str(error), source, error.line)
    except InputError as error:
        return SetAside(identifier, "failed", error.reason, source, first_line)


def _protein(identifier: str, found: dict[str, _Section], source: str) -> Protein:
    if "[PRIMARY]" not in found:
        raise _DamagedError(found["[ID]"][0], "the section [PRIMARY] is missing")
    line, content = _one_line("[PRIMARY]", found)
    sequence = _text("[PRIMARY]", line, content)
    if not (sequence.isascii() and sequence.isalpha()):
        raise _DamagedError(
            line, f"[PRIMARY]: expected one letter per residue, got {content[:60]!r}"
        )
    n = len(sequence)
    if n > limits.MAX_RESIDUES:
        raise _DamagedError(
            line, f"expected a protein of at most {limits.MAX_RESIDUES:,} residues, got {n:,}"
        )
    valid = None
    if "[MASK]" in found:
        mask = _letters("[MASK]", found, n, "+-", "residue is known (+) or not (-)")
        valid = np.array([letter == "+" for letter in mask])
    labels: dict[str, np.ndarray] = {}
    if "[SECONDARY]" in found:
        states = _letters("[SECONDARY]", found, n, "".join(_CLASS_OF_LETTER), "residue's state")
        structure = np.array([_CLASS_OF_LETTER[state] for state in states], np.int16)
        labels["secondary_structure"] = structure
        if valid is not None:
            labels["secondary_structure"] = np.where(valid, structure, UNKNOWN).astype(np.int16)
            labels["secondary_structure_unmasked"] = structure
    ca = None
    if "[TERTIARY]" in found:
        if valid is None:
            raise _DamagedError(
                found["[TERTIARY]"][0],
                "[TERTIARY] without [MASK]: nothing tells which coordinates are known",
            )
        ca = _ca_positions(found["[TERTIARY]"], n)
        ca[~valid] = np.nan
    return Protein(identifier, sequence, labels=labels, ca=ca, source=source)


def _one_line(name: str, found: dict[str, _Section]) -> tuple[int, bytes]:
    line, content = found[name]
    if len(content) != 1:
        raise _DamagedError(line, f"{name}: expected one line after it, got {len(content)}")
    return content[0]


def _text(name: str, line: int, content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise _DamagedError(line, f"{name}: expected text, got {content[:40]!r}") from None


def _letters(name: str, found: dict[str, _Section], n: int, allowed: str, what: str) -> str:
    """A section of one letter per residue."""
    line, content = _one_line(name, found)
    letters = _text(name, line, content)
    if len(letters) != n:
        raise _DamagedError(
            line, f"{name}: expected {n} letters, one per residue, got {len(letters)}"
        )
    if others := sorted(set(letters) - set(allowed)):
        raise _DamagedError(
            line, f"{name}: expected letters of {allowed} ({what}), got {others[0]!r}"
        )
    return letters


def _ca_positions(section: _Section, n: int) -> np.ndarray:
    """C-alpha positions in Angstrom, float32 [n, 3]."""
    line, content = section
    if len(content) != 3:
        raise _DamagedError(line, f"[TERTIARY]: expected three lines (x, y, z), got {len(content)}")
    xyz = np.empty((n, 3), np.float64)
    for axis, (place, text) in enumerate(content):
        numbers = text.split()
        if len(numbers) != _ATOMS * n:
            raise _DamagedError(
                place,
                f"[TERTIARY]: expected {_ATOMS * n} numbers, three atoms of each of {n} residues, "
                f"got {len(numbers)}",
            )
        try:
            values = np.array(list(map(float, numbers)))
        except ValueError as error:
            raise _DamagedError(place, f"[TERTIARY]: expected numbers: {error}") from None
        if not (np.abs(values) < np.finfo(np.float32).max).all():  # not so for NaN either
            raise _DamagedError(place, "[TERTIARY]: expected finite numbers, got NaN or infinity")
        xyz[:, axis] = values[_CA::_ATOMS]
    return (xyz / _PICOMETRES).astype(np.float32)
