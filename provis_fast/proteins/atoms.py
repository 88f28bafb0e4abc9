"""Atoms of an entry's first model as arrays: what is computed later needs no parser's objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import gemmi
import numpy as np

#: Atoms of the backbone, and C-beta, in the order in which they are kept.
BACKBONE = ("N", "CA", "C", "O", "CB")
#: What gemmi has in place of an author number that a file does not give.
NO_NUMBER = np.iinfo(np.int32).min

_POLYMER = gemmi.EntityType.Polymer.value


@dataclass(frozen=True, eq=False)
class ModelAtoms:
    """A atoms of R residues, in the order of gemmi's first model: chain by chain.

    Attributes
    ----------
    position : ndarray, float64 [A, 3]
        In Angstrom.
    residue : ndarray, int32 [A]
        Row of each atom's residue, from 0 to R - 1.
    name : ndarray, bytes [A]
        Atom name, its first 8 characters.
    altloc : ndarray, int8 [A]
        Alternative location, 0 where there is none.
    element : ndarray, bytes [A]
        Symbol.
    b_factor : ndarray, float32 [A]
        Isotropic, as the file has it.
    residue_name : ndarray, bytes [R]
        Three-letter code, its first 8 characters.
    polymer : ndarray, bool [R]
        Whether the residue is part of a polymer.
    number : ndarray, int32 [R]
        Author number.
    insertion : ndarray, bytes [R]
        Insertion code, a blank where there is none.
    chain : ndarray, int32 [R]
        Index of gemmi's chain.
    chain_names : tuple of str
        Names of gemmi's chains.
    """

    position: np.ndarray
    residue: np.ndarray
    name: np.ndarray
    altloc: np.ndarray
    element: np.ndarray
    b_factor: np.ndarray
    residue_name: np.ndarray
    polymer: np.ndarray
    number: np.ndarray
    insertion: np.ndarray
    chain: np.ndarray
    chain_names: tuple[str, ...]

    @classmethod
    def of(cls, structure: gemmi.Structure) -> ModelAtoms:
        """Atoms of the first model of a structure whose entities are set up."""
        model = structure[0]
        if len(structure) > 1:
            structure = gemmi.Structure()
            structure.add_model(model)
        sizes = [len(residue) for chain in model for residue in chain]
        ends = np.cumsum(sizes)
        first = ends - sizes  # a residue of a file has atoms
        flat = gemmi.FlatStructure(structure)
        return cls(
            np.array(flat.pos),
            np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
            _as_bytes(flat.atom_names),
            np.array(flat.altlocs),
            np.array(flat.element_names),
            np.array(flat.b_iso),
            _as_bytes(flat.residue_names)[first],
            flat.entity_type[first] == _POLYMER,
            flat.resnums[first],
            flat.icodes[first].view("S1"),
            np.repeat(np.arange(len(model), dtype=np.int32), [len(chain) for chain in model]),
            tuple(chain.name for chain in model),
        )

    def heavy(self) -> np.ndarray:
        """Atoms other than hydrogen that have a place, bool [A]."""
        hydrogen = (self.element == b"H") | (self.element == b"D")
        return ~hydrogen & np.isfinite(self.position).all(axis=1)

    def first_row(self, chain: int) -> int:
        """Row of the first residue of a chain of gemmi's."""
        return int(np.searchsorted(self.chain, chain))

    @cached_property
    def backbone(self) -> np.ndarray:
        """Indices of the first atom of each name of `BACKBONE`, int64 [R + 1, 5]; -1 for none.

        The last row is that of no residue: a row of -1 finds it.
        """
        found = np.full((len(self.residue_name) + 1, len(BACKBONE)), -1, dtype=np.int64)
        codes = self.name.view(np.int64)  # compares eight times as fast as text
        for column, name in enumerate(BACKBONE):
            atoms = np.flatnonzero(codes == np.array([name], dtype="S8").view(np.int64))[::-1]
            found[self.residue[atoms], column] = atoms  # of several, the first is written last
        return found

    def numbers_of(self, rows: list[int]) -> list[str]:
        """Author numbers with insertion codes ("52A") of some residues."""
        numbers = list(map(str, self.number[rows].tolist()))
        for i, code in enumerate(self.insertion[rows].tolist()):
            if code != b" ":
                numbers[i] += code.decode("latin-1")
        return numbers


def _as_bytes(characters: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(characters).view("S8")[:, 0]
