"""Sums over clusters of proteins, from the tables of single proteins of a result.

The sums that a result stores are over proteins, and products of clusters' sums cannot be had from
them. So y, n and n b of every cluster are added up from the tables, in integers and exactly, and
the rest is as with proteins. The tables are read some proteins at a time and one property at a
time; a cluster's sums are kept from its first protein to its last. Where clusters that are open at
the same time would take too much memory, the tables are read several times, for some classes or
layers each.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError, NumericalError
from provis_fast.fixed128 import Int128, sum_int64, sum_products
from provis_fast.inference.assignment import Clusters, assign
from provis_fast.inference.unit_sums import UnitSums
from provis_fast.totals import EXPECTED_BITS, VALUE_BITS

if TYPE_CHECKING:
    from provis_fast.statistics import HeadStatistics

#: Bytes for the sums of clusters that are open at the same time.
MEMORY = 1 << 28


class ClusterSums:
    """Sums over clusters instead of proteins.

    Parameters
    ----------
    result : HeadStatistics
        One that holds arcs.
    per_protein : str or path
        Its folder, or that of its tables of single proteins; they must have "counts".
    clusters : mapping, path or None
        See `provis_fast.inference.assignment.assign`.
    memory : int
        Bytes that sums of open clusters may take; a layer of one class is the least.

    Attributes
    ----------
    notes : tuple of str
        On the clusters.

    Raises
    ------
    ArgumentError
        No folder, or no protein has a cluster.
    InputError
        A file of clusters cannot be used.
    ResultError
        There are no tables of single proteins, or those of another result.
    """

    def __init__(
        self,
        result: HeadStatistics,
        per_protein: str | PathLike[str] | None,
        clusters: Clusters = None,
        memory: int = MEMORY,
    ):
        if per_protein is None:
            raise ArgumentError(
                'per_protein: unit="cluster" needs the counts of every protein; expected the '
                "folder of a result that was analysed with --per-protein counts (in Python "
                'analyze(..., per_protein="counts", per_protein_folder=...)), got None'
            )
        from provis_fast.inference.protein_tables import ProteinTables

        self._result = result
        self._tables = ProteinTables(result, per_protein)
        self._unit, self.notes = assign(self._tables.ids, self._tables.clusters, clusters)
        self._members = np.bincount(self._unit)
        self._most_open = _most_open(self._unit)
        self._memory = memory
        self._found: dict[int, list[UnitSums]] = {}

    def of_property(self, index: int, theta: int) -> UnitSums:
        """Sums of one property at one threshold; those of all thresholds are found together.

        Parameters
        ----------
        index, theta : int
            Numbers of the property and of the threshold.

        Raises
        ------
        NumericalError
            Sums that do not fit.
        ResultError
            The tables cannot be read, or add up to other numbers than the result holds.
        """
        if index not in self._found:
            self._found[index] = self._read(index)
        return self._found[index][theta]

    def _read(self, index: int) -> list[UnitSums]:
        spec = self._result.properties[index]
        layers, classes = self._at_a_time()
        rows = []  # of pieces: by layers, then by classes
        for some_layers in _slices(len(self._result.layers), layers):
            pieces = _slices(len(spec.classes), classes)
            rows.append([self._read_once(index, piece, some_layers) for piece in pieces])
        bits = VALUE_BITS if spec.is_value else 0
        found = []
        for theta in range(len(self._result.thresholds)):
            joined = {}
            for name in UnitSums._fields[1:]:
                # What is not by class is the same in every piece.
                width = 1 if name in _NOT_BY_CLASS else None
                joined[name] = np.concatenate(
                    [
                        np.concatenate(
                            [piece[name][theta].to_integers() for piece in row[:width]], axis=-1
                        )
                        for row in rows
                    ]
                )
            joined["units"] = joined["units"].astype(np.int64)
            found.append(UnitSums(bits=bits, **joined))
            self._check(found[-1], UnitSums.of_proteins(self._result, index, theta), spec.name)
        return found

    def _at_a_time(self) -> tuple[int, int]:
        """Layers and classes whose sums of open clusters fit the memory."""
        n_layers = len(self._result.layers)
        of_layer = 8 * len(self._result.thresholds) * self._result.n_heads * self._most_open
        numbers = self._memory // max(of_layer, 1)  # of one layer, or of several
        layers = min(max(numbers // 3, 1), n_layers)
        return layers, max((numbers // layers - 1) // 2, 1)

    def _read_once(self, index: int, classes: slice, layers: slice) -> dict[str, Int128]:
        """Read the tables; sums over clusters, [thetas, layers, heads, classes or 1]."""
        result = self._result
        spec = result.properties[index]
        names = spec.classes[classes]
        bits = VALUE_BITS if spec.is_value else 0
        heads = (len(result.thresholds), layers.stop - layers.start, result.n_heads)
        gathered = _Gathered(heads, len(names))
        clusters = _OpenClusters(self._members, self._most_open, (*heads, 1 + 2 * len(names)))
        begin = 0
        for numbers, share in self._tables.in_turn(spec.name, names):
            chosen = numbers[:, :, layers]
            known = chosen[..., :1]
            # Rounded once per protein, as in the totals of a result.
            expected = np.rint(known * np.ldexp(share, EXPECTED_BITS)[:, None, None, None, :])
            whole = [known, np.ldexp(chosen[..., 1:], bits), expected]
            unit = self._unit[begin : begin + len(numbers)]
            begin += len(numbers)
            gathered.add(clusters.add(unit, np.concatenate(whole, axis=-1).astype(np.int64)))
        return gathered.totals

    def _check(self, clusters: UnitSums, proteins: UnitSums, property_name: str) -> None:
        """What does not depend on the units has to be what the result holds."""
        for name in ("n", "y", "nb"):
            if not np.array_equal(getattr(clusters, name), getattr(proteins, name)):
                raise self._tables.foreign(f"{property_name} adds up to other numbers")


_NOT_BY_CLASS = ("units", "n", "nn")


class _OpenClusters:
    """Adds proteins to their clusters, and gives these out when they are complete.

    Parameters
    ----------
    members : int64 [clusters]
        Proteins of each.
    most_open : int
        Clusters at most that are open between two proteins.
    shape : tuple of int
        Of the numbers of one protein.
    """

    def __init__(self, members: NDArray[np.int64], most_open: int, shape: tuple[int, ...]):
        self._left = members.copy()
        self._largest = int(members.max(initial=1))
        self._slot = np.full(len(members), -1, np.int64)
        self._free = list(range(most_open))
        self._sums = np.zeros((most_open, *shape), np.int64)

    def add(self, unit: NDArray[np.int64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add proteins.

        Parameters
        ----------
        unit : int64 [S]
        numbers : int64 [S, ...]

        Returns
        -------
        int64 [complete, ...]
            Sums of the clusters that have all their proteins now.
        """
        largest = max(int(numbers.max(initial=0)), -int(numbers.min(initial=0)))
        if largest * self._largest >= 1 << 62:
            raise NumericalError("sums of clusters might not fit 64 bits: the counts are too large")
        order = np.argsort(unit, kind="stable")
        ordered = unit[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1))
        clusters = ordered[starts]
        sums = np.add.reduceat(numbers[order], starts, axis=0)
        self._left[clusters] -= np.diff(starts, append=len(ordered))
        slots = self._slot[clusters]
        begun, complete = slots >= 0, self._left[clusters] == 0
        sums[begun] += self._sums[slots[begun]]
        self._slot[clusters[complete]] = -1
        self._free += slots[begun & complete].tolist()
        for at in np.flatnonzero(~begun & ~complete):
            slots[at] = self._slot[clusters[at]] = self._free.pop()
        self._sums[slots[~complete]] = sums[~complete]
        return sums[complete]


