"""Properties by the name of what the input has: ``label:NAME`` and ``value:NAME``.

They read labels, values and columns of tables of any format, a column ``NAME`` of a table as well
as the labels of a structure or of a UniProt entry:

=============================  ====================================================================
``label:NAME``                 binary: 1 yes, 0 no, -1 unknown
``label:NAME:HEC``             one class for each letter; numbers are places in the list, from 0
``label:NAME:helix/coil``      classes with names; residues say the name, or its place from 0
``value:NAME``                 real numbers, of which sums over the keys are taken
=============================  ====================================================================

In text a residue is unknown where it has ``-``, ``.``, ``?``, a blank, or one of the words that say
so (``nan``, ``NA``, ``null``), unless that is one of the classes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast.errors import ArgumentError, InputError
from provis_fast.properties.base import KeyClassProperty, KeyValueProperty, Property
from provis_fast.proteins.columns import UNKNOWN_WORDS, number_of, numbers_in, words_in

if TYPE_CHECKING:
    from provis_fast.proteins import Protein, SetAside

logger = logging.getLogger(__name__)

_HOW = "label:NAME, label:NAME:CLASSES or value:NAME"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-]")
_UNKNOWN_LETTERS = frozenset("-.? ")


def is_column(name: str) -> bool:
    """Whether a property's name says that a column is meant."""
    return name.startswith(("label:", "value:"))


def from_name(name: str) -> Property:
    """The property of a column.

    Parameters
    ----------
    name : str
        ``label:NAME``, ``label:NAME:CLASSES`` or ``value:NAME``; see the module.

    Raises
    ------
    ArgumentError
        Something else, or classes that are empty or repeated.

    Examples
    --------
    >>> from_name("label:ss:HEC").classes, from_name("label:ss:helix/coil").classes
    (('H', 'E', 'C'), ('helix', 'coil'))
    """
    kind, column, *rest = name.split(":", 2)
    if not column or (rest and (kind == "value" or not rest[0])):
        raise ArgumentError(f"properties: expected {_HOW}, got {name!r}")
    if kind == "value":
        return ColumnValue(column)
    if not rest:
        return ColumnLabel(column)
    return ColumnLabel(column, rest[0].split("/") if "/" in rest[0] else list(rest[0]))


def property_name(column: str) -> str:
    """The name of a column as a property's, in which not every character may stand."""
    return _NOT_IN_NAMES.sub("_", column)


