"""Contact maps: which residues touch in space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast._kernels import _C
from provis_fast.errors import ArgumentError, InputError
from provis_fast.properties.base import PairProperty
from provis_fast.properties.listed_contacts import listed_rows
from provis_fast.properties.pairs import PackedPairs, PairLayout, PairRows, pack_rows

if TYPE_CHECKING:
    from provis_fast.proteins import Protein


class Contact(PairProperty):
    """Residues whose C-alpha (or C-beta) atoms are close in space.

    A pair is valid where both residues are resolved and stand at least `separation` apart along
    the chain; a valid pair is in contact where its distance is below (not at) `cutoff`. Squared
    distances are sums of squared differences of the float32 coordinates in float64: exact for
    coordinates on a binary grid, within one part in 10^15 for all others.

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
        """Rows of the contact map; nothing is valid in a protein without coordinates.

        In NumPy, for whoever wants to look at a map: an analysis uses `pack`, which decides alike.
        """
        if (listed := listed_rows(self, protein)) is not None:
            return listed
        n = len(protein)
        position = self._position(protein)
        resolved = np.isfinite(position).all(axis=1)
        axes = np.where(resolved[:, None], position, 0.0).astype(np.float64).T

        def rows(begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
            distance2 = np.zeros((end - begin, n))
            for axis in axes:
                difference = axis[begin:end, None] - axis
                distance2 += difference * difference
            valid = resolved[begin:end, None] & resolved
            _clear_near_diagonal(valid, begin, min(self.separation, n))
            return (distance2 < self.cutoff * self.cutoff) & valid, valid

        return rows

    def pack(self, protein: Protein, layout: PairLayout) -> PackedPairs:
        """Bitmaps for the kernels, and the background, by neighbour search in compiled code."""
        if type(self).rows is not Contact.rows:  # a subclass with contacts of its own
            return super().pack(protein, layout)
        if (listed := listed_rows(self, protein)) is not None:
            return pack_rows(listed, layout)
        position = np.ascontiguousarray(self._position(protein), dtype=np.float32)
        tokens = np.ascontiguousarray(layout.tokens, dtype=np.int64)
        if len(tokens) and not 0 <= tokens.min() <= tokens.max() < layout.n_tokens:
            raise ArgumentError(
                f"positions: expected tokens from 0 to {layout.n_tokens - 1}, got "
                f"{tokens.min()} to {tokens.max()}"
            )
        words = np.zeros(layout.shape, dtype=np.int32)
        n_set, n_valid = _C.contact_map(
            position.ctypes.data,
            layout.n_background,
            self.cutoff,
            min(self.separation, layout.n_background),
            tokens.ctypes.data,
            len(tokens),
            layout.n_tokens,
            layout.every_pair_known,
            words.ctypes.data,
        )
        return PackedPairs(words.reshape(-1), n_set, n_valid)

    def _position(self, protein: Protein) -> np.ndarray:
        """Coordinates of the chosen atom, floating [L, 3]; not finite where unresolved."""
        n = len(protein)
        position = protein.ca if self.atom == "CA" else protein.cb
        if position is None:
            return np.full((n, 3), np.nan, dtype=np.float32)
        position = np.asarray(position)
        if position.shape != (n, 3) or position.dtype.kind != "f":
            raise InputError(
                f"property {self.name!r}, protein {protein.id!r}: expected {self.atom} positions "
                f"of shape [{n}, 3], floating, got {list(position.shape)} of {position.dtype}"
            )
        return position

    def options(self) -> dict[str, Any]:
        """Atom, cut-off in Angstrom and least separation."""
        return {"atom": self.atom, "cutoff": self.cutoff, "separation": self.separation}


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
