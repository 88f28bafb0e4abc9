"""Intervals of differences hold what they promise: many heads drawn from known shares."""

from __future__ import annotations

import comparison_cases
import numpy as np
import pytest

import provis_fast as pf
from provis_fast.inference.clusters import student_quantile
from provis_fast.inference.comparison_contrasts import contrast
from provis_fast.inference.comparison_estimates import UnitCounts, estimates
from provis_fast.inference.comparison_ground import Part

HEADS = 1500
PART = Part("arcs", 0.3, None, None)
#: Four standard errors of a coverage of 95% among `HEADS` heads.
MARGIN = 4 * (0.95 * 0.05 / HEADS) ** 0.5


class Corpora:
    """Two corpora whose proteins have shares of their own, and share some of the proteins."""

    def __init__(self, seed, sizes, shared, spread=2.0):
        rng = np.random.default_rng(seed)
        total = sum(sizes) - shared
        # A protein has its share in every head anew, the same in both corpora: they vary together.
        base = rng.beta(spread, 3 * spread, (total, HEADS))  # mean 1/4
        self.names = [np.arange(sizes[0]), np.arange(sizes[0] - shared, total)]
        self.b = rng.uniform(0.05, 0.15, total)
        self.true = (0.0, 0.0)
        self.sides = []
        for names in self.names:
            n, y = comparison_cases.drawn(rng, base[names], HEADS)
            self.sides.append((n, y, self.b[names]))

    def coverage(self, use_units: bool, excess: bool = False) -> float:
        """Share of 95% intervals that hold the true difference, which is 0."""
        found = []
        for (n, y, b), names in zip(self.sides, self.names, strict=True):
            result = comparison_cases.result_of(n, y, b)
            units = None
            if use_units:
                nb = n * np.rint(b * comparison_cases.RESIDUES)[:, None, None]
                nb = nb / comparison_cases.RESIDUES
                labels = np.array([f"p{name:06}" for name in names])
                units = UnitCounts(
                    labels, n.astype(float), y[..., None].astype(float), nb[..., None]
                )
            found.append(estimates(result, comparison_cases.CONTACT, PART, None, 1, units))
        sides = [x.excess if excess else x.proportion for x in found]
        got = contrast(*sides)
        reach = student_quantile(0.95, got.degrees) * np.sqrt(got.variance)
        return float((np.abs(got.value) <= reach).mean())


@pytest.mark.parametrize(
    ("sizes", "shared"), [((40, 80), 0), ((60, 60), 60), ((50, 70), 25), ((30, 80), 30)]
)
def test_intervals_hold_the_truth(sizes, shared):
    corpora = Corpora(sum(sizes) + shared, sizes, shared)
    assert corpora.coverage(use_units=True) == pytest.approx(0.95, abs=MARGIN)


def test_without_single_proteins_shared_ones_widen_intervals():
    corpora = Corpora(5, (60, 60), 60)
    assert corpora.coverage(use_units=False) > 0.99
    apart = Corpora(6, (60, 60), 0)
    assert apart.coverage(use_units=False) == pytest.approx(0.95, abs=MARGIN)


def test_excess_from_single_proteins_and_from_sums():
    corpora = Corpora(7, (60, 90), 0)
    assert corpora.coverage(use_units=True, excess=True) == pytest.approx(0.95, abs=MARGIN)
    assert corpora.coverage(use_units=False, excess=True) > 0.95 - MARGIN


def test_composition_alone_is_no_difference_of_excess():
    """Corpora of other composition: proportions differ, excesses do not."""
    rng = np.random.default_rng(8)
    results = []
    for low, high in ((0.05, 0.15), (0.25, 0.45)):
        b = rng.uniform(low, high, 100)
        b = np.rint(b * comparison_cases.RESIDUES) / comparison_cases.RESIDUES
        n, y = comparison_cases.drawn(rng, np.repeat(b[:, None], HEADS, axis=1), HEADS)
        results.append(comparison_cases.result_of(n, y, b))
    table = pf.compare(*results)
    assert (table["log_q"] < np.log(0.05)).all()
    rejected = (table["excess_log_p"] < np.log(0.05)).mean()
    assert rejected < 0.05 + MARGIN
    assert (table["excess_log_q"] < np.log(0.05)).mean() < 0.01


def test_rare_classes_are_not_found_by_luck():
    """Four arcs expected in the smaller corpus: no more false findings than promised."""
    rng = np.random.default_rng(9)
    results = []
    for size in (20, 300):
        n = np.full((size, 1, HEADS), 20)
        results.append(comparison_cases.result_of(n, rng.binomial(n, 0.01), np.full(size, 0.01)))
    table = pf.compare(*results)
    assert (table["log_p"] < np.log(0.05)).mean() < 0.05 + MARGIN
    assert (table["log_p"] < np.log(0.001)).mean() < 0.005
