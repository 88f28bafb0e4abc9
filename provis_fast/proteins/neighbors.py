"""Search for neighbouring atoms within the coordinates of one model."""

from __future__ import annotations

import gemmi

from provis_fast.errors import InputError

#: Cells of the search grid along one axis; keeps its memory small however far atoms are apart.
_MAX_CELLS = 100
#: The largest assemblies measure 2,000 Angstrom; anything beyond this is an error of the file.
_LARGEST_EXTENT = 1e5


def neighbor_search(structure: gemmi.Structure, distance: float) -> gemmi.NeighborSearch:
    """Prepare a search for heavy atoms of the first model, without images by crystal symmetry.

    Parameters
    ----------
    structure : gemmi.Structure
        Atoms to search among.
    distance : float
        Largest radius that will be asked for, in Angstrom.

    Returns
    -------
    gemmi.NeighborSearch
        Ready to be asked.

    Raises
    ------
    InputError
        If coordinates are absurdly far apart.
    RuntimeError
        By gemmi, if a coordinate is not a number.
    """
    extent = max(structure.calculate_box().get_size().tolist())
    if extent > _LARGEST_EXTENT:
        raise InputError(f"atoms are {extent:.0f} Angstrom apart: the coordinates are wrong")
    cell = max(distance, extent / _MAX_CELLS)
    search = gemmi.NeighborSearch(structure[0], gemmi.UnitCell(), cell)  # no unit cell, no images
    search.populate(include_h=False)
    return search
