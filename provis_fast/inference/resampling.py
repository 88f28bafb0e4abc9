"""Intervals and tests from replicates of a result.

An analysis can add up, beside its totals, R totals in which every protein counts as often as a
Poisson variable says (the bootstrap over proteins), and R totals in which the labels of every
protein are shifted along it by a random number of residues (the permutation null).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Numbers that are sorted at a time.
_AT_A_TIME = 1 << 23


class NullInference(NamedTuple):
    """Observed proportions against a permutation null; float64 [layers, heads, classes].

    Attributes
    ----------
    mean, sd
        Of the null.
    z
        (observed - mean) / sd.
    log_p
        Natural logarithm of (1 + #{abs(null - mean) >= abs(observed - mean)}) / (R + 1).
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    z: NDArray[np.float64]
    log_p: NDArray[np.float64]


def proportions(eligible: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Proportions of replicates.

    Parameters
    ----------
    eligible : float64 [R, layers, heads]
    counts : float64 [R, layers, heads, classes]

    Returns
    -------
    float64 [R, layers, heads, classes]
        NaN where a replicate has no eligible arcs.
    """
    return counts / np.where(eligible > 0, eligible, np.nan)[..., None]


def percentile_interval(
    replicates: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Percentile interval of the bootstrap (Efron & Tibshirani 1993, chapter 13).

    Parameters
    ----------
    replicates : float64 [R, layers, heads, classes]
        Proportions; replicates without eligible arcs (NaN) are left out.
    confidence : float

    Returns
    -------
    low, high : float64 [layers, heads, classes]
        NaN where there are fewer than two replicates.
    """
    shape = replicates.shape[1:]
    flat = replicates.reshape(len(replicates), -1)
    found = np.full((2, flat.shape[1]), np.nan)
    levels = [(1 - confidence) / 2, (1 + confidence) / 2]
    step = max(_AT_A_TIME // max(len(flat), 1), 1)
    for begin in range(0, flat.shape[1], step):
        part = flat[:, begin : begin + step]
        known = np.count_nonzero(~np.isnan(part), axis=0)
        whole = (known == len(part)) & (known > 1)
        target = found[:, begin : begin + step]
        target[:, whole] = np.quantile(part[:, whole], levels, axis=0)
        for column in np.flatnonzero((known > 1) & ~whole):
            target[:, column] = np.nanquantile(part[:, column], levels)
    return found[0].reshape(shape), found[1].reshape(shape)


def against_null(observed: NDArray[np.float64], replicates: NDArray[np.float64]) -> NullInference:
    """Observed proportions against those of the permuted labels, two-sided.

    Parameters
    ----------
    observed : float64 [layers, heads, classes]
    replicates : float64 [R, layers, heads, classes]
        Proportions under the null; those without eligible arcs (NaN) are left out.

    Returns
    -------
    NullInference
        NaN where `observed` is, or where there are fewer than two replicates; `z` also where the
        null does not vary.
    """
    known = ~np.isnan(replicates)
    number = np.count_nonzero(known, axis=0)
    usable = (number > 1) & np.isfinite(observed)
    with np.errstate(invalid="ignore", divide="ignore"):
        least = np.where(known, replicates, np.inf).min(axis=0, initial=np.inf)
        most = np.where(known, replicates, -np.inf).max(axis=0, initial=-np.inf)
        mean = np.where(known, replicates, 0.0).sum(axis=0) / np.where(usable, number, np.nan)
        mean = np.clip(mean, least, most)  # of equal numbers rounding may make another one
        deviation = np.where(known, replicates - mean, 0.0)
        sd = np.sqrt((deviation**2).sum(axis=0) / (number - 1))
        # A replicate equal to the observed one must count: allow for the rounding of the mean.
        distance = np.abs(observed - mean) * (1 - 1e-12)
        extreme = np.count_nonzero(known & (np.abs(deviation) >= distance), axis=0)
        z = np.where(sd > 0, (observed - mean) / sd, np.nan)
        log_p = np.where(usable, np.log1p(extreme) - np.log1p(number), np.nan)
    return NullInference(np.where(usable, mean, np.nan), np.where(usable, sd, np.nan), z, log_p)
