"""Logarithms of two-sided p-values, far beyond where the p-values themselves become 0.

A head with a million arcs easily has a z of 100, whose p-value, 1e-2174, no double holds. All
logarithms here are natural, and good to 1e-10 of themselves, also next to 0, where p is nearly 1.

The two-sided p-value of Student's t is an incomplete beta function (Abramowitz & Stegun 26.5.27),

    p = I_x(a, 1/2),    a = df / 2,    x = df / (df + t**2),

and where scipy's underflows, or nearly so, it is (DLMF 8.17.8, by Pfaff's transformation 15.8.1)

    p = x**a / (a B(a, 1/2) sqrt(1 - x)) F,    F = 2F1(1/2, 1; a + 1; -df / t**2),

with F from Gauss's continued fraction (DLMF 15.7.5). Its terms are positive here, so that it
converges; so far out in the tail it needs few of them, as they fall with 2 / t**2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

#: Below this p, scipy's incomplete beta function is left: it loses digits on its way to 0.
_LEAST_P = 1e-200
#: Above this p, log p is computed from 1 - p.
_NEARLY_ONE = 0.5
#: t beyond which its square leaves the range of doubles.
_LARGEST_TO_SQUARE = 1e150
_TERMS = 2000
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
    [-0.0, -2.995732, -1254.138214]
    """
    magnitude = np.abs(np.asarray(z, np.float64))
    near = special.erf(magnitude / np.sqrt(2))
    with np.errstate(divide="ignore"):
        return np.where(
            near < _NEARLY_ONE,
            np.log1p(-np.minimum(near, _NEARLY_ONE)),
            special.log_ndtr(-magnitude) + np.log(2),
        )


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
    [-0.0, -2.995732, -4331.133462]
    """
    t, df = np.broadcast_arrays(np.asarray(t, np.float64), np.asarray(df, np.float64))
    magnitude = np.abs(t)
    usable = np.isfinite(magnitude) & (df > 0)
    magnitude, df = np.where(usable, magnitude, 1.0), np.where(usable, df, 1.0)
    # t**2 / df, as far as it is a double, and always log(1 + t**2 / df).
    ratio = np.minimum(magnitude, _LARGEST_TO_SQUARE) ** 2 / df
    log_whole = np.where(
        magnitude < _LARGEST_TO_SQUARE,
        np.log1p(ratio),
        2 * np.log(np.maximum(magnitude, 1.0)) - np.log(df),
    )
    rest = ratio / (1 + ratio)  # 1 - x
    one_minus_p = special.betainc(0.5, df / 2, rest)
    p = special.betainc(df / 2, 0.5, 1 / (1 + ratio))
    found = np.where(
        one_minus_p < _NEARLY_ONE,
        np.log1p(-np.minimum(one_minus_p, _NEARLY_ONE)),
        np.log(np.maximum(p, _LEAST_P)),
    )
    far = (p < _LEAST_P) | (magnitude >= _LARGEST_TO_SQUARE)
    if far.any():
        found[far] = _log_tail(magnitude[far], df[far], log_whole[far])
    found[~usable] = np.where(np.isinf(t) & (df > 0), -np.inf, np.nan)[~usable]
    return found


def _log_tail(
    t: NDArray[np.float64], df: NDArray[np.float64], log_whole: NDArray[np.float64]
) -> NDArray[np.float64]:
    """`log_p_student` from its continued fraction; `log_whole` is log(1 + t**2 / df) = -log x."""
    a = df / 2
    with np.errstate(over="ignore"):
        fraction = _hypergeometric(a + 1, df / t / t)
    # 1 - x = (t**2 / df) x
    log_rest = 2 * np.log(t) - np.log(df) - log_whole
    return -a * log_whole - np.log(a) - special.betaln(a, 0.5) - log_rest / 2 + np.log(fraction)


def _hypergeometric(c: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.float64]:
    """2F1(1/2, 1; c; -w) for w >= 0, c > 1: Gauss's continued fraction by Lentz's method.

    With b = 0 in DLMF 15.7.5 (2F1(1/2, 0; c - 1) is 1) it is 1 / (1 + k_1 w / (1 + k_2 w / ...)),
    k_1 = (1/2) / c, and for n = 1, 2, ...

        k_2n     = n (c + n - 3/2) / ((c + 2n - 2) (c + 2n - 1))
        k_2n + 1 = (n + 1/2) (c + n - 1) / ((c + 2n - 1) (c + 2n)).
    """
    value = np.ones_like(w)  # 1 + k_1 w / (1 + ...), as far as it is known
    above, below = np.ones_like(w), np.zeros_like(w)
    for term in range(1, _TERMS + 1):
        n = term // 2
        if term == 1:
            k = 0.5 / c
        elif term % 2 == 0:
            k = n * (c + n - 1.5) / ((c + 2 * n - 2) * (c + 2 * n - 1))
        else:
            k = (n + 0.5) * (c + n - 1) / ((c + 2 * n - 1) * (c + 2 * n))
        below = 1 / (1 + k * w * below)
        above = 1 + k * w / above
        step = above * below
        value *= step
        if np.all(np.abs(step - 1) < _TOLERANCE):
            break
    return 1 / value
