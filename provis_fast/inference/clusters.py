"""Inference with proteins, or clusters of them, as independent units.

Arcs of one protein share its composition, its fold and its length: they are not independent, and
intervals and tests that take them for it (`proportions`) are too sure by far. Proteins are drawn
independently, or nearly so; where some are alike, clusters of them are. With y of n eligible arcs
of unit g in a class and b its own background share, and G units that have eligible arcs:

**Against the background.** If a head is indifferent to the class, each unit's u = y - n b is 0 in
expectation, whatever its composition. The one-sample t-test over units,

    t = mean(u) / (s / sqrt(G)),    s**2 = sum (u - mean(u))**2 / (G - 1),

has G - 1 degrees of freedom. The excess, e = sum u / sum n, is a ratio of two sums, as the
proportion is, and has the interval e +- t_crit sqrt(V),

    V = G / (G - 1) sum (u - e n)**2 / (sum n)**2.

At e = 0 this is the t-test turned round, but for the mean of u, which s**2 leaves out; elsewhere
the two may disagree about an interval's end near 0. Results of format versions 1 and 2 lack a sum
that it takes: NaN.

It is not cut off, and may pass -1 and 1.

**Few arcs in a class.** Where no protein happens to have an arc in a rare class, u is -n b and
hardly varies, as if it were certain that the class is avoided. Where fewer than 10 of a head's arcs
are in a class, or fewer than 10 are not, the standard error of the excess is therefore no less than
the binomial one at the background, sqrt(e (1 - e) / sum n) with e = sum n b / sum n. (Not for key
values.)

**The proportion** p = sum y / sum n has the cluster-robust interval p +- t_crit sqrt(V),

    V = G / (G - 1) sum (y - p n)**2 / (sum n)**2,

the sandwich variance of Liang & Zeger (Biometrika 73, 1986) with the usual correction for a finite
number of clusters and t quantiles with G - 1 degrees of freedom (Cameron & Miller, J. Human
Resources 50, 2015, sections II and VI). Intervals of proportions are cut off at 0 and 1.

For key values y is the sum and b the mean of the values, and the same formulas hold.

The t-test is as good as the mean of u is normal. By simulation (benchmarks/calibration.py), at a
nominal 5%, it rejects 4 to 6% of null data sets from 50 proteins on where a fifth of the residues
or more are in the class (the z-test: 45 to 57%). For a rare class whose arcs come in bursts, u is
skewed: where a twentieth of the residues are in it, 8% at 50 proteins and 6% at 200 and 1,000, with
the correlation that heads show for amino acids; 11, 8 and 6% with that for binding sites. Nearly
all of these say "fewer than expected"; of "more than expected" the test is rather too careful.
`independent_arcs` tells which tests these are.
Robust intervals at a nominal 95% hold the true proportion of the first classes in 91 to 92% of data
sets at 50 proteins and in 94 to 95% from 200 on (Wilson's: 33 to 42%), and for binding sites in 83,
90 and 94% at 50, 200 and 1,000.

Where fewer than two units have arcs, and where the units do not vary at all (a class that none of
them has; two copies of one protein), there is nothing to judge by: t, p-values and intervals are
NaN.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from provis_fast.inference.log_probabilities import log_p_student
from provis_fast.inference.unit_sums import (
    UnitSums,
    excess_residual_squares,
    excess_sums,
    ratio,
    residual_squares,
)
from provis_fast.totals import EXPECTED_BITS

#: Fewer arcs than these in a class, or out of it, do not tell how proteins vary.
FEW_ARCS = 10
#: With fewer independent arcs in a class the t-test is off its level (benchmarks/calibration.py).
ENOUGH_INDEPENDENT = 50


class UnitInference(NamedTuple):
    """Estimates over units; float64 [layers, heads, classes], NaN where undefined.

    Attributes
    ----------
    units
        G.
    expected
        sum n b / sum n.
    excess, excess_low, excess_high
        sum (y - n b) / sum n and its interval.
    low, high
        Interval of the proportion.
    t, log_p
        Of the t-test, and the natural logarithm of its two-sided p-value.
    """

    units: NDArray[np.float64]
    expected: NDArray[np.float64]
    excess: NDArray[np.float64]
    excess_low: NDArray[np.float64]
    excess_high: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    t: NDArray[np.float64]
    log_p: NDArray[np.float64]


def infer_units(sums: UnitSums, confidence: float) -> UnitInference:
    """Tests and intervals from the sums over units.

    Parameters
    ----------
    sums : UnitSums
    confidence : float
        Of the intervals.
    """
    shape = sums.y.shape
    units = np.broadcast_to(sums.units, shape).astype(np.float64)
    df = np.where(units > 1, units - 1, np.nan)
    critical = student_quantile(confidence, df)
    total, spread = excess_sums(sums)  # spread: G (G - 1) s**2
    spread[spread < 0] = 0  # arcs of no unit, which only sums from elsewhere can have
    scale = 2**EXPECTED_BITS
    expected = ratio(sums.nb, sums.n * scale)
    excess = ratio(total, sums.n * scale)
    # sqrt(G s**2) / sum n, squared: spread / (G - 1) / (sum n)**2
    null_error = np.sqrt(_positive(ratio(spread, (sums.n * scale) ** 2)) / df)
    residuals = excess_residual_squares(sums)
    squares = np.full(shape, np.nan)
    if residuals is not None:
        squares = ratio(residuals, sums.n**4 * scale**2)
    excess_error = np.sqrt(_positive(squares) * units / df)
    if not sums.bits:
        n = sums.n.astype(np.float64)
        few = np.minimum(sums.y, sums.n - sums.y) < FEW_ARCS
        binomial = np.sqrt(np.maximum(expected * (1 - expected), 0.0) / np.where(n > 0, n, np.nan))
        # Where nothing varies (NaN), there is still nothing to judge by.
        null_error = np.where(few, np.maximum(null_error, binomial), null_error)
        excess_error = np.where(few, np.maximum(excess_error, binomial), excess_error)
    t = np.where(null_error > 0, excess / null_error, np.nan)
    proportion = ratio(sums.y, sums.n << sums.bits)
    squares = ratio(residual_squares(sums), sums.n**4 << 2 * sums.bits)
    error = np.sqrt(_positive(squares) * units / df)
    low, high = proportion - critical * error, proportion + critical * error
    if not sums.bits:
        low, high = np.maximum(low, 0.0), np.minimum(high, 1.0)
    return UnitInference(
        units,
        expected,
        excess,
        excess - critical * excess_error,
        excess + critical * excess_error,
        low,
        high,
        t,
        log_p_student(t, df),
    )


def independent_arcs(found: UnitInference, eligible: NDArray[np.float64]) -> NDArray[np.float64]:
    """Independent arcs that would tell as much of a class as a head's arcs do.

    The arcs that the background leads one to expect in the class (or out of it, if these are
    fewer), divided by the design effect: the variance of the excess over that of independent arcs,
    e (1 - e) / n. The test is as good as these are many.

    Parameters
    ----------
    found : UnitInference
        Not of key values.
    eligible : float64 [layers, heads, classes]
        Arcs n of each head.

    Returns
    -------
    float64 [layers, heads, classes]
        NaN where there is no test.
    """
    e = found.expected
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.square(found.excess / found.t)
        design_effect = np.maximum(variance * eligible / (e * (1 - e)), 1.0)
        arcs = eligible * np.minimum(e, 1 - e) / design_effect
    return np.where(np.isfinite(found.t), arcs, np.nan)


def student_quantile(confidence: float, df: NDArray[np.float64]) -> NDArray[np.float64]:
    """t beyond which a two-sided test of level 1 - confidence rejects; NaN where df is."""
    return special.stdtrit(df, (1 + confidence) / 2)


def _positive(variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN where there is no variation."""
    return np.where(variance > 0, variance, np.nan)
