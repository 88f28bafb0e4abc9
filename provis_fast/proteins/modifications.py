"""Modified residues: changed side chains and glycans bound to the protein."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np

from provis_fast.proteins.atoms import ModelAtoms
from provis_fast.proteins.neighbors import squared_distances
from provis_fast.proteins.polymer import Places, declared_parents, one_letter
from provis_fast.proteins.record import UNKNOWN

#: Selenomethionine is put in for phasing; it says nothing about the protein.
NOT_A_MODIFICATION = frozenset({"MSE"})

#: Atoms of two residues within this distance are bonded (Angstrom): C-O and C-N are 1.43 to 1.47.
_MAX_GLYCOSIDIC_BOND = 1.8
_SUGAR_KINDS = (gemmi.ResidueKind.PYR, gemmi.ResidueKind.KET)
#: Sugars of glycoproteins that gemmi does not tabulate as such.
_OTHER_SUGARS = frozenset("FUL FUC FCA FCB XYS XYP RAM ARA GLA GAL BGC SIA SLB NDG A2G NGA".split())


class Modifications:
    """Modified residues of the model, computed when first asked for.

    A residue is modified if it is not one of the standard amino acids (selenocysteine and
    pyrrolysine are standard) but has a parent among them, by the file's own record or by gemmi's
    table; or if the file records it as modified (MODRES of a glycosylation site); or if a glycan
    is bound to it, by a LINK or _struct_conn record or by distance. Selenomethionine is excluded.

    Parameters
    ----------
    structure : gemmi.Structure
        The entry.
    block : gemmi.cif.Block or None
        Its mmCIF block, which says what is a saccharide.
    atoms : ModelAtoms
        The first model.
    chains : sequence of Places
        Its amino-acid chains.
    """

    def __init__(
        self,
        structure: gemmi.Structure,
        block: gemmi.cif.Block | None,
        atoms: ModelAtoms,
        chains: Sequence[Places],
    ):
        self._atoms, self._chains = atoms, chains
        self._parents = declared_parents(structure)
        names = set(atoms.residue_name[~atoms.polymer].tolist())
        saccharides = _saccharides(block)
        sugars = [name for name in names if _is_sugar(name.decode("utf-8", "replace"), saccharides)]
        self._is_sugar = ~atoms.polymer & np.isin(
            atoms.residue_name, np.array(sorted(sugars), dtype="S8")
        )
        self._marked = {
            (m.chain_name, str(m.res_id.seqid)): m.res_id.name for m in structure.mod_residues
        }
        if sugars:
            for site in _linked_to_sugars(structure, saccharides):
                self._marked.setdefault(site, "")
        self._by_distance: set[tuple[str, str]] | None = None

    def labels(self, index: int) -> np.ndarray:
        """Labels of one chain, int16 [L]: 1 modified, 0 not, -1 unresolved."""
        if self._by_distance is None:
            self._by_distance = self._near_sugars()
        chain = self._chains[index]
        labels = np.where(chain.resolved, 0, UNKNOWN).astype(np.int16)
        names = self._atoms.residue_name[chain.row_of_place()[chain.resolved]]
        modified = [
            n for n in set(names.tolist()) if self._is_modified(n.decode("utf-8", "replace"))
        ]
        labels[np.flatnonzero(chain.resolved)[np.isin(names, np.array(modified, dtype="S8"))]] = 1
        for (name, number), component in (
            dict.fromkeys(self._by_distance, "") | self._marked
        ).items():
            if name == chain.name and component not in NOT_A_MODIFICATION:
                place = chain.position_of.get(number)
                if place is not None:
                    labels[place] = 1
        return labels

    def _is_modified(self, component: str) -> bool:
        if component in NOT_A_MODIFICATION:
            return False
        known = gemmi.find_tabulated_residue(component)
        if known.found() and known.is_standard():
            return False
        return one_letter(component, self._parents) != "X"

    def _near_sugars(self) -> set[tuple[str, str]]:
        """Chain name and author number of polymer residues that a sugar's carbon is bonded to.

        Many files, those of modelling programs above all, have lost their LINK records.
        """
        atoms = self._atoms
        if not self._is_sugar.any():
            return set()
        heavy = atoms.heavy()
        carbon = np.flatnonzero(heavy & self._is_sugar[atoms.residue] & (atoms.element == b"C"))
        polymer = np.flatnonzero(heavy & atoms.polymer[atoms.residue])
        first, second, distance2 = squared_distances(
            atoms.position[carbon], atoms.position[polymer], _MAX_GLYCOSIDIC_BOND
        )
        one, other = carbon[first], polymer[second]
        # Of two alternative locations, only atoms of the same one can be bonded.
        together = (
            (atoms.altloc[one] == 0)
            | (atoms.altloc[other] == 0)
            | (atoms.altloc[one] == atoms.altloc[other])
        )
        bonded = together & (distance2 < _MAX_GLYCOSIDIC_BOND**2)
        rows = np.unique(atoms.residue[other[bonded]]).tolist()
        names = [atoms.chain_names[atoms.chain[row]] for row in rows]
        return set(zip(names, atoms.numbers_of(rows), strict=True))


def _saccharides(block: gemmi.cif.Block | None) -> frozenset[str]:
    if block is None:
        return frozenset()
    table = block.find("_chem_comp.", ["id", "type"])
    return frozenset(row.str(0) for row in table if "saccharide" in row.str(1).lower())


def _is_sugar(component: str, saccharides: frozenset[str]) -> bool:
    return (
        component in saccharides
        or component in _OTHER_SUGARS
        or gemmi.find_tabulated_residue(component).kind in _SUGAR_KINDS
    )


def _linked_to_sugars(
    structure: gemmi.Structure, saccharides: frozenset[str]
) -> set[tuple[str, str]]:
    """Chain name and author number of polymer residues linked to a sugar by the file's records."""
    model, polymer = structure[0], gemmi.EntityType.Polymer
    found = set()
    for connection in structure.connections:
        if connection.type not in (gemmi.ConnectionType.Covale, gemmi.ConnectionType.Unknown):
            continue
        ends = [model.find_cra(partner) for partner in (connection.partner1, connection.partner2)]
        for end, other in (ends, ends[::-1]):
            if end.residue is None or other.residue is None:
                continue
            is_sugar = other.residue.entity_type != polymer and _is_sugar(
                other.residue.name, saccharides
            )
            if is_sugar and end.residue.entity_type == polymer:
                found.add((end.chain.name, str(end.residue.seqid)))
    return found
