"""Binding sites: residues near a bound molecule, and the SITE records of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence

import gemmi
import numpy as np

from provis_fast.errors import InputError
from provis_fast.proteins.atoms import ModelAtoms
from provis_fast.proteins.neighbors import squared_distances
from provis_fast.proteins.polymer import Chain, Places
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


#: The largest assemblies measure 2,000 Angstrom; anything beyond this is an error of the file.
_LARGEST_EXTENT = 1e5


class BindingSites:
    """Residues in contact with a ligand of the model, computed when first asked for.

    A ligand is a non-polymer that is neither water nor a buffer molecule; sugars count, single or
    branched, free or bound to the protein. A residue is in contact if one of its heavy atoms is
    within 5 Angstrom of a heavy atom of a ligand. Symmetry mates are not built.

    Parameters
    ----------
    atoms : ModelAtoms
        The model.
    chains : sequence of Places
        Its amino-acid chains.

    Raises
    ------
    InputError
        If there is a ligand, and the coordinates are no numbers or absurdly far apart.
    """

    def __init__(self, atoms: ModelAtoms, chains: Sequence[Places]):
        self._atoms, self._chains = atoms, chains
        names = set(atoms.residue_name[~atoms.polymer].tolist())
        ligands = np.array(sorted(name for name in names if _is_ligand(name)), dtype="S8")
        self._is_ligand = ~atoms.polymer & np.isin(atoms.residue_name, ligands)
        self._in_contact: np.ndarray | None = None
        if self._is_ligand.any():
            _check_coordinates(atoms.position)

    def labels(self, index: int) -> np.ndarray:
        """Labels of one chain.

        Returns
        -------
        ndarray, int16 [L]
            1 in contact, 0 not, -1 unresolved. A chain that no ligand touches is -1 throughout:
            its ligand may merely be absent from the crystal.
        """
        if self._in_contact is None:
            self._in_contact = self._find()
        chain = self._chains[index]
        labels = np.full(len(chain.resolved), UNKNOWN, np.int16)
        places = chain.places[self._in_contact[chain.rows]]
        if len(places):
            labels[chain.resolved] = 0
            labels[places] = 1
        return labels

    def _find(self) -> np.ndarray:
        """Residues of the model in contact with a ligand, bool [R]."""
        atoms, heavy = self._atoms, self._atoms.heavy()
        ligand = np.flatnonzero(heavy & self._is_ligand[atoms.residue])
        polymer = np.flatnonzero(heavy & atoms.polymer[atoms.residue])
        _, near, distance2 = squared_distances(
            atoms.position[ligand], atoms.position[polymer], CONTACT_DISTANCE
        )
        found = np.zeros(len(atoms.residue_name), dtype=bool)
        near = near[np.sqrt(distance2) <= CONTACT_DISTANCE]
        found[atoms.residue[polymer[near]]] = True
        return found


def _is_ligand(name: bytes) -> bool:
    residue = gemmi.Residue()
    residue.name = name.decode("utf-8", "replace")
    return not residue.is_water() and residue.name not in BUFFER_MOLECULES


def _check_coordinates(position: np.ndarray) -> None:
    if not np.isfinite(position).all():
        raise InputError("the structure is not consistent: a coordinate is not a number")
    if np.abs(position).max() < _LARGEST_EXTENT / 2:
        return
    extent = np.ptp(position, axis=0).max()
    if extent > _LARGEST_EXTENT:
        raise InputError(f"atoms are {extent:.0f} Angstrom apart: the coordinates are wrong")


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
