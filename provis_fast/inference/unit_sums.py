"""Exact sums over independent units (proteins, or clusters of them) of one property.

Everything that inference with such units needs is made of sums over the units of products of
y (arcs in a class; for key values the sum of values), n (eligible arcs) and n b (arcs that the
unit's own background share b leads one to expect). They are integers here, in units of a power of
two, so that variances, which are differences of nearly equal sums, lose nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast.totals import EXPECTED_BITS, LATER, VALUE_BITS

if TYPE_CHECKING:
    from provis_fast.fixed128 import Int128
    from provis_fast.statistics import HeadStatistics

#: An array of Python's integers, of any size.
Integers = NDArray[np.object_]


class UnitSums(NamedTuple):
    """Sums over units of one property at one threshold.

    y counts in units of 2**-`bits`, n b in units of 2**-20 (`provis_fast.totals`).

    Attributes
    ----------
    bits : int
        16 for key values, 0 for arcs.
    units : int64 [layers, heads, 1]
        Units with eligible arcs (n > 0).
    n, nn : integers [layers, heads, 1]
    y, nb, yy, ny, nbnb, ynb : integers [layers, heads, classes]
    nnb : integers [layers, heads, classes] or None
        None in results of earlier format versions.
    """

    bits: int
    units: NDArray[np.int64]
    n: Integers
    nn: Integers
    y: Integers
    nb: Integers
    yy: Integers
    ny: Integers
    nbnb: Integers
    ynb: Integers
    nnb: Integers | None

    @classmethod
    def of_proteins(cls, result: HeadStatistics, index: int, theta: int) -> UnitSums:
        """Those that a result stores: every protein is a unit.

        Parameters
        ----------
        result : HeadStatistics
            One that holds arcs.
        index : int
            Number of the property.
        theta : int
            Number of the threshold.
        """
        totals, channels = result.totals, result.totals.channels
        columns = channels.columns(index)

        def integers(name: str, at: object) -> Integers:
            total: Int128 = totals[name]
            found = total[theta][..., at].to_integers()
            return found if isinstance(at, (slice, np.ndarray)) else found[..., None]

        products = {
            name: integers(f"moments.{name}", columns) for name in ("nb", "yy", "ny", "nbnb", "ynb")
        }
        products["nnb"] = None if totals[LATER] is None else integers(LATER, columns)
        return cls(
            bits=VALUE_BITS if result.properties[index].is_value else 0,
            units=totals["moments.proteins"][theta][..., index].to_int64()[..., None],
            n=integers("arc_counts", int(channels.eligible[index])),
            nn=integers("moments.nn", index),
            y=integers("arc_counts", channels.classes[columns]),
            **products,
        )


def ratio(numerator: Integers, denominator: Integers) -> NDArray[np.float64]:
    """Quotients of integers, each rounded once; NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    usable = denominator != 0
    found = np.full(numerator.shape, np.nan)
    found[usable] = (numerator[usable] / denominator[usable]).astype(np.float64)
    return found


def excess_sums(sums: UnitSums) -> tuple[Integers, Integers]:
    """Sum of u = y - n b in units of 2**-20, and G sum u**2 - (sum u)**2 in units of 2**-40."""
    shift = EXPECTED_BITS - sums.bits
    total = (sums.y << shift) - sums.nb
    squares = (sums.yy << 2 * shift) - (sums.ynb << shift + 1) + sums.nbnb
    return total, sums.units.astype(object) * squares - total * total


def excess_residual_squares(sums: UnitSums) -> Integers | None:
    """N**2 sum (u - e n)**2 with e = U / N; U, N are sums of u, n. In units of 2**-40.

    None where the sums lack what it takes.
    """
    if sums.nnb is None:
        return None
    shift = EXPECTED_BITS - sums.bits
    total = (sums.y << shift) - sums.nb
    squares = (sums.yy << 2 * shift) - (sums.ynb << shift + 1) + sums.nbnb
    by_n = (sums.ny << shift) - sums.nnb
    return squares * sums.n**2 - 2 * total * sums.n * by_n + total**2 * sums.nn


def residual_squares(sums: UnitSums) -> Integers:
    """N**2 sum (y - p n)**2 with p = Y / N; Y, N are sums of y, n. In units of 2**-2 `bits`."""
    return sums.yy * sums.n**2 - 2 * sums.y * sums.n * sums.ny + sums.y**2 * sums.nn
