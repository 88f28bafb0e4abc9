"""Columns of a table, and what a row of them says about a protein.

A table has one protein per row. Its columns, whose names are compared without regard to case:

=============  =====================================================================================
the id         named by `Reading.id_column`; else the first there is of ``id``, ``protein_id``,
               ``accession``, ``entry``, ``protein``, ``name``. Without any, rows are named
               ``FILE:1``, ``FILE:2``, ... , and a note says so
the sequence   named by `Reading.sequence_column`; else ``sequence`` or ``seq``. One letter per
               residue; blanks around it and a ``*`` at its end are dropped
``cluster``    `Protein.cluster`
all others     something about each residue, by the column's name
=============  =====================================================================================

What stands in a cell of the others becomes, L being the number of residues:

- L characters, one per residue: `Protein.text`, for a property that knows what they mean
  (``label:NAME:CLASSES``); digits may be numbers;
- L numbers separated by blanks, commas or semicolons, or a JSON list of them: `Protein.values`;
- L words, in the same way: `Protein.text`;
- a list of L whole numbers or of yes and no: `Protein.labels`, where -1 and null are unknown (whole
  numbers that do not fit 16 bits are values); a list of L real numbers: `Protein.values`, where NaN
  and null are unknown; a list of L texts: as the JSON list of them;
- nothing (an empty text, null): nothing is known of this protein.

Anything else (a species, a length, a wrong number of entries) is no error in itself. A note names
the columns concerned once, and a property that asks for such a column sets the protein aside.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from provis_fast.errors import NOTED, InputError
from provis_fast.proteins.limits import MAX_RECORD_BYTES, MAX_RESIDUES
from provis_fast.proteins.record import LazyLabels, Protein, SetAside

if TYPE_CHECKING:
    from provis_fast.proteins.formats import Reading

logger = logging.getLogger(__name__)

ID_NAMES = ("id", "protein_id", "accession", "entry", "protein", "name")
SEQUENCE_NAMES = ("sequence", "seq")
CLUSTER_NAMES = ("cluster",)
#: How a number or word of a list says that it is not known.
UNKNOWN_WORDS = frozenset(("", "-", ".", "?", "nan", "na", "n/a", "null", "none"))
_SEPARATORS = re.compile(r"[,;]")
_NUMBER_BEGINS = frozenset("0123456789+-.[?nN")
_INT16 = np.iinfo(np.int16)


class _Something:
    """Stands in a row for a value that is neither text nor a list, whatever it is."""

    def __repr__(self) -> str:
        return "a single value"


SOMETHING = _Something()
#: What a row has in a column: nothing, text, numbers [any length], or something of no use.
Cell = None | str | np.ndarray | _Something


class Columns:
    """The columns of one table, and the proteins that its rows make.

    Parameters
    ----------
    names : sequence of str
        In the table's order; a column without a name is left out of account.
    path : Path
    source : str
        What to call the file in records.
    reading : Reading

    Attributes
    ----------
    sequence : int
        Index of the sequence's column.
    id, cluster : int or None
        Indices of these columns.

    Raises
    ------
    InputError
        No column has the sequence, one that `reading` names is missing, or two have the same name.
    """

    def __init__(self, names: Sequence[str], path: Path, source: str, reading: Reading):
        self.source = source
        self._path = path
        self._names = [name.strip() for name in names]
        if twice := sorted({n for n in self._names if n and self._names.count(n) > 1}):
            raise InputError(
                f"expected one column of each name, but {twice[0]!r} comes "
                f"{self._names.count(twice[0])} times; rename them",
                path,
            )
        found = self._find("sequence", reading.sequence_column, SEQUENCE_NAMES)
        if found is None:
            raise InputError(
                f"expected a column named sequence, found the columns {self._listed()}; say which "
                "one it is with sequence_column= (--sequence-column)",
                path,
            )
        self.sequence = found
        self.id = self._find("id", reading.id_column, ID_NAMES)
        self.cluster = self._find("cluster", None, CLUSTER_NAMES)
        special = {self.sequence, self.id, self.cluster}
        self._others = [
            (index, name) for index, name in enumerate(self._names) if name and index not in special
        ]
        self._told: set[str] = set()
        self._first = True

    def __len__(self) -> int:
        """Return the number of columns."""
        return len(self._names)

    def _listed(self) -> str:
        shown = ", ".join(map(repr, self._names[:20]))
        return shown + (", ..." if len(self._names) > 20 else "")

    def _find(self, what: str, given: str | None, usual: Sequence[str]) -> int | None:
        lower = [name.lower() for name in self._names]
        if given is not None:
            if given in self._names:
                return self._names.index(given)
            if given.lower() in lower:
                return lower.index(given.lower())
            raise InputError(
                f"{what}_column (--{what}-column): expected one of the columns {self._listed()}, "
                f"got {given!r}",
                self._path,
            )
        return next((lower.index(name) for name in usual if name in lower), None)

    def protein(
        self, row: int, cells: Sequence[Cell], line: int | None = None
    ) -> Protein | SetAside:
        """Make a protein of a row.

        Parameters
        ----------
        row : int
            Counted from 1.
        cells : sequence
            One for each column.
        line : int, optional
            Line of the file that the row begins on.
        """
        place = f"row {row}"
        own = None if self.id is None else cells[self.id]
        identifier = own.strip() if isinstance(own, str) else ""
        if self.id is None:
            identifier = f"{self.source}:{row}"
        try:
            if not identifier:
                what = "nothing" if own is None or isinstance(own, str) else repr(own)
                raise InputError(
                    f"{place}: expected an id in the column {self._names[self.id or 0]!r}, got "
                    f"{what}"
                )
            sequence = cells[self.sequence]
            if not isinstance(sequence, str):
                what = "nothing" if sequence is None else "something else"
                raise InputError(
                    f"{place}: expected a sequence, one letter per residue, got {what}"
                )
            sequence = sequence.strip().removesuffix("*")
            _check_limits(place, sequence, cells)
            return self._protein(identifier, sequence, cells, line)
        except InputError as error:
            return SetAside(identifier or place, "failed", error.reason, self.source, line)

    def _protein(
        self, identifier: str, sequence: str, cells: Sequence[Cell], line: int | None
    ) -> Protein:
        n = len(sequence)
        labels: dict[str, np.ndarray] = {}
        values: dict[str, np.ndarray] = {}
        text: dict[str, str] = {}
        misfits: dict[str, int | None] = {}
        wrong_lists = {}
        for index, name in self._others:
            cell = cells[index]
            if cell is None or (isinstance(cell, str) and not cell):
                continue
            if isinstance(cell, str):
                numbers = None if len(cell) == n else numbers_in(cell, n)
                if numbers is not None:
                    values[name] = numbers
                    continue
                text[name] = cell
                if len(cell) != n and words_in(cell, n) is None:
                    misfits[name] = len(cell)
            elif isinstance(cell, _Something):
                misfits[name] = None
            elif len(cell) != n:
                misfits[name] = len(cell)
                wrong_lists[name] = _Misfit(identifier, name, n, len(cell))
            elif cell.dtype.kind == "f" or _leaves_16_bits(cell):
                values[name] = cell.astype(np.float64)
            else:
                labels[name] = cell.astype(np.int16)
        cluster = None if self.cluster is None else cells[self.cluster]
        return Protein(
            identifier,
            sequence,
            labels=LazyLabels(labels, wrong_lists) if wrong_lists else labels,
            values=values,
            source=self.source,
            cluster=cluster if isinstance(cluster, str) and cluster else None,
            notes=self._notes(identifier, n, misfits),
            line=line,
            text=text or None,
        )

    def _notes(self, identifier: str, n: int, misfits: dict[str, int | None]) -> tuple[str, ...]:
        notes = []
        if self.id is None and self._first:
            notes.append(
                f"no column is named {', '.join(ID_NAMES[:-1])} or {ID_NAMES[-1]}: rows are named "
                "by their numbers; say which column has the ids with id_column= (--id-column)"
            )
        self._first = False
        new = {name: length for name, length in misfits.items() if name not in self._told}
        if new:
            self._told |= set(new)
            listed = ", ".join(
                name if length is None else f"{name} ({length})" for name, length in new.items()
            )
            notes.append(
                f"columns without one entry for each of its {n} residues, of no use unless as such "
                f"(told once for each column): {listed}"
            )
        for note in notes:
            logger.warning("%s: %s: %s", self.source, identifier, note, extra=NOTED)
        return tuple(notes)


class _Misfit:
    """Raises, when it is asked for labels, what is wrong with them."""

    def __init__(self, protein: str, name: str, n: int, found: int):
        self.reason = (
            f"protein {protein!r}: column {name!r}: expected one entry per residue ({n}), got "
            f"{found}"
        )

    def __call__(self) -> np.ndarray:
        raise InputError(self.reason)


def _check_limits(place: str, sequence: str, cells: Sequence[Cell]) -> None:
    if len(sequence) > MAX_RESIDUES:
        raise InputError(
            f"{place}: expected at most {MAX_RESIDUES:,} residues in a protein, got "
            f"{len(sequence):,}; cut it, or leave it out"
        )
    size = sum(len(cell) if isinstance(cell, str) else getattr(cell, "nbytes", 0) for cell in cells)
    if size > MAX_RECORD_BYTES:
        raise InputError(
            f"{place}: expected at most {MAX_RECORD_BYTES >> 20} MiB in a row, got {size:,} bytes; "
            "leave columns out"
        )


def _leaves_16_bits(cell: np.ndarray) -> bool:
    return bool(len(cell)) and (int(cell.min()) < _INT16.min or int(cell.max()) > _INT16.max)


def words_in(text: str, n: int) -> list[str] | None:
    """The n words of a text, or None where it does not have n.

    Words are separated by commas or semicolons (an empty one is unknown), or else by blanks; or the
    text is a JSON list, where null is the empty word.

    Examples
    --------
    >>> words_in("helix coil  coil", 3), words_in("1,,0", 3), words_in('["a", null]', 2)
    (['helix', 'coil', 'coil'], ['1', '', '0'], ['a', ''])
    >>> words_in("helix", 3) is None
    True
    """
    stripped = text.strip()
    if stripped.startswith("[") and stripped.endswith("]"):
        try:
            found = json.loads(stripped)
        except (ValueError, RecursionError):
            stripped = stripped[1:-1].strip()  # as NumPy prints arrays
        else:
            if len(found) != n or any(isinstance(word, list | dict) for word in found):
                return None
            return ["" if word is None else _word(word) for word in found]
    if len(stripped) < 2 * n - 1 and not _SEPARATORS.search(stripped):
        return None
    parts = _SEPARATORS.split(stripped) if _SEPARATORS.search(stripped) else stripped.split()
    if len(parts) == n + 1 and not parts[-1].strip():
        parts.pop()  # a separator behind the last one
    return [part.strip() for part in parts] if len(parts) == n else None


def _word(word: object) -> str:
    if isinstance(word, bool):
        return str(int(word))
    return word.strip() if isinstance(word, str) else repr(word)


def numbers_in(text: str, n: int) -> np.ndarray | None:
    """The n numbers of a text, float64 [n], NaN where unknown; None where it has anything else.

    Examples
    --------
    >>> numbers_in("0.5 1 nan", 3), numbers_in("[1, null]", 2)
    (array([0.5, 1. , nan]), array([ 1., nan]))
    >>> numbers_in("helix coil", 2) is None
    True
    """
    if text.lstrip()[:1] not in _NUMBER_BEGINS and not text.lstrip().startswith((",", ";")):
        return None
    words = words_in(text, n)
    if words is None:
        return None
    try:
        return np.array(list(map(float, words)), np.float64)
    except ValueError:
        pass
    try:
        return np.array([number_of(word) for word in words], np.float64)
    except ValueError:
        return None


def number_of(word: str) -> float:
    """A word as a number, NaN where it says that nothing is known; else ValueError."""
    return np.nan if word.lower() in UNKNOWN_WORDS else float(word)
