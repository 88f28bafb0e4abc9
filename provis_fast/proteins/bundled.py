"""Real structures that come with the package, for the demonstration and for tests."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from provis_fast.errors import ArgumentError
from provis_fast.proteins.source import ProteinSource, load_proteins

#: Sets of bundled structures: antibody, T-cell receptor and other immunoglobulin folds; many folds.
DEMO_SETS = ("immunoglobulin", "general")
#: One of each to look at, small and of one chain: a nanobody; a bromodomain with its ligand.
_SHOWN = {"immunoglobulin": "7CFN.cif.gz", "general": "4CUP.cif.gz"}


def demo_set(name: str) -> ProteinSource:
    """Return a set of bundled PDB entries (public domain, CC0; see data/README.md).

    Parameters
    ----------
    name : {"immunoglobulin", "general"}
        "immunoglobulin" suits antibody models, "general" all others.

    Returns
    -------
    ProteinSource
        The chains of the set.

    Raises
    ------
    ArgumentError
        If there is no such set.

    Examples
    --------
    >>> from provis_fast.proteins import demo_set
    >>> any(protein.id == "7CFN_N" for protein in demo_set("immunoglobulin"))
    True
    """
    return load_proteins(_folder(name))


def demo_structure(name: str) -> Path:
    """Return the file of one structure of a set, to be looked at with `provis_fast.view`.

    Parameters
    ----------
    name : {"immunoglobulin", "general"}

    Returns
    -------
    Path
        mmCIF of one chain: a nanobody (7CFN, chain N), or a bromodomain with its ligand (4CUP).

    Raises
    ------
    ArgumentError
        If there is no such set.
    """
    return _folder(name) / _SHOWN[name]


def _folder(name: str) -> Path:
    if name not in DEMO_SETS:
        raise ArgumentError(f"name must be one of {', '.join(DEMO_SETS)}, got {name!r}")
    return Path(str(resources.files("provis_fast") / "data" / name))
