"""The structure as the page shows it: mmCIF of the first model, numbered as the payload is."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import gemmi

from provis_fast.proteins.polymer import main_conformer
from provis_fast.proteins.structure import Entry

#: A ligand of a chain that is not shown is kept where an atom of it is so near one that is: the
#: distance of binding sites, in Angstrom.
_LIGAND_REACH = 5.0
#: Categories that a viewer needs. Secondary structure is left to it: it assigns DSSP, as we do.
_GROUPS = (
    "block_name entry entity entity_poly entity_poly_seq struct_asym chem_comp conn atoms "
    "group_pdb auth_all"
).split()
#: Type of the residues of a polymer, as mmCIF's dictionary of components has it.
_LINKING = {
    gemmi.PolymerType.PeptideL: "L-peptide linking",
    gemmi.PolymerType.PeptideD: "D-peptide linking",
    gemmi.PolymerType.Dna: "DNA linking",
    gemmi.PolymerType.Rna: "RNA linking",
    gemmi.PolymerType.DnaRnaHybrid: "DNA linking",
}


def mmcif_text(entry: Entry, indices: Collection[int] | None) -> tuple[str, str]:
    """Write the chains to be shown, with their ligands; changes the entry's structure.

    ``label_seq_id`` is the position in the chain's sequence from 1, so that a viewer and the
    payload name residues alike, and of atoms in alternative places the most occupied is kept, as
    for the coordinates of the payload.

    Parameters
    ----------
    entry : Entry
    indices : collection of int or None
        Of the amino-acid chains shown; None for all, and whatever else there is: nucleic acids,
        glycans.

    Returns
    -------
    text : str
    note : str
        What was left out.
    """
    structure = entry.structure
    left_out = ["hydrogens", "waters"]
    if len(structure) > 1:
        left_out.insert(0, _models(len(structure)))
    while len(structure) > 1:
        del structure[-1]
    model = structure[0]
    _number(entry)
    _keep_main_conformers(model)
    structure.remove_hydrogens()
    structure.remove_waters()
    if indices is not None:
        _keep_chains(entry, indices)
        left_out.append("the other chains")
    structure.remove_empty_chains()
    _drop_loose_ends(structure)
    _drop_unused_entities(structure)
    structure.name = structure.info["_entry.id"] = re.sub(r"[^\w.-]", "_", entry.id, flags=re.ASCII)
    groups = gemmi.MmcifOutputGroups(False, **dict.fromkeys(_GROUPS, True))
    block = structure.make_mmcif_block(groups)
    _say_what_residues_are(block, structure)
    text = block.as_string()
    return text, f"first model, without {_listed(left_out)}"


def _number(entry: Entry) -> None:
    residues = [residue for chain in entry.structure[0] for residue in chain]
    polymers = {chain.subchain for chain in entry.chains}
    for residue in residues:
        if residue.subchain in polymers:  # some may have no place in the sequence
            residue.label_seq = None
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


def _drop_unused_entities(structure: gemmi.Structure) -> None:
    """Leave out sequences of which no chain is shown."""
    present = {part.subchain_id() for chain in structure[0] for part in chain.subchains()}
    for index in reversed(range(len(structure.entities))):
        if not present.intersection(structure.entities[index].subchains):
            del structure.entities[index]


def _say_what_residues_are(block: gemmi.cif.Block, structure: gemmi.Structure) -> None:
    """Fill in ``_chem_comp.type``, by which viewers tell a modified residue from a ligand."""
    types: dict[str, str] = {}
    for chain in structure[0]:
        for part in chain.subchains():
            entity = structure.get_entity_of(part)
            of_part = _LINKING.get(entity.polymer_type) if entity is not None else None
            for residue in part:
                types[residue.name] = of_part or _type_of_ligand(residue.name)
    table = block.find("_chem_comp.", ["id", "type"])
    for row in table:
        row[1] = gemmi.cif.quote(types.get(row.str(0), "other"))


def _type_of_ligand(name: str) -> str:
    kind = gemmi.find_tabulated_residue(name).kind
    sugar = kind in (gemmi.ResidueKind.PYR, gemmi.ResidueKind.KET)
    return "saccharide" if sugar else "non-polymer"


def _models(n: int) -> str:
    return "model 2" if n == 2 else f"models 2 to {n}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
