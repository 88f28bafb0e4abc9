"""Numbers that every amino acid has: hydrophobicity, charge, volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from Bio.SeqUtils.ProtParamData import kd

from provis_fast.properties.base import KeyValueProperty

if TYPE_CHECKING:
    from provis_fast.proteins import Protein

# Kyte and Doolittle, J. Mol. Biol. 157, 105 (1982), as Biopython has it.
KYTE_DOOLITTLE: dict[str, float] = dict(kd)
# Residue volumes in cubic Angstrom: Zamyatnin, Prog. Biophys. Mol. Biol. 24, 107 (1972).
ZAMYATNIN = {
    "A": 88.6, "R": 173.4, "N": 114.1, "D": 111.1, "C": 108.5, "Q": 143.8, "E": 138.4, "G": 60.1,
    "H": 153.2, "I": 166.7, "L": 166.7, "K": 168.6, "M": 162.9, "F": 189.9, "P": 112.7, "S": 89.0,
    "T": 116.1, "W": 227.8, "Y": 193.6, "V": 140.0,
}  # fmt: skip
# Elementary charges of the side chain at pH 7; histidine counts as neutral.
CHARGE = dict.fromkeys(KYTE_DOOLITTLE, 0.0) | {"K": 1.0, "R": 1.0, "D": -1.0, "E": -1.0}


class Scale(KeyValueProperty):
    """A number of the key that depends on its amino acid alone.

    Parameters
    ----------
    name : str
    scale : dict
        Letter -> value. Residues with other letters are unknown.
    """

    from_sequence = True

    def __init__(self, name: str, scale: dict[str, float]):
        super().__init__(name)
        self._table = np.full(256, np.nan)
        for letter, value in scale.items():
            self._table[ord(letter)] = value

    def values(self, protein: Protein) -> np.ndarray:
        """Value of each residue, float64 [L]."""
        letters = protein.sequence.encode("latin-1", "replace")
        return self._table[np.frombuffer(letters, dtype=np.uint8)]


def hydrophobicity() -> Scale:
    """Hydropathy of the key (Kyte-Doolittle; positive is hydrophobic)."""
    return Scale("hydrophobicity", KYTE_DOOLITTLE)


def charge() -> Scale:
    """Side-chain charge of the key at pH 7, in elementary charges."""
    return Scale("charge", CHARGE)


def volume() -> Scale:
    """Volume of the key residue in cubic Angstrom (Zamyatnin)."""
    return Scale("volume", ZAMYATNIN)
