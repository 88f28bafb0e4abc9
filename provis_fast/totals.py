"""Exact totals of a run: what the kernels count, summed over proteins in 128-bit integers.

`Channels` says where each property's numbers stand in the kernels' accumulators. `Totals` adds
batches of per-protein accumulators, and other totals. Adding is exact, whatever the order. Totals
of bootstrap replicates and permutations (`provis_fast.resampling`) stand beside those observed.

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
from provis_fast.resampling import poisson_weights
from provis_fast.running_sums import Commit, RunningSum

#: How pairs count: as arcs, by their attention, or both.
WEIGHTINGS = ("arcs", "attention", "both")
ATTENTION_BITS = 32
VALUE_BITS = 16
#: A sum that results of format versions 1 and 2 do not hold.
LATER = "moments.nnb"
EXPECTED_BITS = 20
"""Fraction bits of n b, the eligible arcs of a protein times its background share."""
BOOTSTRAP, PERMUTATIONS = "bootstrap.", "permutations."
"""What the names of the totals of replicates begin with."""


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
    is_shifted : sequence of bool, optional
        Whether a permutation shifts the property; default all.

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
    is_shifted : bool [P]
    shifted : int64 [K']
        Channels of the properties that are shifted, in order. Permutations are counted behind the K
        channels of an accumulator: K' channels of the first, then those of the second, and so on.
    """

    def __init__(
        self,
        n_classes: Sequence[int],
        is_value: Sequence[bool],
        is_shifted: Sequence[bool] | None = None,
    ):
        sizes = np.asarray(n_classes, dtype=np.int64)
        starts = 1 + np.concatenate([[0], np.cumsum(sizes + 1)]).astype(np.int64)
        self.count = int(starts[-1])
        self.eligible = starts[:-1]
        self.owner = np.repeat(np.arange(len(sizes)), sizes)
        self.classes = np.arange(len(self.owner)) + 2 + self.owner
        self.is_value = np.asarray(is_value, dtype=bool)
        self.is_shifted = np.ones(len(sizes), dtype=bool)
        if is_shifted is not None:
            self.is_shifted[:] = is_shifted
        self.shifted = 1 + np.flatnonzero(np.repeat(self.is_shifted, sizes + 1))
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
    moments.nnb        same                           sum of n n b; 2**-20 (format version 3)
    moments.nn         [thetas, layers, heads, P]     sum of n**2
    moments.proteins   same                           proteins with n > 0
    ================== ============================== =============================================

    For key values y and b are sums and means of values: y and n y are in 2**-16, y**2 in 2**-32 and
    y n b in 2**-36. `n b` is rounded once per protein; all products of it are exact.

    With B bootstrap replicates there are ``bootstrap.arc_counts`` [B, thetas, layers, heads, K],
    ``bootstrap.mass``, ``bootstrap.background_num`` and ``bootstrap.background_den``: the totals
    above, of proteins that count as often as the replicate drew them. With M permutations there are
    ``permutations.arc_counts`` [M, thetas, layers, heads, K'] and ``permutations.mass``: the
    channels ``Channels.shifted`` of the totals above, with shifted labels.
    """

    def __init__(self, channels: Channels, arrays: dict[str, Int128]):
        self.channels = channels
        self._arrays: dict[str, Int128] = {}
        self._replicates: dict[str, RunningSum] = {}
        for name, array in arrays.items():
            if name.startswith((BOOTSTRAP, PERMUTATIONS)):
                self._replicates[name] = RunningSum(array)
            else:
                self._arrays[name] = array

    @staticmethod
    def shapes(
        channels: Channels,
        n_thresholds: int,
        n_layers: int,
        n_heads: int,
        weighting: str,
        n_bootstrap: int = 0,
        n_permutations: int = 0,
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
            for name in ("yy", "ny", "nb", "nbnb", "ynb", "nnb"):
                shapes[f"moments.{name}"] = (n_thresholds, *heads, n_columns)
            for name in ("nn", "proteins"):
                shapes[f"moments.{name}"] = (n_thresholds, *heads, n_properties)
        if weighting != "arcs":
            shapes["mass"] = (*heads, channels.count)
        weighed = {name: shape for name, shape in shapes.items() if not name.startswith("moments")}
        counted = {name: shape for name, shape in weighed.items() if name in ("arc_counts", "mass")}
        if n_bootstrap:
            shapes |= {BOOTSTRAP + name: (n_bootstrap, *weighed[name]) for name in weighed}
        if n_permutations:
            n_shifted = len(channels.shifted)
            for name, shape in counted.items():
                shapes[PERMUTATIONS + name] = (n_permutations, *shape[:-1], n_shifted)
        return shapes

    @classmethod
    def zeros(cls, channels: Channels, shapes: dict[str, tuple[int, ...]]) -> Totals:
        """Totals of no protein."""
        return cls(channels, {name: Int128.zeros(shape) for name, shape in shapes.items()})

    def __getitem__(self, name: str) -> Int128 | None:
        if name in self._replicates:
            return self._replicates[name].settled()
        return self._arrays.get(name)

    def items(self) -> Iterator[tuple[str, Int128]]:
        """Names and arrays, in the order of the names."""
        replicates = {name: running.settled() for name, running in self._replicates.items()}
        return iter(sorted((self._arrays | replicates).items()))

    def __getstate__(self) -> dict[str, Any]:
        return {"channels": self.channels, "arrays": dict(self.items())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def copy(self) -> Totals:
        return Totals(self.channels, {name: array.copy() for name, array in self.items()})

    def equals(self, other: Totals) -> bool:
        """Whether both hold the same totals, to the last bit."""
        mine, theirs = dict(self.items()), dict(other.items())
        return mine.keys() == theirs.keys() and all(mine[k].equals(theirs[k]) for k in mine)

    def fill(self, arrays: Mapping[str, Int128]) -> None:
        """Take over arrays that were saved; ValueError where names or shapes differ.

        Those of results of earlier format versions lack `LATER`; then these totals do, too.
        """
        held = dict(self.items())
        if LATER not in arrays:
            held.pop(LATER, None)
        if arrays.keys() != held.keys():
            raise ValueError(f"expected {sorted(held)}, got {sorted(arrays)}")
        for name, array in arrays.items():
            if array.shape != held[name].shape:
                expected = list(held[name].shape)
                raise ValueError(f"{name}: expected shape {expected}, got {list(array.shape)}")
        self.__init__(self.channels, dict(arrays))  # type: ignore[misc]

    def add_(self, other: Totals) -> None:
        """Add other totals of the same shapes; nothing has changed when this raises."""
        mine, theirs = dict(self.items()), dict(other.items())
        lacking = mine.keys() ^ theirs.keys()
        if lacking == {LATER}:  # what only one of them knows is not known of both
            mine.pop(LATER, None)
            theirs.pop(LATER, None)
            self._arrays.pop(LATER, None)
        elif lacking:
            raise ResultError(f"results hold different totals: {sorted(mine)}, {sorted(theirs)}")
        self._add({name: theirs[name] for name in mine})

    def _add(self, parts: dict[str, Int128]) -> None:
        sums = {name: self[name] + part for name, part in parts.items()}
        for name, total in sums.items():
            if name in self._replicates:
                self._replicates[name] = RunningSum(total)
            else:
                self._arrays[name] = total

    def add_batch(
        self,
        arc_counts: Any | None,  # int64 [S, thetas, layers, heads, K + M K']
        mass: Any | None,  # int64 [S, layers, heads, K + M K']
        entropy: Any | None,  # int64 [S, layers, heads]
        background_num: Any,  # int64 [S, C]
        background_den: Any,  # int64 [S, P]
        digests: Any | None = None,  # uint64 [S]
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
        commits = self._permuted(arrays)
        parts = {name: sum_int64(array) for name, array in arrays.items()}
        if "arc_counts" in arrays:
            parts |= self._moments(
                arrays["arc_counts"], arrays["background_num"], arrays["background_den"]
            )
        commits += self._resampled(arrays, digests)
        self._add(parts)
        for commit in commits:
            commit()
        return n_proteins

    def _permuted(self, arrays: dict[str, NDArray[np.int64]]) -> list[Commit]:
        """Take the permutations' channels off the arrays, and prepare to add them."""
        commits = []
        for name in ("arc_counts", "mass"):
            running = self._replicates.get(PERMUTATIONS + name)
            if running is None:
                continue
            whole = arrays[name]
            arrays[name] = np.ascontiguousarray(whole[..., : self.channels.count])
            shifted = whole[..., self.channels.count :]
            shifted = shifted.reshape(*shifted.shape[:-1], len(running), -1)
            commits.append(running.total(np.moveaxis(shifted, -2, 1)))
        return commits

    def _resampled(self, arrays: dict[str, NDArray[np.int64]], digests: Any) -> list[Commit]:
        """Prepare to add what each bootstrap replicate draws."""
        names = [name for name in arrays if BOOTSTRAP + name in self._replicates]
        if not names:
            return []
        n_proteins = len(arrays["background_den"])
        digests = None if digests is None else np.asarray(digests)
        if digests is None or digests.dtype != np.uint64 or digests.shape != (n_proteins,):
            got = None if digests is None else f"{digests.dtype} {list(digests.shape)}"
            raise ArgumentError(
                f"digests: expected uint64 [{n_proteins}], by which the bootstrap knows the "
                f"proteins, got {got}"
            )
        running = {name: self._replicates[BOOTSTRAP + name] for name in names}
        weights = poisson_weights(digests, len(running["background_den"]))
        return [running[name].product(weights, arrays[name]) for name in names]

    def _checked(self, name: str, array: ArrayLike | None, n_proteins: int) -> NDArray[np.int64]:
        if name not in self._arrays:
            raise ArgumentError(f"{name}: this result does not hold it; expected None")
        expected = (n_proteins, *self._arrays[name].shape)
        if PERMUTATIONS + name in self._replicates:
            n_permutations, *_, n_shifted = self._replicates[PERMUTATIONS + name].shape
            expected = (*expected[:-1], expected[-1] + n_permutations * n_shifted)
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
            "moments.nnb": sum_products(eligible, expected),
            "moments.nn": sum_products(known, known),
            "moments.proteins": Int128.from_int64(np.count_nonzero(known, axis=0)),
        }
