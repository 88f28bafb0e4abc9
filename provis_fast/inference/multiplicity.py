"""Correction of p-values for many tests, on their logarithms."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def bonferroni(log_p: ArrayLike) -> NDArray[np.float64]:
    """Bonferroni's correction, min(1, m p), m the tests of a family.

    Parameters
    ----------
    log_p : float [tests, ...]
        Natural logarithms; every column is a family. NaN is no test, and stays NaN.

    Returns
    -------
    float64, the shape of `log_p`
    """
    log_p = np.asarray(log_p, np.float64)
    tests = np.count_nonzero(~np.isnan(log_p), axis=0)
    return np.minimum(log_p + np.log(np.maximum(tests, 1)), 0.0)


def benjamini_hochberg(log_p: ArrayLike) -> NDArray[np.float64]:
    """q-values of Benjamini & Hochberg (J. R. Stat. Soc. B 57, 1995): with the p-values of a
    family in ascending order, q_i is the least m p_j / j of all j >= i.

    Parameters
    ----------
    log_p : float [tests, ...]
        Natural logarithms; every column is a family. NaN is no test, and stays NaN.

    Returns
    -------
    float64, the shape of `log_p`
        log q.
    """
    log_p = np.asarray(log_p, np.float64)
    if not log_p.size:
        return log_p.copy()
    tests = np.count_nonzero(~np.isnan(log_p), axis=0)
    order = np.argsort(log_p, axis=0)  # NaN last
    ranks = np.arange(1, len(log_p) + 1).reshape(-1, *[1] * (log_p.ndim - 1))
    scaled = np.take_along_axis(log_p, order, axis=0)
    scaled = np.minimum(scaled + np.log(np.maximum(tests, 1)) - np.log(ranks), 0.0)
    least = np.fmin.accumulate(scaled[::-1], axis=0)[::-1]  # passes over NaN
    found = np.empty_like(log_p)
    np.put_along_axis(found, order, least, axis=0)
    return np.where(np.isnan(log_p), np.nan, found)
