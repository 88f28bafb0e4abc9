"""Logarithms of two-sided p-values, far beyond where the p-values themselves become 0.

A head with a million arcs easily has a z of 100, whose p-value, 1e-2174, no double holds. All
logarithms here are natural, and good to 1e-10 of themselves, also next to 0, where p is nearly 1.

The two-sided p-value of Student's t is an incomplete beta function (Abramowitz & Stegun 26.5.27),

    p = I_x(a, 1/2),    a = df / 2,    x = df / (df + t**2).

scipy's is good as long as p is a normal number and df is not large. Elsewhere it is (DLMF 8.17.8,
by Pfaff's transformation 15.8.1)

    p = x**a / (a B(a, 1/2) sqrt(1 - x)) F,    F = 2F1(1/2, 1; a + 1; -df / t**2),

with F from Gauss's continued fraction (DLMF 15.7.5). Its coefficients are positive, so that it
converges whatever t; far out in the tail a few of them are enough, as they fall with 2 / t**2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

#: Above this p, log p is computed from 1 - p.
_NEARLY_ONE = 0.5
#: scipy's incomplete beta function is used for larger p and fewer degrees of freedom; its relative
#: error grows with these, to 2e-10 at a million.
_LEAST_P, _MOST_DF = 1e-200, 1e3
#: t beyond which its square leaves the range of doubles.
_LARGEST_TO_SQUARE = 1e150
#: Coefficients of the continued fraction: t = 0.67, the least for which it is used, needs 320.
_COEFFICIENTS = 500
_TOLERANCE = 1e-15


def log_p_normal(z: ArrayLike) -> NDArray[np.float64]:
    """log P(abs(Z) >= abs(z)) of a standard normal variable.

    Parameters
    ----------
    z : float array

    Returns
    -------
    float64, the shape of `z`
        Natural logarithms; NaN for NaN, -inf for infinite z.

    Examples
    --------
    >>> [round(float(log_p), 6) for log_p in log_p_normal([0.0, -1.959964, 50.0])]
    [0.0, -2.995732, -1254.138214]
    """
    magnitude = np.abs(np.asarray(z, np.float64))
    near = special.erf(magnitude / np.sqrt(2))  # 1 - p
    found = np.where(
        near < _NEARLY_ONE,
        np.log1p(-np.minimum(near, _NEARLY_ONE)),
        special.log_ndtr(-magnitude) + np.log(2),
    )
    return found + 0.0  # no minus zero


def log_p_student(t: ArrayLike, df: ArrayLike) -> NDArray[np.float64]:
    """log P(abs(T) >= abs(t)) of a Student t variable.

    Parameters
    ----------
    t : float array
    df : float array
        Degrees of freedom, > 0; broadcast with `t`.

    Returns
    -------
    float64, the common shape
        Natural logarithms; NaN where t or df is NaN or df <= 0, -inf for infinite t.

    Examples
    --------
    >>> [round(float(log_p), 6) for log_p in log_p_student([0.0, -12.706205, 1e6], [5, 1, 400])]
    [0.0, -2.995732, -4331.133462]
    """
    t, df = np.broadcast_arrays(np.asarray(t, np.float64), np.asarray(df, np.float64))
    shape, t, df = t.shape, t.reshape(-1), df.reshape(-1)
    usable = np.isfinite(t) & (df > 0)
    undefined = np.where(np.isinf(t) & (df > 0), -np.inf, np.nan)
    magnitude, df = np.where(usable, np.abs(t), 1.0), np.where(usable, df, 1.0)
    large = magnitude > _LARGEST_TO_SQUARE
    ratio = np.where(large, 1.0, magnitude) ** 2 / df
    nearness = special.betainc(0.5, df / 2, ratio / (1 + ratio))  # 1 - p
    near = (nearness < _NEARLY_ONE) & ~large
    found = np.log1p(-np.where(near, nearness, 0.0))
    p = special.betainc(df / 2, 0.5, 1 / (1 + ratio))
    tail = ~near & ((p < _LEAST_P) | (df > _MOST_DF) | large)
    found = np.where(near, found, np.log(np.maximum(p, _LEAST_P)))
    if tail.any():
        found[tail] = _log_tail(magnitude[tail], df[tail])
    return np.where(usable, found, undefined).reshape(shape) + 0.0


def _log_tail(t: NDArray[np.float64], df: NDArray[np.float64]) -> NDArray[np.float64]:
    """`log_p_student` from the continued fraction; t > 0."""
    a = df / 2
    inverse = df / t / t  # x / (1 - x); 0 where t**2 is no double
    with np.errstate(over="ignore"):
        log_x = np.where(t > _LARGEST_TO_SQUARE, np.log(df) - 2 * np.log(t), -np.log1p(t * t / df))
    log_rest = -np.log1p(inverse)  # log(1 - x)
    log_beta = np.log(np.pi) / 2 - _log_gamma_ratio(a)
    fraction = np.log(_hypergeometric(a + 1, inverse))
    return a * log_x - np.log(a) - log_beta - log_rest / 2 + fraction


def _log_gamma_ratio(a: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(gamma(a + 1/2) / gamma(a)), for large a from its asymptotic series (DLMF 5.11.13)."""
    large = np.maximum(a, 20.0)
    v = 1 / (large * large)
    series = np.log(large) / 2 - (1 / 8 - v * (1 / 192 - v * (1 / 640 - v * 17 / 14336))) / large
    return np.where(a < 20, special.gammaln(a + 0.5) - special.gammaln(a), series)


def _hypergeometric(c: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """2F1(1/2, 1; c; -w) for w >= 0, c > 1: Gauss's continued fraction by Lentz's method.

    With b = 0 in DLMF 15.7.5 (2F1(1/2, 0; c - 1) is 1) it is 1 / (1 + k_1 w / (1 + k_2 w / ...)),
    k_1 = (1/2) / c, and for n = 1, 2, ...

        k_2n     = n (c + n - 3/2) / ((c + 2n - 2) (c + 2n - 1))
        k_2n + 1 = (n + 1/2) (c + n - 1) / ((c + 2n - 1) (c + 2n)).
    """
    value = np.ones_like(w)  # 1 + k_1 w / (1 + ...), as far as it is known
    going = np.flatnonzero(w > 0)
    c, w = c[going], w[going]
    above, below = np.ones_like(w), np.zeros_like(w)
    for number in range(1, _COEFFICIENTS + 1):
        n = number // 2
        if number == 1:
            k = 0.5 / c
        elif number % 2 == 0:
            k = n * (c + n - 1.5) / ((c + 2 * n - 2) * (c + 2 * n - 1))
        else:
            k = (n + 0.5) * (c + n - 1) / ((c + 2 * n - 1) * (c + 2 * n))
        below = 1 / (1 + k * w * below)
        above = 1 + k * w / above
        step = above * below
        value[going] *= step
        more = np.abs(step - 1) >= _TOLERANCE
        if not more.all():
            going, c, w = going[more], c[more], w[more]
            above, below = above[more], below[more]
        if not len(going):
            break
    return 1 / value
