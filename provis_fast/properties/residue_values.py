"""Properties from numbers that come with a protein's residues: exposure, confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast.errors import ArgumentError
from provis_fast.properties.base import KeyClassProperty, KeyValueProperty

if TYPE_CHECKING:
    from provis_fast.proteins import Protein

#: Relative accessible surface below which a residue is buried: E. D. Levy, "A simple definition of
#: structural regions in proteins", J. Mol. Biol. 403, 660 (2010).
BURIED_BELOW = 0.25


class ResidueValue(KeyValueProperty):
    """Number of the key, from the values that came with the protein.

    Parameters
    ----------
    name : str
        Also its name among the protein's values; a protein without them is unknown throughout.
    """

    def values(self, protein: Protein) -> np.ndarray | None:
        """The protein's values [L], or None."""
        return protein.values[self.name] if self.name in protein.values else None


class Buried(KeyClassProperty):
    """Whether the key is buried: its solvent exposure is below (not at) a limit.

    Parameters
    ----------
    below : float
        Relative accessible surface, above 0.
    name : str

    Raises
    ------
    ArgumentError
        A limit that is not a number above 0.
    """

    def __init__(self, below: float = BURIED_BELOW, name: str = "buried"):
        if not isinstance(below, (int, float)) or not 0 < below < float("inf"):
            raise ArgumentError(f"below: expected a relative surface above 0, got {below!r}")
        super().__init__(name, [name])
        self.below = float(below)

    def labels(self, protein: Protein) -> np.ndarray | None:
        """1 buried, 0 exposed, -1 unknown, int16 [L]; None where there is no exposure."""
        if "solvent_exposure" not in protein.values:
            return None
        exposure = np.asarray(protein.values["solvent_exposure"], dtype=np.float64)
        return np.where(np.isnan(exposure), -1, exposure < self.below).astype(np.int16)

    def options(self) -> dict[str, Any]:
        """The limit."""
        return {"below": self.below}


def solvent_exposure() -> ResidueValue:
    """Relative accessible surface of the key: 0 buried, about 1 fully exposed."""
    return ResidueValue("solvent_exposure")


def plddt() -> ResidueValue:
    """Confidence in the key's position in a predicted structure, 0 to 100."""
    return ResidueValue("plddt")