class _Gathered:
    """Sums over units; see `UnitSums`.

    Parameters
    ----------
    heads : tuple of int
        Thetas, layers, heads.
    n_classes : int
    """

    def __init__(self, heads: tuple[int, ...], n_classes: int):
        self._n_classes = n_classes
        self.totals = {
            name: Int128.zeros((*heads, 1 if name in _NOT_BY_CLASS else n_classes))
            for name in UnitSums._fields[1:]
        }

    def add(self, units: NDArray[np.int64]) -> None:
        """Add units, int64 [U, thetas, layers, heads, 1 + 2 * classes]: n, then y, then n b."""
        n, y = units[..., :1], units[..., 1 : 1 + self._n_classes]
        expected = units[..., 1 + self._n_classes :]
        n_of_class = np.broadcast_to(n, y.shape)
        parts = {
            "units": Int128.from_int64(np.count_nonzero(n, axis=0)),
            "n": sum_int64(n),
            "nn": sum_products(n, n),
            "y": sum_int64(y),
            "nb": sum_int64(expected),
            "yy": sum_products(y, y),
            "ny": sum_products(n_of_class, y),
            "nbnb": sum_products(expected, expected),
            "ynb": sum_products(y, expected),
            "nnb": sum_products(n_of_class, expected),
        }
        for name, part in parts.items():
            self.totals[name] = self.totals[name] + part


def _most_open(unit: NDArray[np.int64]) -> int:
    """Clusters at most that have begun and not ended between two proteins."""
    if not len(unit):
        return 0
    _, first = np.unique(unit, return_index=True)
    _, from_end = np.unique(unit[::-1], return_index=True)
    last = len(unit) - 1 - from_end
    changes = np.bincount(first, minlength=len(unit)) - np.bincount(last, minlength=len(unit))
    return int(np.cumsum(changes).max())


def _slices(whole: int, step: int) -> Iterator[slice]:
    return (slice(begin, min(begin + step, whole)) for begin in range(0, whole, step))
