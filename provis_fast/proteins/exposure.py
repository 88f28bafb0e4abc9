"""Solvent exposure: relative accessible surface area of each residue.

The surface is that of Shrake and Rupley (1973), mdtraj's implementation: a probe of 1.4 Angstrom,
240 points per atom, radii of Bondi (1964) as mdtraj has them, hydrogens left out. A residue's area
is computed in the whole first model as the file has it: all polymer chains shield one another,
while ligands and waters are left out, as they say more about the crystal than about the protein.
Where the file holds the asymmetric unit only, contacts of the biological assembly are not seen.

The area is divided by the residue's largest possible one, the theoretical maxima of Tien et al.,
"Maximum allowed solvent accessibilities of residues in proteins", PLoS ONE 8, e80635 (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gemmi
import numpy as np

from provis_fast.proteins.atoms import ModelAtoms
from provis_fast.proteins.polymer import Places

#: Largest accessible surface of each residue X in Gly-X-Gly, Angstrom^2 (Tien et al., table 1).
MAXIMUM_AREA = {
    "A": 129.0, "R": 274.0, "N": 195.0, "D": 193.0, "C": 167.0, "Q": 225.0, "E": 223.0, "G": 104.0,
    "H": 224.0, "I": 197.0, "L": 201.0, "K": 236.0, "M": 224.0, "F": 240.0, "P": 159.0, "S": 155.0,
    "T": 172.0, "W": 285.0, "Y": 263.0, "V": 174.0,
}  # fmt: skip

#: Heavy atoms of a complete residue; a residue with fewer has too small a surface.
HEAVY_ATOMS = {
    "A": 5, "R": 11, "N": 8, "D": 8, "C": 6, "Q": 9, "E": 9, "G": 4, "H": 10, "I": 8, "L": 8,
    "K": 9, "M": 8, "F": 11, "P": 7, "S": 6, "T": 7, "W": 14, "Y": 12, "V": 7,
}  # fmt: skip

_PROBE = 1.4
# Points on the sphere of each atom. Four times as many take four times as long and change no
# residue's exposure by more than 0.03, nor by more than 0.005 on average.
_POINTS = 240
_ANGSTROM2 = 100.0  # in a square nanometre
# Atoms nearer than this lie on top of one another (nm); mdtraj's limit is half of it.
_TOO_NEAR = 2e-5
# Atoms whose surface is computed at once, those around them besides: mdtraj compares all with all.
_BLOCK = 1024


class SolventExposure:
    """Relative accessible surface of a model's chains, computed when the first is asked for.

    Parameters
    ----------
    atoms : ModelAtoms
        The first model.
    chains : sequence of Places
        Its amino-acid chains.
    left_out : ndarray, int [M]
        Rows of residues to take as if they were not there.
    """

    def __init__(self, atoms: ModelAtoms, chains: Sequence[Places], left_out: np.ndarray):
        self._atoms, self._chains = atoms, chains
        self._taken = atoms.polymer.copy()
        self._taken[left_out] = False
        self._relative: np.ndarray | None = None

    def values(self, index: int) -> np.ndarray:
        """Exposure of one chain.

        Returns
        -------
        ndarray, float64 [L]
            Area divided by its maximum, from 0; residues at an end of a chain may come out above 1.
            NaN where a residue is unresolved, lacks heavy atoms, has an atom on top of another, or
            is none of the twenty (MSE counts as methionine).
        """
        if self._relative is None:
            self._relative = self._compute()
        rows = self._chains[index].row_of_place()
        return np.where(rows >= 0, self._relative[rows], np.nan)

    def _compute(self) -> np.ndarray:
        """Exposure of all residues of the model, float64 [R]."""
        atoms = self._atoms
        chosen = np.flatnonzero(_one_location(atoms) & self._taken[atoms.residue])
        n = len(atoms.residue_name)
        sizes = np.bincount(atoms.residue[chosen], minlength=n)
        areas = np.bincount(
            atoms.residue[chosen],
            _areas_of(atoms.position[chosen], atoms.element[chosen]),
            minlength=n,
        )
        letters = [_LETTER_OF.get(name, "") for name in atoms.residue_name.tolist()]
        largest = np.array([MAXIMUM_AREA.get(letter, np.nan) for letter in letters])
        complete = sizes >= np.array([HEAVY_ATOMS.get(letter, 0) for letter in letters])
        return np.where(complete & self._taken, areas / largest, np.nan)


_LETTER_OF = {
    name.encode(): gemmi.find_tabulated_residue(name).one_letter_code.upper()
    for name in gemmi.expand_one_letter_sequence("".join(MAXIMUM_AREA), gemmi.ResidueKind.AA)
} | {b"MSE": "M"}


def _one_location(atoms: ModelAtoms) -> np.ndarray:
    """Heavy atoms; of alternatives of one atom the first alone. Bool [A]."""
    heavy = atoms.heavy()
    seen: set[tuple[int, bytes]] = set()
    for atom in np.flatnonzero(heavy & (atoms.altloc != 0)).tolist():
        key = (int(atoms.residue[atom]), bytes(atoms.name[atom]))
        heavy[atom] = key not in seen
        seen.add(key)
    return heavy


def _areas_of(position: np.ndarray, element: np.ndarray) -> np.ndarray:
    """Accessible surface of atoms, float64 [A] in Angstrom^2, block by block."""
    areas = np.empty(len(position))
    if not len(position):
        return areas
    elements = {symbol: _element_of(symbol) for symbol in set(element.tolist())}
    largest = max(radius for _, radius in elements.values())
    reach = 2 * (10 * largest + _PROBE)
    for begin in range(0, len(position), _BLOCK):
        block = position[begin : begin + _BLOCK]
        low, high = block.min(axis=0) - reach, block.max(axis=0) + reach
        around = ((position >= low) & (position <= high)).all(axis=1)
        around[begin : begin + _BLOCK] = False
        places = np.concatenate([block, position[around]]) - block[0]
        symbols = np.concatenate([element[begin : begin + _BLOCK], element[around]])
        found = _shrake_rupley(places, [elements[s][0] for s in symbols.tolist()], len(block))
        areas[begin : begin + _BLOCK] = found
    return areas


def _shrake_rupley(position: np.ndarray, elements: list[Any], wanted: int) -> np.ndarray:
    """Surface of the first atoms among all, float64 [wanted] in Angstrom^2.

    NaN for atoms on top of one another, at which mdtraj would end the process.
    """
    import mdtraj

    nanometres = (position / 10).astype(np.float32)
    kept, crowded = _apart(nanometres)
    areas = np.full(wanted, np.nan)
    asked = kept[kept < wanted]
    if len(asked):
        topology = mdtraj.Topology()
        residue = topology.add_residue("ALA", topology.add_chain())
        for atom in kept.tolist():
            topology.add_atom("X", elements[atom], residue)
        trajectory = mdtraj.Trajectory(nanometres[kept][None], topology)
        found = mdtraj.shrake_rupley(
            trajectory, n_sphere_points=_POINTS, mode="atom", atom_indices=range(len(asked))
        )
        areas[asked] = found[0, : len(asked)].astype(np.float64) * _ANGSTROM2
    areas[crowded[:wanted]] = np.nan
    return areas


def _apart(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Atoms that are apart, one of each set at the same place among them, and those that are not.

    Returns
    -------
    kept : ndarray, int64 [K]
        In ascending order.
    crowded : ndarray, bool [A]
        Atoms with another one at their place, or nearly.
    """
    from scipy.spatial import KDTree

    _, first, inverse, counts = np.unique(
        position, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    crowded = counts[inverse.reshape(-1)] > 1
    kept = np.sort(first)
    places = position[kept].astype(np.float64)
    distance, _ = KDTree(places).query(places, k=2, distance_upper_bound=_TOO_NEAR)
    near = np.isfinite(distance[:, 1])
    crowded[kept[near]] = True
    return kept[~near], crowded


def _element_of(symbol: bytes) -> tuple[Any, float]:
    """mdtraj's element and its radius in nm; what it has no radius for counts as carbon."""
    from mdtraj.core import element  # a quarter of a second, and most analyses do without
    from mdtraj.geometry.sasa import _ATOMIC_RADII as RADII

    name = symbol.decode("latin-1").capitalize()
    found = element.get_by_symbol(name) if name in RADII else element.carbon
    return found, RADII[found.symbol]
