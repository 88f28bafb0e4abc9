"""Whether tests of null data sets reject as often as they say; see benchmarks/calibration.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy import stats

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture
def calibration(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import calibration

    return calibration


def required(calibration):
    designs = [design for design in calibration.DESIGNS if design.required]
    assert any(design.rho >= 0.1 for design in designs)  # within-protein correlation is the point
    return designs


def test_the_t_test_keeps_its_level_and_the_z_test_does_not(calibration):
    n = 600
    for design in required(calibration):
        rates = calibration.calibrate(design, 60, n, seed=1)
        # A test whose level is 4 to 6% rejects so often, but for one time in 10,000.
        low, high = stats.binom.ppf(5e-5, n, 0.04) / n, stats.binom.isf(5e-5, n, 0.06) / n
        assert low <= rates["t_test"] <= high
        assert rates["undefined"] == 0 and rates["data_sets"] == n
        if design.rho >= 0.05:
            assert rates["z_test"] > 0.15 and rates["coverage_wilson"] < 0.8
            assert 0.88 < rates["coverage"] < 0.98


def test_a_wrong_variance_would_be_seen(calibration, monkeypatch):
    """Rejections do rise where the variance is too small: without correlation between arcs."""
    from provis_fast.inference import clusters

    right = clusters.excess_sums

    def halved(sums):
        total, spread = right(sums)
        return total, spread // 2

    monkeypatch.setattr(clusters, "excess_sums", halved)
    rates = calibration.calibrate(required(calibration)[1], 60, 600, seed=1)
    assert rates["t_test"] > 0.10


@pytest.mark.slow
def test_level_over_ten_thousand_null_data_sets(calibration):
    low, high = calibration.REQUIRED
    assert (low, high) == (0.04, 0.06)
    for design in required(calibration):
        for n_proteins in (50, 200, 1000):
            rates = calibration.calibrate(design, n_proteins, 10_000)
            assert low <= rates["t_test"] <= high, (design.name, n_proteins)
            assert design.rho < 0.05 or rates["z_test"] > 0.2


def test_the_stored_numbers_are_those_of_the_designs(calibration):
    stored = json.loads((BENCHMARKS / "results/epyc_zen5/calibration.json").read_text())
    named = {design.name: design for design in calibration.DESIGNS}
    assert {design["name"] for design in stored["designs"]} == set(named)
    for design in stored["designs"]:
        assert calibration.Design(**design) == named[design["name"]]
    low, high = calibration.REQUIRED
    kept = [
        low <= row["t_test"] <= high
        for row in stored["rates"]
        if named[row["design"]].required and row["proteins"] in calibration.REQUIRED_FOR
    ]
    assert len(kept) == 3 * len(required(calibration)) and all(kept)
    assert all(row["data_sets"] == 10_000 for row in stored["rates"])
