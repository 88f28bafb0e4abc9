"""Contacts of a protein as a list of pairs, for proteins whose coordinates are not at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from provis_fast.errors import InputError


@dataclass(frozen=True, eq=False)
class ContactPairs:
    """Which residues of a protein are in contact, by one definition of a contact.

    Parameters
    ----------
    atom : {"CA", "CB"}
        The atom whose distances were taken.
    cutoff : float
        Pairs nearer than this are in contact, in Angstrom.
    separation : int
        Least ``|i - j|`` of the pairs listed.
    pairs : ndarray, integer [N, 2]
        Pairs i < j in contact, ascending. A residue's contact with itself is not listed.
    resolved : ndarray, bool [L]
        Residues whose atom has coordinates; pairs of two such are known.

    Examples
    --------
    >>> import numpy as np
    >>> pairs = ContactPairs("CA", 8.0, 1, np.array([[0, 2]]), np.array([True, False, True]))
    >>> pairs.covers("CA", 8.0, 6), pairs.covers("CA", 10.0, 6)
    (True, False)
    """

    atom: str
    cutoff: float
    separation: int
    pairs: np.ndarray
    resolved: np.ndarray

    def covers(self, atom: str, cutoff: float, separation: int) -> bool:
        """Whether contacts by that definition are among the pairs: only the separation may grow."""
        return (atom, cutoff) == (self.atom, self.cutoff) and separation >= self.separation

    def check(self, protein_id: str, n: int) -> None:
        """Raise InputError unless this fits a protein of n residues."""
        place = f"protein {protein_id!r}: contacts"
        if self.resolved.shape != (n,) or self.resolved.dtype != bool:
            raise InputError(
                f"{place}: expected resolved to be bool of shape [{n}], one entry per residue, got "
                f"{self.resolved.dtype} of shape {list(self.resolved.shape)}"
            )
        pairs = self.pairs
        if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
            raise InputError(
                f"{place}: expected pairs to be integers of shape [N, 2], got {pairs.dtype} of "
                f"shape {list(pairs.shape)}"
            )
        if not len(pairs):
            return
        first, second = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
        if first.min() < 0 or second.max() >= n or (second - first).min() < max(1, self.separation):
            raise InputError(
                f"{place}: expected pairs 0 <= i < j < {n} at least {self.separation} apart"
            )
        if (np.diff(first * n + second) <= 0).any():
            raise InputError(f"{place}: expected pairs in ascending order, each once")
        if not (self.resolved[first] & self.resolved[second]).all():
            raise InputError(f"{place}: expected pairs of resolved residues only")

    def rows(self, begin: int, end: int) -> np.ndarray:
        """Rows `begin` to `end` of the contact map, without its diagonal; bool [end - begin, L]."""
        found = np.zeros((end - begin, len(self.resolved)), dtype=bool)
        first, second = self.pairs[:, 0], self.pairs[:, 1]
        above = slice(*np.searchsorted(first, (begin, end)))
        found[first[above].astype(np.int64) - begin, second[above]] = True
        below = (second >= begin) & (second < end)
        found[second[below].astype(np.int64) - begin, first[below]] = True
        return found