class ColumnLabel(KeyClassProperty):
    """Class of the key, from labels or a column of the input by that name.

    Parameters
    ----------
    column : str
        Name of the labels, or of the column.
    classes : sequence of str, optional
        Names of the classes, in order; default: a binary property.

    Raises
    ------
    ArgumentError
        Classes that are empty or repeated.
    """

    def __init__(self, column: str, classes: Sequence[str] | None = None):
        name = property_name(column)
        super().__init__(name, [name] if classes is None else classes)
        self.column, self.binary = column, classes is None
        names = ("0", "1") if classes is None else self.classes
        self._ids = {word: index for index, word in enumerate(names)}
        self._letters = all(len(word) == 1 for word in names)

    def options(self) -> dict[str, Any]:
        """The column."""
        return {"column": self.column}

    def labels(self, protein: Protein) -> np.ndarray | None:
        """Labels [L] as class ids, -1 where unknown; None where the protein has no such column.

        Raises
        ------
        InputError
            The column has something else than these classes, or not one entry per residue.
        """
        if self.column in protein.labels:
            return protein.labels[self.column]
        if self.column in protein.values:
            return self._of_numbers(protein, protein.values[self.column])
        text, n = (protein.text or {}).get(self.column), len(protein)
        if text is None:
            return None
        if len(text) == n and self._letters:
            return self._of_words(protein, text)
        words = words_in(text, n)
        if len(text) == n and (words is None or n > 1):
            words = list(text)
        if words is None:
            raise InputError(
                f"{self._place(protein)}: expected one {'letter' if self._letters else 'word'} per "
                f"residue ({n}), got {len(text)} characters, {text[:40]!r}"
            )
        return self._of_words(protein, words)

    def _place(self, protein: Protein) -> str:
        return f"property {self.name!r}, protein {protein.id!r}, column {self.column!r}"

    def _of_words(self, protein: Protein, words: Sequence[str]) -> np.ndarray:
        meaning = {word: self._meaning(protein, word) for word in set(words)}
        return np.fromiter((meaning[word] for word in words), np.int16, len(words))

    def _meaning(self, protein: Protein, word: str) -> int:
        if word in self._ids:
            return self._ids[word]
        if word.lower() in UNKNOWN_WORDS or word in _UNKNOWN_LETTERS:
            return -1
        if re.fullmatch(r"-1|\d{1,5}", word) and int(word) < len(self._ids):
            return int(word)
        expected = "1, 0 or - for unknown" if self.binary else "/".join(self.classes)
        advice = "" if not self.binary else f"; name the classes, as in label:{self.column}:AB"
        raise InputError(
            f"{self._place(protein)}: expected one of {expected}, got {word[:40]!r}{advice}"
        )

    def _of_numbers(self, protein: Protein, values: np.ndarray) -> np.ndarray:
        known = ~np.isnan(values)
        whole = np.where(known, values, -1.0)
        if not (np.rint(whole) == whole).all() or np.abs(whole).max(initial=0) > MAX_ID:
            bad = whole[(np.rint(whole) != whole) | (np.abs(whole) > MAX_ID)][0]
            raise InputError(
                f"{self._place(protein)}: expected class ids, whole numbers from 0, got {bad:g}; "
                f"value:{self.column} takes real numbers"
            )
        return whole.astype(np.int16)


#: Labels are int16.
MAX_ID = np.iinfo(np.int16).max


class ColumnValue(KeyValueProperty):
    """Number of the key, from values or a column of the input by that name.

    Labels are taken as numbers too, unknown where they are -1; so are digits, one per residue.

    Parameters
    ----------
    column : str
        Name of the values, or of the column.
    """

    def __init__(self, column: str):
        super().__init__(property_name(column))
        self.column = column

    def options(self) -> dict[str, Any]:
        """The column."""
        return {"column": self.column}

    def values(self, protein: Protein) -> np.ndarray | None:
        """Values float64 [L], NaN where unknown; None where the protein has no such column.

        Raises
        ------
        InputError
            The column has something else than numbers, or not one per residue.
        """
        if self.column in protein.values:
            return protein.values[self.column]
        if self.column in protein.labels:
            labels = protein.labels[self.column]
            return np.where(labels == -1, np.nan, labels.astype(np.float64))
        text, n = (protein.text or {}).get(self.column), len(protein)
        if text is None:
            return None
        try:
            if len(text) == n:
                return np.array([number_of(letter.strip()) for letter in text], np.float64)
            numbers = numbers_in(text, n)
        except ValueError:
            numbers = None
        if numbers is None:
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}, column {self.column!r}: expected "
                f"{n} numbers, one per residue, separated by blanks or commas, got {text[:40]!r}"
            )
        return numbers


def missing_columns(properties: Iterable[Property], records: Iterable[Protein | SetAside]) -> None:
    """Warn in the log of properties whose column none of the first records has.

    It may come later; but a mistyped name would else be told only when all has been analysed.
    """
    proteins = [record for record in records if hasattr(record, "labels")]
    names: set[str] = set()
    for protein in proteins:
        names.update(protein.labels, protein.values, protein.text or ())
    for prop in properties:
        column = prop.column if isinstance(prop, (ColumnLabel, ColumnValue)) else None
        if proteins and column is not None and column not in names:
            logger.warning(
                "property %s: none of the first %d proteins has a label, value or column %r; "
                "there are: %s",
                prop.name,
                len(proteins),
                column,
                ", ".join(sorted(names)) or "none at all",
            )
