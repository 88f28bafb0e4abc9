"""Reads the one structure that is to be viewed, whatever its format."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins import inputs, structure
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.structure import Entry

_STRUCTURES = ("pdb", "mmcif", "binarycif")
#: Predicted structures are shown whole; what counts as uncertain is up to `chains`.
_WHOLE = Reading(min_plddt=0.0)


def read_entry(path: str | PathLike[str]) -> Entry:
    """Read the structure that a path names.

    Parameters
    ----------
    path : str or path
        PDB, mmCIF or BinaryCIF, also compressed (.gz, .zst).

    Returns
    -------
    Entry
        With at least one amino-acid chain.

    Raises
    ------
    ArgumentError
        Not a path.
    InputError
        No such file; no structure, or a damaged one; a structure without amino-acid chains.
    """
    if not isinstance(path, (str, PathLike)) or not str(path):
        raise ArgumentError(
            f"structure: expected the path of a PDB, mmCIF or BinaryCIF file, got {path!r:.80}"
        )
    found = Path(path)
    if found.is_dir():
        raise InputError("is a folder; a view shows one structure: give its file", found)
    if not found.exists():
        raise InputError("no such file", found)
    # Told by its name, or refused with the endings there are.
    (item,) = inputs.find(found, None, [])
    if item.format.name not in _STRUCTURES:
        raise InputError(
            f"expected a structure with coordinates (PDB, mmCIF or BinaryCIF), got a file of "
            f"format {item.format.name}, which has none to show",
            found,
        )
    if item.format.name == "binarycif":
        from provis_fast.proteins import binary_cif

        entry = binary_cif.read_entry(found, found.name, _WHOLE)
    else:
        entry = structure.read_entry(found, found.name, item.format.name, _WHOLE)
    if not entry.chains:
        raise InputError(
            "has no amino-acid chain in its first model (nucleic acids or ligands only?), so there "
            "is nothing that a protein language model could attend to",
            found,
        )
    return entry
