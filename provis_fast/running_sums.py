"""Exact sums of large arrays, added to often: the totals of bootstrap replicates and permutations.

A replicate has totals of its own for every head and class, so that one batch of proteins adds to
millions of numbers. What was added lately is kept in float64, in which whole numbers below 2**53
are exact, in whatever order a matrix product adds them; the rest is an `Int128`. An upper bound on
what float64 holds tells when it has to be emptied.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from provis_fast.fixed128 import Int128, sum_int64, sum_products
from provis_fast.interruptions import uninterrupted

#: Whole numbers up to here are exact in float64.
EXACT = 1 << 53

#: Does what was prepared; cannot fail.
Commit = Callable[[], None]


class RunningSum:
    """An array of exact sums.

    Adding has two steps, so that several sums can be added to together or not at all: `product` and
    `total` do everything that may fail, and return a function that does the rest.

    Parameters
    ----------
    settled : Int128
        What it begins with.
    """

    def __init__(self, settled: Int128):
        self._settled = settled
        self._recent: NDArray[np.float64] | None = None
        self._bound = 0  # no number in `_recent` is larger

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._settled.shape

    def __len__(self) -> int:
        """Return the number of replicates, the length of the first axis."""
        return self.shape[0]

    def settled(self) -> Int128:
        """The sums; not a copy.

        Raises
        ------
        NumericalError
            One of them does not fit 128 bits.
        """
        if self._recent is not None:
            settled = self._settled + self._recent.astype(np.int64)
            with uninterrupted():
                self._settled, self._recent, self._bound = settled, None, 0
        return self._settled

    def product(self, weights: NDArray[np.int64], values: NDArray[np.int64]) -> Commit:
        """Prepare to add the sum over s of ``weights[s, r] * values[s, ...]`` to ``self[r, ...]``.

        Parameters
        ----------
        weights : int64 [S, R]
            Not negative.
        values : int64 [S, ...]

        Returns
        -------
        callable
            Adds it, and cannot fail; call it before anything else is prepared.
        """
        if not self._settled.hi.size or not len(values):
            return _nothing
        bound = int(weights.sum(axis=0).max()) * _largest(values)
        if bound >= EXACT:
            return self._exactly(_exact_product(weights, values))
        import torch  # whose products mind its number of threads; loaded by whoever analyses

        recent = torch.from_numpy(self._with_room(bound).reshape(len(self), -1))
        factors = torch.from_numpy(weights.T.astype(np.float64))
        numbers = torch.from_numpy(values.astype(np.float64, order="C").reshape(len(values), -1))

        def commit() -> None:
            recent.addmm_(factors, numbers)
            self._bound += bound

        return commit

    def total(self, values: NDArray[np.int64]) -> Commit:
        """Prepare to add the sum over s of ``values[s, ...]``, int64 [S, ...]; see `product`."""
        if not self._settled.hi.size or not len(values):
            return _nothing
        bound = len(values) * _largest(values)
        if bound >= EXACT:
            return self._exactly(sum_int64(values))
        part, recent = values.sum(axis=0), self._with_room(bound)

        def commit() -> None:
            np.add(recent, part, out=recent)
            self._bound += bound

        return commit

    def _with_room(self, bound: int) -> NDArray[np.float64]:
        """The recent sums, to which numbers up to `bound` can be added exactly."""
        if self._bound + bound >= EXACT:
            self.settled()
        if self._recent is None:
            self._recent = np.zeros(self.shape)
        return self._recent

    def _exactly(self, part: Int128) -> Commit:
        settled = self.settled() + part

        def commit() -> None:
            self._settled = settled

        return commit


def _exact_product(weights: NDArray[np.int64], values: NDArray[np.int64]) -> Int128:
    """Sum over s of ``weights[s, r] * values[s, ...]`` in 128 bits, replicate by replicate."""
    total = Int128.zeros((weights.shape[1], *values.shape[1:]))
    for replicate, of_each in enumerate(weights.T):
        factors = of_each.reshape(-1, *[1] * (values.ndim - 1))
        part = sum_products(np.broadcast_to(factors, values.shape), values)
        total.hi[replicate], total.lo[replicate] = part.hi, part.lo
    return total


def _largest(values: NDArray[np.int64]) -> int:
    """The largest magnitude."""
    return max(int(values.max()), -int(values.min())) if values.size else 0


def _nothing() -> None:
    return None
