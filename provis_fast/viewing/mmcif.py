"""The structure as the page shows it: mmCIF of the first model, numbered as the payload is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import gemmi

from provis_fast.proteins.polymer import main_conformer
from provis_fast.proteins.structure import Entry

#: A ligand of a chain that is not shown is kept where an atom of it is so near one that is: the
#: distance of binding sites, in Angstrom.
_LIGAND_REACH = 5.0
#: Categories that a viewer needs. Secondary structure is left to it: it assigns DSSP, as we do.
_GROUPS = (
    "block_name entry entity entity_poly entity_poly_seq struct_asym chem_comp conn atoms group_pdb "
    "auth_all"
).split()


def mmcif_text(entry: Entry, indices: Collection[int]) -> tuple[str, str]:
    """Write the chains to be shown, with their ligands; changes the entry's structure.

    ``label_seq_id`` is the position in the chain's sequence from 1, so that a viewer and the
    payload name residues alike, and of atoms in alternative places the most occupied is kept, as
    for the coordinates of the payload.

    Parameters
    ----------
    entry : Entry
    indices : collection of int
        Of the amino-acid chains shown.

    Returns
    -------
    text : str
    note : str
        What was left out.
    """
    structure = entry.structure
    left_out = ["hydrogens", "waters"]
    if len(structure) > 1:
        left_out.insert(0, f"models 2 to {len(structure)}")
    while len(structure) > 1:
        del structure[-1]
    model = structure[0]
    _number(entry)
    _keep_main_conformers(model)
    structure.remove_hydrogens()
    structure.remove_waters()
    if len(indices) < len(entry.chains):
        _keep_chains(entry, indices)
        left_out.append("other chains")
    structure.remove_empty_chains()
    _drop_loose_ends(structure)
    groups = gemmi.MmcifOutputGroups(False, **dict.fromkeys(_GROUPS, True))
    text = structure.make_mmcif_block(groups).as_string()
    return text, f"first model, without {_listed(left_out)}"


def _number(entry: Entry) -> None:
    residues = [residue for chain in entry.structure[0] for residue in chain]
    for chain in entry.chains:
        for row, place in zip(chain.rows, chain.places, strict=True):
            residues[row].label_seq = place + 1


def _keep_main_conformers(model: gemmi.Model) -> None:
    for chain in model:
        for residue in chain:
            if not any(atom.has_altloc() for atom in residue):
                continue
            main = main_conformer(residue)
            for index in reversed(range(len(residue))):
                atom = residue[index]
                if atom.has_altloc() and atom.altloc != main:
                    del residue[index]
                else:
                    atom.altloc = "\0"


def _keep_chains(entry: Entry, indices: Collection[int]) -> None:
    """Leave out the other chains; of their ligands those that touch a chain shown are kept."""
    structure = entry.structure
    model = structure[0]
    shown = {entry.chains[index].subchain for index in indices}
    names = {entry.chains[index].name for index in indices}
    search = gemmi.NeighborSearch(model, gemmi.UnitCell(), _LIGAND_REACH).populate()
    touched: set[str] = set()
    for chain in model:
        for residue in chain:
            if residue.subchain not in shown:
                continue
            for atom in residue:
                for mark in search.find_atoms(atom.pos, "\0", radius=_LIGAND_REACH):
                    touched.add(mark.to_cra(model).residue.subchain)
    ligands = {
        residue.subchain
        for chain in model
        for residue in chain
        if residue.entity_type != gemmi.EntityType.Polymer
        and (chain.name in names or residue.subchain in touched)
    }
    for chain in model:
        for index in reversed(range(len(chain))):
            if chain[index].subchain not in shown | ligands:
                del chain[index]


def _drop_loose_ends(structure: gemmi.Structure) -> None:
    """Leave out bonds whose atoms are not shown."""
    model = structure[0]
    connections = structure.connections
    for index in reversed(range(len(connections))):
        ends = (connections[index].partner1, connections[index].partner2)
        if any(model.find_cra(end).atom is None for end in ends):
            del connections[index]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
