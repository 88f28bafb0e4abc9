"""Exact totals of a run: what the kernels count, summed over proteins in 128-bit integers.

`Channels` says where each property's numbers stand in the kernels' accumulators. `Totals` adds
batches of per-protein accumulators, and other totals. Adding is exact, whatever the order.

Units, as the kernels have them (see `provis_fast.ops`): arcs are whole numbers, attention is in
2**-32, sums of key values over arcs in 2**-16 (weighted by attention: 2**-32).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from provis_fast.errors import ArgumentError, NumericalError, ResultError
from provis_fast.fixed128 import Int128, sum_int64, sum_products

#: How pairs count: as arcs, by their attention, or both.
WEIGHTINGS = ("arcs", "attention", "both")
ATTENTION_BITS = 32
VALUE_BITS = 16
EXPECTED_BITS = 20
"""Fraction bits of n b, the eligible arcs of a protein times its background share."""


class Channels:
    """Where each property stands in an accumulator's last axis.

    Channel 0 counts arcs (or sums attention). Then come, property by property, one channel of
    eligible arcs and one per class. "Class columns" number the classes of all properties in a row.

    Parameters
    ----------
    n_classes : sequence of int
        Classes of each property.
    is_value : sequence of bool
        Whether a property holds key values: its one class channel is a sum of values.

    Attributes
    ----------
    count : int
        Channels altogether.
    eligible : int64 [P]
        Channel of the eligible arcs of each property.
    classes : int64 [C]
        Channel of each class column.
    owner : int64 [C]
        Property of each class column.
    is_value : bool [P]
    """

    def __init__(self, n_classes: Sequence[int], is_value: Sequence[bool]):
        sizes = np.asarray(n_classes, dtype=np.int64)
        starts = 1 + np.concatenate([[0], np.cumsum(sizes + 1)]).astype(np.int64)
        self.count = int(starts[-1])
        self.eligible = starts[:-1]
        self.owner = np.repeat(np.arange(len(sizes)), sizes)
        self.classes = np.arange(len(self.owner)) + 2 + self.owner
        self.is_value = np.asarray(is_value, dtype=bool)
        self._first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def columns(self, index: int) -> slice:
        """Class columns of property number `index`."""
        return slice(int(self._first[index]), int(self._first[index + 1]))


class Totals:
    """Sums over proteins, as `Int128` arrays by name; `None` where not asked for.

    ================== ============================== =============================================
    name               shape                          what
    ================== ============================== =============================================
    arc_counts         [thetas, layers, heads, K]     arcs, eligible arcs, counts (K channels)
    mass               [layers, heads, K]             the same, weighted by attention
    entropy            [layers, heads]                entropy of the rows, 2**-32 nat
    background_num     [C]                            residues (pairs, summed values) in each class
    background_den     [P]                            residues (pairs) known
    moments.yy         [thetas, layers, heads, C]     sum of y**2, y = count of one protein
    moments.ny         same                           sum of n y, n = its eligible arcs
    moments.nb         same                           sum of n b, b = its background share; 2**-20
    moments.nbnb       same                           sum of (n b)**2; 2**-40
    moments.ynb        same                           sum of y n b; 2**-20
    moments.nn         [thetas, layers, heads, P]     sum of n**2
    moments.proteins   same                           proteins with n > 0
    ================== ============================== =============================================

    For key values y and b are sums and means of values: y and n y are in 2**-16, y**2 in 2**-32 and
    y n b in 2**-36. `n b` is rounded once per protein; all products of it are exact.
    """

    def __init__(self, channels: Channels, arrays: dict[str, Int128]):
        self.channels = channels
        self._arrays = arrays

    @staticmethod
    def shapes(
        channels: Channels, n_thresholds: int, n_layers: int, n_heads: int, weighting: str
    ) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the totals that a weighting keeps; entropy apart."""
        heads = (n_layers, n_heads)
        n_properties, n_columns = len(channels.eligible), len(channels.owner)
        shapes: dict[str, tuple[int, ...]] = {
            "background_num": (n_columns,),
            "background_den": (n_properties,),
        }
        if weighting != "attention":
            shapes["arc_counts"] = (n_thresholds, *heads, channels.count)
            for name in ("yy", "ny", "nb", "nbnb", "ynb"):
                shapes[f"moments.{name}"] = (n_thresholds, *heads, n_columns)
            for name in ("nn", "proteins"):
                shapes[f"moments.{name}"] = (n_thresholds, *heads, n_properties)
        if weighting != "arcs":
            shapes["mass"] = (*heads, channels.count)
        return shapes

    @classmethod
    def zeros(cls, channels: Channels, shapes: dict[str, tuple[int, ...]]) -> Totals:
        """Totals of no protein."""
        return cls(channels, {name: Int128.zeros(shape) for name, shape in shapes.items()})

    def __getitem__(self, name: str) -> Int128 | None:
        return self._arrays.get(name)

    def items(self) -> Iterator[tuple[str, Int128]]:
        """Names and arrays, in the order of the names."""
        return iter(sorted(self._arrays.items()))

    def copy(self) -> Totals:
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        return Totals(self.channels, arrays)

    def equals(self, other: Totals) -> bool:
        """Whether both hold the same totals, to the last bit."""
        mine, theirs = self._arrays, other._arrays
        return mine.keys() == theirs.keys() and all(mine[k].equals(theirs[k]) for k in mine)

    def fill(self, arrays: Mapping[str, Int128]) -> None:
        """Take over arrays that were saved; ValueError where names or shapes differ."""
        if arrays.keys() != self._arrays.keys():
            raise ValueError(f"expected {sorted(self._arrays)}, got {sorted(arrays)}")
        for name, array in arrays.items():
            if array.shape != self._arrays[name].shape:
                expected = list(self._arrays[name].shape)
                raise ValueError(f"{name}: expected shape {expected}, got {list(array.shape)}")
            self._arrays[name] = array

    def add_(self, other: Totals) -> None:
        """Add other totals of the same shapes; nothing has changed when this raises."""
        if self._arrays.keys() != other._arrays.keys():
            theirs = sorted(other._arrays)
            raise ResultError(f"results hold different totals: {sorted(self._arrays)}, {theirs}")
        self._add({name: other._arrays[name] for name in self._arrays})

    def _add(self, parts: dict[str, Int128]) -> None:
        sums = {name: self._arrays[name] + part for name, part in parts.items()}
        for name, total in sums.items():
            self._arrays[name] = total

    def add_batch(
        self,
        arc_counts: Any | None,  # int64 [S, thetas, layers, heads, K]
        mass: Any | None,  # int64 [S, layers, heads, K]
        entropy: Any | None,  # int64 [S, layers, heads]
        background_num: Any,  # int64 [S, C]
        background_den: Any,  # int64 [S, P]
    ) -> int:
        """Add S proteins; nothing has changed when this raises. See `HeadStatistics.add`.

        Returns
        -------
        int
            S.
        """
        denominators = np.asarray(background_den)
        batch = {
            "arc_counts": arc_counts,
            "mass": mass,
            "entropy": entropy,
            "background_num": background_num,
            "background_den": background_den,
        }
        n_proteins = len(denominators)
        arrays = {
            name: self._checked(name, array, n_proteins)
            for name, array in batch.items()
            if array is not None or name in self._arrays
        }
        parts = {name: sum_int64(array) for name, array in arrays.items()}
        if "arc_counts" in arrays:
            parts |= self._moments(
                arrays["arc_counts"], arrays["background_num"], arrays["background_den"]
            )
        self._add(parts)
        return n_proteins

    def _checked(self, name: str, array: ArrayLike | None, n_proteins: int) -> NDArray[np.int64]:
        if name not in self._arrays:
            raise ArgumentError(f"{name}: this result does not hold it; expected None")
        expected = (n_proteins, *self._arrays[name].shape)
        if array is None:
            raise ArgumentError(f"{name}: expected int64 {list(expected)}, got None")
        array = np.asarray(array)
        if array.dtype != np.int64 or array.shape != expected:
            got = f"{array.dtype} {list(array.shape)}"
            raise ArgumentError(f"{name}: expected int64 {list(expected)}, got {got}")
        return array

    def _moments(
        self,
        arc_counts: NDArray[np.int64],  # [S, thetas, layers, heads, K]
        numerators: NDArray[np.int64],  # [S, C]
        denominators: NDArray[np.int64],  # [S, P]
    ) -> dict[str, Int128]:
        channels = self.channels
        count = arc_counts[..., channels.classes]  # [S, thetas, layers, heads, C]
        known = arc_counts[..., channels.eligible]  # [S, thetas, layers, heads, P]
        eligible = known[..., channels.owner]  # [S, thetas, layers, heads, C]
        scale = np.where(channels.is_value, VALUE_BITS, 0)[channels.owner]
        share = np.zeros(numerators.shape)
        pooled = denominators[:, channels.owner]
        np.divide(np.ldexp(numerators, -scale), pooled, out=share, where=pooled > 0)
        share = np.ldexp(share, EXPECTED_BITS)
        expected = np.rint(eligible * share[:, None, None, None, :])
        if expected.size and np.abs(expected).max() >= 2.0**63:
            raise NumericalError("expected sums of values do not fit 64 bits: rescale the values")
        expected = expected.astype(np.int64)
        return {
            "moments.yy": sum_products(count, count),
            "moments.ny": sum_products(eligible, count),
            "moments.nb": sum_int64(expected),
            "moments.nbnb": sum_products(expected, expected),
            "moments.ynb": sum_products(count, expected),
            "moments.nn": sum_products(known, known),
            "moments.proteins": Int128.from_int64(np.count_nonzero(known, axis=0)),
        }
