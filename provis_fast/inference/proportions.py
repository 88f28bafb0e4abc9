"""Intervals and tests of proportions with every arc as an observation, as the paper has them.

With y of n eligible arcs in a class, p = y / n (equation 1 of the paper), and Y of N residues (or
pairs) in it in the background:

    Wald     p +- q sqrt(p (1 - p) / n)
    Wilson   (p + q**2 / 2 n +- q sqrt(p (1 - p) / n + q**2 / 4 n**2)) / (1 + q**2 / n)
    z        (p - Y / N) / sqrt(P (1 - P) (1 / n + 1 / N)),    P = (y + Y) / (n + N)

with q the normal quantile of the confidence. The paper drew Wald intervals (in its figures of the
ten best heads with the confidence 1 - 0.05 / m, m the heads with enough arcs), and compared with
the background by the z-test of two proportions with pooled variance and Bonferroni's correction.
Wilson's interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927) stays within 0 and 1, and does not
shrink to nothing at both ends.

All of them take the arcs for independent, which pairs of one protein are not: see `clusters`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def interval(
    count: ArrayLike, eligible: ArrayLike, confidence: float, method: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence interval of a proportion.

    Parameters
    ----------
    count, eligible : float arrays
        Arcs in the class, and arcs altogether; broadcast. NaN, or no arcs at all, give NaN.
    confidence : float
        0.95, say.
    method : {"normal", "wilson"}
        "normal" is Wald's, cut off at 0 and 1.

    Returns
    -------
    low, high : float64
    """
    from statsmodels.stats.proportion import proportion_confint

    count, eligible = np.broadcast_arrays(
        np.asarray(count, np.float64), np.asarray(eligible, np.float64)
    )
    low, high = np.full(count.shape, np.nan), np.full(count.shape, np.nan)
    usable = (eligible > 0) & (count >= 0) & (count <= eligible)
    if usable.any():
        low[usable], high[usable] = proportion_confint(
            count[usable], eligible[usable], alpha=1 - confidence, method=method
        )
    return low, high


def z_against_background(
    count: ArrayLike,
    eligible: ArrayLike,
    background_count: ArrayLike,
    background_total: ArrayLike,
) -> NDArray[np.float64]:
    """z of the two-proportion test of a head's arcs against the background; positive for more.

    Parameters
    ----------
    count, eligible : float arrays
        Arcs in the class, and arcs altogether.
    background_count, background_total : float arrays
        Residues (or pairs) in the class, and altogether. All broadcast.

    Returns
    -------
    float64
        NaN where one side is empty, or where all or none of both sides together are in the class.
    """
    y, n = np.asarray(count, np.float64), np.asarray(eligible, np.float64)
    background_y = np.asarray(background_count, np.float64)
    background_n = np.asarray(background_total, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (y + background_y) / (n + background_n)
        variance = pooled * (1 - pooled) * (1 / n + 1 / background_n)
        z = (y / n - background_y / background_n) / np.sqrt(variance)
    return np.where(np.isfinite(z) & (variance > 0), z, np.nan)


def log_odds_ratio(proportion: ArrayLike, background: ArrayLike) -> NDArray[np.float64]:
    """log of (p / (1 - p)) / (b / (1 - b)).

    Parameters
    ----------
    proportion, background : float arrays
        p and b; broadcast.

    Returns
    -------
    float64
        -inf where p is 0, inf where it is 1; NaN where b is 0 or 1.
    """
    p, b = np.asarray(proportion, np.float64), np.asarray(background, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(p) - np.log1p(-p) - (np.log(b) - np.log1p(-b))
    return np.where((b > 0) & (b < 1), found, np.nan)
