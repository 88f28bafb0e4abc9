"""Small structures for views: a hairpin that touches itself, with ligands where asked for."""

from __future__ import annotations

import base64

import numpy as np
from structure_text import STEP, Atom, cif_text, residue

#: 24 residues: two strands beside each other.
HAIRPIN = (
    "MET LYS VAL LEU ALA GLY SER THR ASP GLU PHE TRP "
    "TYR HIS ARG ASN GLN ILE PRO CYS MET LYS VAL LEU"
)
SEQUENCE = "MKVLAGSTDEFWYHRNQIPCMKVL"
#: Angstrom between the strands.
GAP = 5.0


def hairpin(
    name: str = "A",
    *,
    numbers: list[tuple[int, str]] | None = None,
    left_out: tuple[int, ...] = (),
    label: bool = True,
    codes: str = HAIRPIN,
    shift: float = 0.0,
) -> list[Atom]:
    """Atoms of a chain that runs along x and comes back `GAP` Angstrom beside itself.

    Parameters
    ----------
    name : str
    numbers : list of (int, str), optional
        Author numbers and insertion codes, of every residue; default from 1.
    left_out : tuple of int
        Places from 0 without coordinates.
    label : bool
        Give the places as label_seq_id.
    codes : str
        Three-letter codes.
    shift : float
        Move the chain so far along z, in Angstrom.
    """
    names = codes.split()
    half = len(names) // 2
    atoms: list[Atom] = []
    for place, code in enumerate(names):
        if place in left_out:
            continue
        number, insertion = (place + 1, "") if numbers is None else numbers[place]
        along = place if place < half else len(names) - 1 - place
        atoms += residue(
            code,
            name,
            number,
            along,
            insertion=insertion,
            y=0.0 if place < half else GAP,
            label=place + 1 if label else None,
        )
    for atom in atoms:
        atom.xyz = (atom.xyz[0], atom.xyz[1], atom.xyz[2] + shift)
    return atoms


def ligand(name: str, at: int, number: int, code: str = "ATP", z: float = 3.0) -> Atom:
    """One atom of a ligand, `z` Angstrom above the C-alpha at a place of the first strand."""
    return Atom("P", code, name, number, (at * STEP, 0.0, z), label=None, het=True, element="P")


def hairpin_cif(**options) -> str:
    """mmCIF of a hairpin and its whole sequence."""
    return cif_text(hairpin(**options), options.get("codes", HAIRPIN))


def decoded(array: dict) -> np.ndarray:
    """An array of a payload."""
    raw = base64.b64decode(array["data"])
    dtype = np.dtype(array["dtype"]).newbyteorder("<")
    return np.frombuffer(raw, dtype).reshape(array["shape"])
