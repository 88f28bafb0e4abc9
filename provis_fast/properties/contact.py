"""Contact maps: which residues touch in space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast.errors import ArgumentError, InputError
from provis_fast.properties.base import PairProperty, PairRows
from provis_fast.properties.listed_contacts import listed_rows

if TYPE_CHECKING:
    from provis_fast.proteins import Protein


class Contact(PairProperty):
    """Residues whose C-alpha (or C-beta) atoms are close in space.

    A pair is valid where both residues are resolved and stand at least `separation` apart along
    the chain; a valid pair is in contact where its distance is below (not at) `cutoff`.

    Parameters
    ----------
    atom : {"CA", "CB"}
        C-beta of glycine is its C-alpha.
    cutoff : float
        In Angstrom.
    separation : int
        Least ``|i - j|`` of a valid pair.
    name : str

    Raises
    ------
    ArgumentError
        Another atom, a cut-off that is not positive and finite, a negative separation.
    """

    def __init__(
        self,
        atom: str = "CA",
        cutoff: float = 8.0,
        separation: int = 6,
        name: str = "contact",
    ):
        if atom not in ("CA", "CB"):
            raise ArgumentError(f'atom: expected "CA" or "CB", got {atom!r}')
        if not isinstance(cutoff, (int, float)) or not 0 < cutoff < float("inf"):
            raise ArgumentError(f"cutoff: expected a positive distance in Angstrom, got {cutoff!r}")
        if not isinstance(separation, int) or separation < 0:
            raise ArgumentError(f"separation: expected an integer from 0 up, got {separation!r}")
        super().__init__(name)
        self.atom, self.cutoff, self.separation = atom, float(cutoff), separation

    def rows(self, protein: Protein) -> PairRows:
        """Rows of the contact map; nothing is valid in a protein without coordinates."""
        if (listed := listed_rows(self, protein)) is not None:
            return listed
        n = len(protein)
        position = protein.ca if self.atom == "CA" else protein.cb
        if position is None:
            nothing = np.zeros((1, n), dtype=bool)
            return lambda begin, end: (np.repeat(nothing, end - begin, axis=0),) * 2
        position = np.asarray(position)
        if position.shape != (n, 3) or position.dtype.kind != "f":
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}: expected {self.atom} positions "
                f"of shape [{n}, 3], floating, got {list(position.shape)} of {position.dtype}"
            )
        resolved = np.isfinite(position).all(axis=1)
        queries, keys = _distance_factors(position, resolved)
        cutoff2 = self.cutoff**2

        def rows(begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
            close = queries[begin:end] @ keys < cutoff2
            if resolved.all():
                valid = np.ones(close.shape, dtype=bool)
            else:
                valid = resolved[begin:end, None] & resolved
            _clear_near_diagonal(valid, begin, self.separation)
            close &= valid
            return close, valid

        return rows

    def options(self) -> dict[str, Any]:
        """Atom, cut-off in Angstrom and least separation."""
        return {"atom": self.atom, "cutoff": self.cutoff, "separation": self.separation}


def _distance_factors(position: np.ndarray, resolved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[L, 5] and [5, L] float64 whose product holds the squared distances.

    |x - y|^2 = |x|^2 - 2 x.y + |y|^2. Float64 keeps it to about 1e-11 Angstrom^2. The centre that
    is taken off is integer, so that coordinates on a binary grid give exact distances, also where
    one is the cut-off itself.
    """
    x = np.where(resolved[:, None], position, 0.0).astype(np.float64)
    if resolved.any():
        x -= np.rint(x[resolved].mean(axis=0))
    norm, one = np.einsum("ij,ij->i", x, x), np.ones(len(x))
    return np.column_stack([x, norm, one]), np.vstack([-2.0 * x.T, one, norm])


def _clear_near_diagonal(valid: np.ndarray, begin: int, separation: int) -> None:
    """Clear the pairs with |i - j| < separation in rows `begin` and following of a map [L, L]."""
    n_rows, n = valid.shape
    flat = valid.reshape(-1)
    for offset in range(1 - separation, separation):
        # Row r of the block has its pair at column begin + r + offset, where that exists.
        first, last = max(0, -begin - offset), min(n_rows, n - begin - offset)
        if first < last:
            start = first * n + begin + first + offset
            flat[start : (last - 1) * n + begin + last + offset : n + 1] = False
