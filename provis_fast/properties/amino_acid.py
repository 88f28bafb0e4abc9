"""Amino acids: by key, by query, and from query to key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast.properties.base import (
    ClassPairProperty,
    KeyClassProperty,
    LabelProperty,
    QueryClassProperty,
)
from provis_fast.proteins.record import AMINO_ACIDS

if TYPE_CHECKING:
    from provis_fast.proteins import Protein

#: The IUPAC protein alphabet with its rare and ambiguous letters, as TAPE's vocabulary has it.
RAW_LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXYZ"
#: Stands in a sequence for a residue that a mask token hides: its amino acid is unknown.
HIDDEN = "\0"


class _Letters(LabelProperty):
    """Labels from the letters of the sequence, through a 256-entry table.

    Parameters
    ----------
    raw : bool
        Every letter of `RAW_LETTERS` is its own class, and no class is "other"; the original
        provis counted so.
    name : str, optional
    """

    from_sequence = True
    _name: str

    def __init__(self, raw: bool = False, name: str | None = None):
        letters = RAW_LETTERS if raw else AMINO_ACIDS
        super().__init__(name or self._name, [*letters] if raw else [*letters, "other"])
        self.raw = raw
        # With `raw`, a letter that is not in the table is known, and in no class.
        self._table = np.full(256, len(letters), dtype=np.int16)
        self._table[np.frombuffer(letters.encode(), dtype=np.uint8)] = np.arange(len(letters))
        self._table[ord(HIDDEN)] = -1

    def labels(self, protein: Protein) -> np.ndarray:
        """Class of each letter, int16 [L]."""
        letters = protein.sequence.encode("latin-1", "replace")
        return self._table[np.frombuffer(letters, dtype=np.uint8)]

    def encode(self, protein: Protein) -> np.ndarray:
        """Class ids, int16 [L]."""
        return self.labels(protein)

    def options(self) -> dict[str, Any]:
        """Whether letters are taken raw."""
        return {"raw": True} if self.raw else {}


class AminoAcid(_Letters, KeyClassProperty):
    """Amino acid of the key: the twenty, and "other" for every other letter (X, B, Z, U, O).

    "Other" is known: such a residue is eligible and counts in its own class.
    """

    _name = "amino_acid"


class AminoAcidQuery(_Letters, QueryClassProperty):
    """Amino acid of the query; classes as in `AminoAcid`."""

    _name = "amino_acid_query"


class AminoAcidPair(_Letters, ClassPairProperty):
    """Amino acids of query and key: 21 x 21 classes such as ``A>G``."""

    _name = "amino_acid_pair"
