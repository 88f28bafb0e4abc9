"""Contacts as lists of pairs: made from coordinates once, and used where these are not at hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from provis_fast.errors import InputError
from provis_fast.properties.pairs import PairRows
from provis_fast.proteins.contact_pairs import ContactPairs

if TYPE_CHECKING:
    from provis_fast.properties.contact import Contact
    from provis_fast.proteins import Protein

#: Pairs of the map looked at in one go when contacts are listed.
_PAIRS_AT_A_TIME = 1 << 20


def listed_rows(contact: Contact, protein: Protein) -> PairRows | None:
    """Rows of a contact map from its list of pairs; None where coordinates are to be used.

    Raises
    ------
    InputError
        The list is by another definition of a contact, and there are no coordinates.
    """
    listed = protein.contacts
    if listed is None:
        return None
    if not listed.covers(contact.atom, contact.cutoff, contact.separation):
        if _position(contact, protein) is not None:
            return None
        raise InputError(
            f"property {contact.name!r}, protein {protein.id!r}: expected contacts of "
            f"{contact.atom} below {contact.cutoff:g} A, {contact.separation} or more apart, but "
            f"the protein was prepared with {listed.atom} below {listed.cutoff:g} A, "
            f"{listed.separation} or more apart, and without coordinates; ask for those, or "
            "prepare it anew with these (--contact-...) or with --coordinates"
        )
    separation = contact.separation
    resolved = listed.resolved
    columns = np.arange(len(resolved), dtype=np.int32)

    def rows(begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        apart = np.abs(columns[begin:end, None] - columns)
        valid = resolved[begin:end, None] & resolved & (apart >= separation)
        close = listed.rows(begin, end)
        close |= apart == 0  # no distance at all
        close &= valid
        return close, valid

    return rows


def contact_pairs(contact: Contact, protein: Protein) -> ContactPairs | None:
    """The contacts of a protein as a list; None where it has no coordinates of the atom.

    Raises
    ------
    InputError
        Coordinates of the wrong shape; or a list by another definition, and no coordinates.
    """
    position = _position(contact, protein)
    rows = contact.rows(protein)
    if position is None:
        listed = protein.contacts
        if listed is None:
            return None
        apart = listed.pairs[:, 1].astype(np.int64) - listed.pairs[:, 0] >= contact.separation
        return replace(listed, separation=contact.separation, pairs=listed.pairs[apart])
    n = len(protein)
    step = max(1, _PAIRS_AT_A_TIME // n)
    found = []
    for begin in range(0, n, step):
        is_set, _ = rows(begin, min(begin + step, n))
        query, key = np.nonzero(is_set)
        query += begin
        found.append(np.column_stack([query, key])[key > query])
    return ContactPairs(
        contact.atom,
        contact.cutoff,
        contact.separation,
        np.concatenate(found).astype(np.int32),
        np.isfinite(position).all(axis=1),
    )


def _position(contact: Contact, protein: Protein) -> np.ndarray | None:
    return protein.ca if contact.atom == "CA" else protein.cb
