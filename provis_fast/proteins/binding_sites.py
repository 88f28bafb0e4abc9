"""Binding sites: residues near a bound molecule, and the SITE records of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence

import gemmi
import numpy as np

from provis_fast.proteins.neighbors import neighbor_search
from provis_fast.proteins.polymer import Chain
from provis_fast.proteins.record import UNKNOWN

#: A heavy atom of the protein within this distance of one of the ligand is in contact (Angstrom).
CONTACT_DISTANCE = 5.0

_SALT_IONS = "NA K LI RB CS NH4 CL BR IOD F NO3 SO4 SO3 PO4 PI 2HP SCN AZI CO3 BCT BO4"
_BUFFERS = "TRS BTB B3P EPE MES MPO PIN NHE CXS CAC BCN IMD TAM BIC TEA TLA TAR CIT FLC MLA MLI"
_ACIDS = "ACT ACY FMT OXL SIN MLT LAC BEZ GLV"
_CRYOPROTECTANTS = "GOL EDO PGO PGR MPD MRD BU1 BU2 BU3 HEZ PDO BUD"
_PRECIPITANTS = (
    "PEG PGE PG0 PG4 PG5 PG6 1PE 2PE P6G P33 P3G P4G PE3 PE4 PE5 PE7 PE8 12P 15P XPE 7PE JEF"
)
_SOLVENTS = "DMS DMF EOH MOH IPA IOH POL TBU ACN DIO MOE ETX CCN URE GAI NH3 NME ETF TFA"
_REDUCTANTS = "BME DTT DTV DTU TCE MRY"
_DETERGENTS = "BOG HTG LMT LMU DMU LDA SDS UMQ CXE C8E LMN OLC OLB OLA CHT HP6 D10 D12 C14 HEX OCT"
_UNIDENTIFIED = "UNX UNL"

#: Molecules that come from the buffer, the cryoprotectant or the precipitant rather than from
#: biology, by their three-letter codes. Metal ions with a biological role (ZN, MG, CA, MN, FE, CU,
#: CO, NI ...) are not among them.
BUFFER_MOLECULES = frozenset(
    " ".join(
        (
            _SALT_IONS,
            _BUFFERS,
            _ACIDS,
            _CRYOPROTECTANTS,
            _PRECIPITANTS,
            _SOLVENTS,
            _REDUCTANTS,
            _DETERGENTS,
            _UNIDENTIFIED,
        )
    ).split()
)


def is_ligand(residue: gemmi.Residue) -> bool:
    """Tell whether a residue is a non-polymer that is neither water nor a buffer molecule.

    Sugars count, single or branched, free or bound to the protein.
    """
    return (
        residue.entity_type != gemmi.EntityType.Polymer
        and not residue.is_water()
        and residue.name not in BUFFER_MOLECULES
    )


def binding_site_labels(structure: gemmi.Structure, chains: Sequence[Chain]) -> list[np.ndarray]:
    """Label the residues in contact with a ligand of the first model.

    A residue is in contact if one of its heavy atoms is within 5 Angstrom of a heavy atom of a
    ligand (see `is_ligand`). Symmetry mates are not built.

    Parameters
    ----------
    structure : gemmi.Structure
        The entry.
    chains : sequence of Chain
        Its amino-acid chains.

    Returns
    -------
    list of ndarray, int16 [L]
        1 in contact, 0 not, -1 unresolved. A chain that no ligand touches is -1 throughout: its
        ligand may merely be absent from the crystal.
    """
    model = structure[0]
    labels = [np.full(len(chain.sequence), UNKNOWN, np.int16) for chain in chains]
    ligand_atoms = [
        atom
        for gemmi_chain in model
        for residue in gemmi_chain
        if is_ligand(residue)
        for atom in residue
        if not atom.is_hydrogen()
    ]
    if not ligand_atoms:
        return labels
    radius = CONTACT_DISTANCE + 0.01  # the last word is left to the distance in doubles
    search = neighbor_search(structure, radius)
    near: set[tuple[int, int]] = set()
    for atom in ligand_atoms:
        for mark in search.find_atoms(atom.pos, "\0", radius=radius):
            key = (mark.chain_idx, mark.residue_idx)
            if key not in near and mark.to_cra(model).atom.pos.dist(atom.pos) <= CONTACT_DISTANCE:
                near.add(key)
    for chain, array in zip(chains, labels, strict=True):
        places = [place for i, place in chain.place_of.items() if (chain.index, i) in near]
        if places:
            array[chain.resolved] = 0
            array[places] = 1
    return labels


def site_record_labels(
    raw: bytes, block: gemmi.cif.Block | None, chains: Sequence[Chain]
) -> list[np.ndarray] | None:
    """Label the residues that SITE records (PDB) or _struct_site_gen (mmCIF) name.

    Parameters
    ----------
    raw : bytes
        The file, uncompressed.
    block : gemmi.cif.Block or None
        Its mmCIF block; None for the PDB format.
    chains : sequence of Chain
        Its amino-acid chains.

    Returns
    -------
    list of ndarray, int16 [L], or None
        1 named, 0 not, -1 unresolved. None if the file has no such record.
    """
    members = _sites_of_pdb(raw) if block is None else _sites_of_mmcif(block)
    if not members:
        return None
    labels = []
    for chain in chains:
        array = np.where(chain.resolved, 0, UNKNOWN).astype(np.int16)
        places = [chain.position_of.get(number) for name, number in members if name == chain.name]
        array[[place for place in places if place is not None]] = 1
        labels.append(array)
    return labels


def _sites_of_pdb(raw: bytes) -> list[tuple[str, str]]:
    members: list[tuple[str, str]] = []
    if b"SITE  " not in raw:  # a search by lines takes ten times as long
        return members
    for line in re.findall(rb"^SITE  .*", raw, re.MULTILINE):
        text = line.decode("latin-1").rstrip()
        # Up to four residues per line: name (3), chain (1), number (4), insertion code (1).
        for start in range(18, min(len(text), 62), 11):
            item = text[start : start + 10]
            if item[5:9].strip():
                members.append((item[4:5].strip(), item[5:10].replace(" ", "")))
    return members


def _sites_of_mmcif(block: gemmi.cif.Block) -> list[tuple[str, str]]:
    table = block.find("_struct_site_gen.", ["auth_asym_id", "auth_seq_id", "?pdbx_auth_ins_code"])
    members = []
    for row in table:
        insertion = row.str(2) if row.has(2) else ""
        members.append((row.str(0), row.str(1) + insertion))
    return members
