"""Secondary structure: DSSP from coordinates, and the records of the file's authors.

DSSP (Kabsch and Sander 1983) is mdtraj's implementation. It is given the backbones of all chains of
the model, because strands pair across chains, and every stretch of chain between two breaks is a
chain of its own, because helices and bends do not reach over missing residues.
"""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np

from provis_fast.proteins.polymer import CA, C, Chain, N, O
from provis_fast.proteins.record import HELIX, OTHER, STRAND, TURN, UNKNOWN

#: DSSP's states to our four; "P" (polyproline helix) is known to newer versions only.
CLASS_OF_STATE = {
    "G": HELIX,
    "H": HELIX,
    "I": HELIX,
    "E": STRAND,
    "B": STRAND,
    "S": TURN,
    "T": TURN,
    " ": OTHER,
    "P": OTHER,
    "": OTHER,
}

#: C to N beyond this is a break of the chain, as in DSSP (Angstrom).
_MAX_BOND = 2.5
_BACKBONE_NAMES = ("N", "CA", "C", "O")


class SecondaryStructure:
    """DSSP of a model, computed for all its chains when the first is asked for.

    Parameters
    ----------
    backbones : sequence of ndarray, float32 [L, 5, 3]
        N, CA, C, O, CB of every chain in Angstrom, NaN where missing.
    prolines : sequence of ndarray, bool [L]
        True for prolines, which have no hydrogen to donate.
    """

    def __init__(self, backbones: Sequence[np.ndarray], prolines: Sequence[np.ndarray]):
        self._lengths = [len(backbone) for backbone in backbones]
        self._backbone = np.concatenate(backbones)[:, [N, CA, C, O]]
        self._proline = np.concatenate(prolines)
        self._labels: list[np.ndarray] | None = None

    def labels(self, index: int) -> np.ndarray:
        """Return the labels of one chain, int16 [L]; -1 without a complete backbone."""
        if self._labels is None:
            classes = dssp_classes(self._backbone, self._proline, self._lengths)
            self._labels = np.split(classes, np.cumsum(self._lengths)[:-1])
        return self._labels[index]


def dssp_classes(backbone: np.ndarray, proline: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Assign secondary structure.

    Parameters
    ----------
    backbone : ndarray, float32 [R, 4, 3]
        N, CA, C, O of the residues of all chains, one after the other, in Angstrom.
    proline : ndarray, bool [R]
        True for prolines.
    lengths : sequence of int
        Residues of each chain; they add up to R.

    Returns
    -------
    ndarray, int16 [R]
        0 helix, 1 strand, 2 turn, 3 other, -1 where an atom of the backbone is missing.
    """
    classes = np.full(len(backbone), UNKNOWN, np.int16)
    complete = np.flatnonzero(np.isfinite(backbone).all(axis=(1, 2)))
    if len(complete) == 0:
        return classes
    states = _dssp_states(
        backbone[complete], proline[complete], _starts(backbone, complete, lengths)
    )
    classes[complete] = [CLASS_OF_STATE[state] for state in states]
    return classes


def _starts(backbone: np.ndarray, complete: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """Return where a new stretch of chain begins, bool [number of complete residues]."""
    chain = np.repeat(np.arange(len(lengths)), lengths)[complete]
    bond = np.linalg.norm(backbone[complete[1:], 0] - backbone[complete[:-1], 2], axis=1)
    starts = np.ones(len(complete), bool)
    starts[1:] = (np.diff(complete) > 1) | (np.diff(chain) > 0) | (bond > _MAX_BOND)
    return starts


def _dssp_states(backbone: np.ndarray, proline: np.ndarray, starts: np.ndarray) -> list[str]:
    import mdtraj  # takes a quarter of a second, and most analyses do without

    topology = mdtraj.Topology()
    element = mdtraj.element
    elements = (element.nitrogen, element.carbon, element.carbon, element.oxygen)
    for is_proline, starts_here in zip(proline.tolist(), starts.tolist(), strict=True):
        if starts_here:
            chain = topology.add_chain()
        residue = topology.add_residue("PRO" if is_proline else "ALA", chain)
        for name, symbol in zip(_BACKBONE_NAMES, elements, strict=True):
            topology.add_atom(name, symbol, residue)
    nanometres = backbone.reshape(1, -1, 3) / np.float32(10)
    trajectory = mdtraj.Trajectory(nanometres, topology)
    return mdtraj.compute_dssp(trajectory, simplified=False)[0].tolist()


def author_secondary_structure(
    structure: gemmi.Structure, block: gemmi.cif.Block | None, chains: Sequence[Chain]
) -> list[np.ndarray] | None:
    """Read HELIX and SHEET records, or their mmCIF equivalents.

    Parameters
    ----------
    structure : gemmi.Structure
        The entry.
    block : gemmi.cif.Block or None
        Its mmCIF block; predicted models list strands in _struct_conf.
    chains : sequence of Chain
        Its chains.

    Returns
    -------
    list of ndarray, int16 [L], or None
        0 helix, 1 strand, 3 other, -1 unresolved. None if the file has no such record at all.
    """
    ranges = [
        (HELIX, helix.start.chain_name, helix.start.res_id.seqid, helix.end.res_id.seqid)
        for helix in structure.helices
    ]
    ranges += [
        (STRAND, strand.start.chain_name, strand.start.res_id.seqid, strand.end.res_id.seqid)
        for sheet in structure.sheets
        for strand in sheet.strands
    ]
    if block is not None:
        ranges += _strands_of_struct_conf(block)
    ranges = [r for r in ranges if r[2].num is not None and r[3].num is not None]
    if not ranges:
        return None
    labels = [np.full(len(chain.sequence), OTHER, np.int16) for chain in chains]
    for chain, array in zip(chains, labels, strict=True):
        for kind, name, first, last in ranges:
            if name == chain.name:
                begin, end = _place(chain, first, True), _place(chain, last, False)
                array[begin : end + 1] = kind
        array[~chain.resolved] = UNKNOWN
    return labels


def _strands_of_struct_conf(
    block: gemmi.cif.Block,
) -> list[tuple[int, str, gemmi.SeqId, gemmi.SeqId]]:
    table = block.find(
        "_struct_conf.",
        [
            "conf_type_id",
            "beg_auth_asym_id",
            "beg_auth_seq_id",
            "end_auth_seq_id",
            "?pdbx_beg_PDB_ins_code",
            "?pdbx_end_PDB_ins_code",
        ],
    )
    found = []
    for row in table:
        if row.str(0).upper().startswith("STRN"):
            codes = [row.str(i) if row.has(i) else "" for i in (4, 5)]
            first, last = (
                gemmi.SeqId(int(row.str(i)), code or " ")
                for i, code in zip((2, 3), codes, strict=True)
            )
            found.append((STRAND, row.str(1), first, last))
    return found


def _place(chain: Chain, seqid: gemmi.SeqId, is_first: bool) -> int:
    """Return the place of an end of a range; if that residue is missing, of the next one inside."""
    place = chain.position_of.get(str(seqid))
    if place is not None:
        return place
    inside = [
        p
        for p, residue in enumerate(chain.residues)
        if residue is not None
        and (residue.seqid.num >= seqid.num if is_first else residue.seqid.num <= seqid.num)
    ]
    if is_first:
        return inside[0] if inside else len(chain.residues)
    return inside[-1] if inside else -1
