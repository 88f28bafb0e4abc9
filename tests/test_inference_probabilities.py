"""Logarithms of p-values, and corrections on them."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from provis_fast.inference.log_probabilities import log_p_normal, log_p_student
from provis_fast.inference.multiplicity import benjamini_hochberg, bonferroni

DEGREES = (1, 2, 9, 49, 199, 999, 1001, 20_000, 10**6)
SMALL_T = (1e-9, 1e-3, 0.1, 0.5, 0.67, 0.68, 0.8, 1.0, 2.0, 5.0, 12.0, 30.0, 38.0)


def exactly_normal(z: float) -> mpmath.mpf:
    return mpmath.log(mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)))


def exactly_student(t: float, df: int) -> mpmath.mpf:
    """From the incomplete beta function where mpmath finds it, else from its series in x (DLMF
    8.17.8), all of whose terms are positive."""
    t, a = mpmath.mpf(t), mpmath.mpf(df) / 2
    x = df / (df + t * t)
    if t < 40:
        below = mpmath.betainc(0.5, a, 0, t * t / (df + t * t), regularized=True)
        if below < 0.5:
            return mpmath.log1p(-below)
        return mpmath.log(mpmath.betainc(a, 0.5, 0, x, regularized=True))
    term = total = mpmath.mpf(1)
    number = 0
    while term > total * mpmath.eps:
        term *= x * (a + 0.5 + number) / (a + 1 + number)
        total += term
        number += 1
    beta = mpmath.loggamma(a) + mpmath.log(mpmath.pi) / 2 - mpmath.loggamma(a + 0.5)
    log_rest = mpmath.log(t * t / (df + t * t))
    return a * mpmath.log(x) + log_rest / 2 - mpmath.log(a) - beta + mpmath.log(total)


def relative_error(found, wanted: mpmath.mpf) -> float:
    return float(abs((mpmath.mpf(float(found)) - wanted) / wanted))


@pytest.mark.parametrize("z", [1e-12, 1e-3, 0.5, 0.674, 0.675, 1, 8, 37, 38, 50, 500, 1e5, 1e100])
def test_normal_against_mpmath(z):
    with mpmath.workdps(40):
        assert relative_error(log_p_normal(z), exactly_normal(z)) < 1e-13
    assert log_p_normal(-z) == log_p_normal(z)


@pytest.mark.parametrize("df", DEGREES)
def test_student_against_mpmath(df):
    far = [50.0, 100.0, 500.0, 1e6, 1e30, 1e160, 1e300] if df < 10_000 else [100.0, 500.0, 1e30]
    with mpmath.workdps(30):
        for t in (*SMALL_T, *far):
            assert relative_error(log_p_student(t, df), exactly_student(t, df)) < 1e-11, t
            assert log_p_student(-t, df) == log_p_student(t, df)


def test_student_in_one_call_is_as_one_by_one():
    t, df = np.meshgrid([*SMALL_T, 50.0, 1e5, 1e200], DEGREES)
    one_by_one = [
        [float(log_p_student(a, b)) for a, b in zip(*r, strict=True)]
        for r in zip(t, df, strict=True)
    ]
    assert np.array_equal(log_p_student(t, df), one_by_one)


def test_scipy_agrees_where_it_can():
    t = np.linspace(-30, 30, 241)
    for df in (1, 4, 49, 999):
        assert np.exp(log_p_student(t, df)) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-11)
    assert np.exp(log_p_normal(t)) == pytest.approx(2 * stats.norm.sf(abs(t)), rel=1e-12)


def test_what_is_no_number():
    assert np.isnan(log_p_normal(np.nan)) and log_p_normal(-np.inf) == -np.inf
    assert log_p_normal(0.0) == log_p_student(0.0, 5) == 0 and not np.signbit(log_p_normal(0.0))
    assert np.array_equal(
        log_p_student([np.nan, 1, 1, 1, np.inf, np.inf], [5, np.nan, 0, -1, 5, np.nan]),
        [np.nan, np.nan, np.nan, np.nan, -np.inf, np.nan],
        equal_nan=True,
    )
    assert log_p_student(np.empty((0, 3)), 5).shape == (0, 3)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=30), st.integers(0, 3))
def test_corrections_equal_those_of_statsmodels(p, n_undefined):
    log_p = np.concatenate([np.log(p), np.full(n_undefined, np.nan)])
    for correct, method in ((bonferroni, "bonferroni"), (benjamini_hochberg, "fdr_bh")):
        found = correct(log_p)
        assert np.isnan(found[len(p) :]).all()
        assert np.exp(found[: len(p)]) == pytest.approx(multipletests(p, method=method)[1])


def test_families_are_columns():
    rng = np.random.default_rng(1)
    log_p = np.log(rng.random((20, 4)))
    log_p[rng.random((20, 4)) < 0.3] = np.nan
    log_p[:, 3] = np.nan
    for correct in (bonferroni, benjamini_hochberg):
        columns = [correct(column) for column in log_p.T]
        assert np.array_equal(correct(log_p), np.stack(columns, axis=1), equal_nan=True)
        assert correct(np.empty((0, 4))).shape == (0, 4)


def test_corrections_do_not_underflow():
    log_p = np.array([-2e6, -1e6, -3.0, -1.0])
    assert bonferroni(log_p) == pytest.approx(
        [-2e6 + np.log(4), -1e6 + np.log(4), -3 + np.log(4), 0]
    )
    assert benjamini_hochberg(log_p) == pytest.approx(
        [-2e6 + np.log(4), -1e6 + np.log(2), -3 + np.log(4 / 3), -1.0]
    )
