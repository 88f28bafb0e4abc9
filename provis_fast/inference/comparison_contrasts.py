"""Differences of two ratio estimates whose units (proteins) are the same, in part, or others.

The estimate of a corpus is a ratio of sums over its G units, such as p = sum y / sum n. To first
order unit g moves it by r_g = (y_g - p n_g) / sum n, and these contributions add up to 0. So

    v = G / (G - 1) sum_g r_g**2

is its cluster-robust variance (Cameron and Miller, "A practitioner's guide to cluster-robust
inference", J. Human Resources 50, 2015, eq. 11 with the correction G / (G - 1)). For the difference
of two estimates, with r = 0 for a unit that a corpus does not have and c = G / (G - 1) of each,

    v = sum_g (sqrt(c_b) r_bg - sqrt(c_a) r_ag)**2

which is the sum of both variances where no unit is shared (Welch), G / (G - 1) times the sum of
squared differences of contributions where all are (a paired t), and lies between for the rest.
Degrees of freedom are Satterthwaite's over the three independent groups of units, those of a alone,
of b alone, and of both: v**2 / sum_k (v_k**2 / f_k) with f_k = n_k (1 - 1/G). That is Welch's
formula for no shared unit and G - 1 for all of them.

Without contributions the covariance of the estimates is not known. Taken as 0, and v = v_a + v_b:
by Cauchy and Schwarz the true standard error is at most sqrt(v_a) + sqrt(v_b), hence at most
sqrt(2) times the one used. Where shared units deviate in both in the same direction (covariance
above 0), intervals are too wide rather than too narrow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: A sum of squares below this share of its terms is rounding.
_ROUNDING = 1e-13


class Contributions(NamedTuple):
    """How far each unit moves an estimate.

    Attributes
    ----------
    names : ndarray of str [G]
        Units, each once, sorted.
    values : float64 [G, ...]
        Contributions; 0 where a unit has nothing.
    present : bool [G, ...]
        Whether a unit is part of the estimate.
    """

    names: NDArray[np.str_]
    values: NDArray[np.float64]
    present: NDArray[np.bool_]


class Estimate(NamedTuple):
    """An array of estimates from one corpus.

    Attributes
    ----------
    value, variance : float64 [...]
        NaN where undefined; `variance` also where there are fewer than two units.
    units : int64 [...]
        Units G behind each.
    contributions : Contributions or None
        Of the units; None where only sums over them are known.
    added : float64 [...] or 0
        What of `variance` does not come from the units.
    """

    value: NDArray[np.float64]
    variance: NDArray[np.float64]
    units: NDArray[np.int64]
    contributions: Contributions | None = None
    added: NDArray[np.float64] | float = 0.0

    def at_least(self, floor: NDArray[np.float64]) -> Estimate:
        """The same with variances of at least `floor`, where both are defined."""
        added = np.nan_to_num(np.maximum(floor - self.variance, 0.0))
        return self._replace(variance=self.variance + added, added=added)

    @property
    def degrees(self) -> NDArray[np.float64]:
        """Degrees of freedom, G - 1."""
        return self.units - 1.0


class Contrast(NamedTuple):
    """Differences of two estimates, b - a.

    Attributes
    ----------
    value, variance, degrees : float64 [...]
    shared : int64 [...]
        Units that both estimates are known to have; 0 where contributions are not known.
    """

    value: NDArray[np.float64]
    variance: NDArray[np.float64]
    degrees: NDArray[np.float64]
    shared: NDArray[np.int64]


def from_contributions(value: NDArray[np.float64], contributions: Contributions) -> Estimate:
    """An estimate with its robust variance.

    Parameters
    ----------
    value : float64 [...]
    contributions : Contributions
        With values [G, ...].
    """
    units = contributions.present.sum(axis=0)
    squares = np.square(contributions.values).sum(axis=0)
    variance = _corrected(squares, units)
    return Estimate(value, np.where(np.isnan(value), np.nan, variance), units, contributions)


def from_sums(
    value: NDArray[np.float64],
    sum_n: NDArray[np.float64],
    squares: NDArray[np.float64],
    scale: NDArray[np.float64],
    units: NDArray[np.int64],
) -> Estimate:
    """An estimate whose squared residuals are known as a sum alone.

    Parameters
    ----------
    value, sum_n : float64 [...]
        The ratio, and its denominator.
    squares : float64 [...]
        Sum over units of squared residuals, computed as a difference of larger sums.
    scale : float64 [...]
        How large those sums were: what is left below their rounding is 0.
    units : int64 [...]
    """
    squares = np.where(squares <= _ROUNDING * scale, 0.0, squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = _corrected(squares / np.square(sum_n), units)
    return Estimate(value, np.where(np.isnan(value), np.nan, variance), units)


def contrast(a: Estimate, b: Estimate) -> Contrast:
    """The difference b - a, with what is known of the units that both share; see the module."""
    value = b.value - a.value
    if a.contributions is None or b.contributions is None:
        variance = a.variance + b.variance
        degrees = _satterthwaite([(a.variance, a.degrees), (b.variance, b.degrees)], variance)
        shared = np.zeros(value.shape, np.int64)
    else:
        variance, degrees, shared = _joint(a, b)
    undefined = np.isnan(value) | np.isnan(a.variance) | np.isnan(b.variance)
    variance, degrees = (np.where(undefined, np.nan, x) for x in (variance, degrees))
    return Contrast(value, variance, degrees, shared)


def _joint(
    a: Estimate, b: Estimate
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    one, two = a.contributions, b.contributions
    assert one is not None and two is not None
    _, in_one, in_two = np.intersect1d(
        one.names, two.names, assume_unique=True, return_indices=True
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = [
            -np.sqrt(a.units / (a.units - 1.0)) * one.values,
            np.sqrt(b.units / (b.units - 1.0)) * two.values,
        ]
    both = one.present[in_one] & two.present[in_two]
    variance_of_both = np.square(np.where(both, moved[0][in_one] + moved[1][in_two], 0.0)).sum(
        axis=0
    )
    shared = both.sum(axis=0)
    groups = [(variance_of_both, shared * (1 - 1 / np.maximum(np.minimum(a.units, b.units), 1)))]
    for contributions, change, inside, units in (
        (one, moved[0], in_one, a.units),
        (two, moved[1], in_two, b.units),
    ):
        alone = contributions.present.copy()
        alone[inside] &= ~both
        squares = np.square(np.where(alone, change, 0.0)).sum(axis=0)
        groups.append((squares, alone.sum(axis=0) * (1 - 1 / np.maximum(units, 1))))
    for estimate in (a, b):
        groups.append((np.broadcast_to(estimate.added, shared.shape), estimate.degrees))
    variance = sum(v for v, _ in groups)
    return variance, _satterthwaite(groups, variance), shared


def _corrected(squares: NDArray[np.float64], units: NDArray[np.int64]) -> NDArray[np.float64]:
    """Times G / (G - 1); NaN for fewer than two units."""
    enough = units >= 2
    return np.where(enough, squares * units / np.where(enough, units - 1.0, 1.0), np.nan)


def _satterthwaite(
    groups: list[tuple[NDArray[np.float64], NDArray[np.float64]]], variance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Degrees of freedom of a sum of independent variances, each (variance, degrees).

    Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics
    Bulletin 2, 1946, eq. 17. NaN where nothing varies.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(v > 0, np.square(v) / f, 0.0) for v, f in groups]
        found = np.square(variance) / sum(parts)
    return np.where(variance > 0, found, np.nan)
