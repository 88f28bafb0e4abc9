"""Modified residues: changed side chains and glycans bound to the protein."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np

from provis_fast.proteins.neighbors import neighbor_search
from provis_fast.proteins.polymer import Chain, declared_parents, one_letter
from provis_fast.proteins.record import UNKNOWN

#: Selenomethionine is put in for phasing; it says nothing about the protein.
NOT_A_MODIFICATION = frozenset({"MSE"})

#: Atoms of two residues within this distance are bonded (Angstrom): C-O and C-N are 1.43 to 1.47.
_MAX_GLYCOSIDIC_BOND = 1.8
_SUGAR_KINDS = (gemmi.ResidueKind.PYR, gemmi.ResidueKind.KET)
#: Sugars of glycoproteins that gemmi does not tabulate as such.
_OTHER_SUGARS = frozenset("FUL FUC FCA FCB XYS XYP RAM ARA GLA GAL BGC SIA SLB NDG A2G NGA".split())


def modification_labels(
    structure: gemmi.Structure, block: gemmi.cif.Block | None, chains: Sequence[Chain]
) -> list[np.ndarray]:
    """Label modified residues of the first model.

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
    chains : sequence of Chain
        Its amino-acid chains.

    Returns
    -------
    list of ndarray, int16 [L]
        1 modified, 0 not, -1 unresolved.
    """
    parents = declared_parents(structure)
    marked = {(m.chain_name, str(m.res_id.seqid)): m.res_id.name for m in structure.mod_residues}
    for name, number in _glycosylated(structure, _saccharides(block)):
        marked.setdefault((name, number), "")
    labels = []
    for chain in chains:
        array = np.where(chain.resolved, 0, UNKNOWN).astype(np.int16)
        for place, residue in enumerate(chain.residues):
            if residue is None or residue.name in NOT_A_MODIFICATION:
                continue
            if _is_modified_component(residue.name, parents):
                array[place] = 1
        for (name, number), component in marked.items():
            if name == chain.name and component not in NOT_A_MODIFICATION:
                place = chain.position_of.get(number)
                if place is not None:
                    array[place] = 1
        labels.append(array)
    return labels


def _is_modified_component(component: str, parents: dict[str, str]) -> bool:
    known = gemmi.find_tabulated_residue(component)
    if known.found() and known.is_standard():
        return False
    return one_letter(component, parents) != "X"


def _saccharides(block: gemmi.cif.Block | None) -> frozenset[str]:
    if block is None:
        return frozenset()
    table = block.find("_chem_comp.", ["id", "type"])
    return frozenset(row.str(0) for row in table if "saccharide" in row.str(1).lower())


def _glycosylated(structure: gemmi.Structure, saccharides: frozenset[str]) -> set[tuple[str, str]]:
    """Return chain name and author number of the polymer residues that carry a glycan."""
    model = structure[0]

    def is_sugar(residue: gemmi.Residue) -> bool:
        if residue.entity_type == gemmi.EntityType.Polymer:
            return False
        return (
            residue.name in saccharides
            or residue.name in _OTHER_SUGARS
            or gemmi.find_tabulated_residue(residue.name).kind in _SUGAR_KINDS
        )

    sugars = [residue for chain in model for residue in chain if is_sugar(residue)]
    if not sugars:
        return set()
    found = set()
    for connection in structure.connections:
        if connection.type not in (gemmi.ConnectionType.Covale, gemmi.ConnectionType.Unknown):
            continue
        ends = [model.find_cra(partner) for partner in (connection.partner1, connection.partner2)]
        for end, other in (ends, ends[::-1]):
            if end.residue is None or other.residue is None or not is_sugar(other.residue):
                continue
            if end.residue.entity_type == gemmi.EntityType.Polymer:
                found.add((end.chain.name, str(end.residue.seqid)))
    # Many files, those of modelling programs above all, have lost their LINK records.
    search = neighbor_search(structure, _MAX_GLYCOSIDIC_BOND)
    for residue in sugars:
        for atom in residue:
            if atom.element != gemmi.Element("C"):
                continue
            for mark in search.find_atoms(atom.pos, atom.altloc, radius=_MAX_GLYCOSIDIC_BOND):
                cra = mark.to_cra(model)
                if cra.residue.entity_type == gemmi.EntityType.Polymer:
                    found.add((cra.chain.name, str(cra.residue.seqid)))
    return found
