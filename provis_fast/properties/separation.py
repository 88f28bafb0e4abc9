"""How far apart along the chain query and key stand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from provis_fast.errors import ArgumentError
from provis_fast.properties.base import Background, Property

if TYPE_CHECKING:
    from provis_fast.proteins import Protein

DEFAULT_EDGES = (0, 1, 2, 3, 4, 5, 6, 12, 24)
#: Bins are bytes in the kernels, and their edges int32.
MAX_BINS = 255
MAX_EDGE = (1 << 31) - 1


class Separation(Property):
    """Bins of ``|i - j|``; every pair is eligible.

    Parameters
    ----------
    edges : sequence of int
        Least separation of each bin, ascending from 0; the last bin is open. The default makes the
        bins 0, 1, 2, 3, 4, 5, 6-11, 12-23 and >=24.
    name : str

    Raises
    ------
    ArgumentError
        Edges that do not ascend from 0, more than 255 of them, or one of 2**31 or more.
    """

    kind = "separation"
    from_sequence = True

    def __init__(self, edges: Sequence[int] = DEFAULT_EDGES, name: str = "separation"):
        try:
            self.edges = tuple(int(edge) for edge in edges)
            same = self.edges == tuple(edges)
        except (TypeError, ValueError):
            same = False
        if not same or not self.edges or self.edges[0] != 0 or not _ascending(self.edges):
            raise ArgumentError(
                f"edges: expected integers ascending from 0, such as {DEFAULT_EDGES}, got {edges!r}"
            )
        if len(self.edges) > MAX_BINS or self.edges[-1] > MAX_EDGE:
            raise ArgumentError(
                f"edges: expected at most {MAX_BINS} bins, the last from {MAX_EDGE:,} or less, got "
                f"{len(self.edges)} bins, the last from {self.edges[-1]:,}"
            )
        super().__init__(name, _bin_names(self.edges))

    def encode(self, protein: Protein) -> int:
        """The number of residues L, which is all that the kernel does not know by itself."""
        return len(protein)

    def background(self, encoded: int) -> Background:
        """Pairs in each bin, and all pairs."""
        # Pairs with |i - j| < e: the L x L square without its two corner triangles.
        beyond = np.maximum(encoded - np.array(self.edges, dtype=np.int64), 0)
        below = encoded**2 - beyond * (beyond + 1)
        below[0] = 0
        return Background(np.diff(below, append=encoded**2), encoded**2)

    def options(self) -> dict[str, Any]:
        """The bins."""
        return {"edges": list(self.edges)}


def _ascending(edges: tuple[int, ...]) -> bool:
    return all(a < b for a, b in pairwise(edges))


def _bin_names(edges: tuple[int, ...]) -> list[str]:
    names = [str(a) if b == a + 1 else f"{a}-{b - 1}" for a, b in pairwise(edges)]
    return [*names, f">={edges[-1]}"]
