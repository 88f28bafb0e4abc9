"""Intervals and tests from replicates."""

from __future__ import annotations

import analysis_cases
import numpy as np
import pytest

import provis_fast as pf
from provis_fast.inference import resampling

RESAMPLED = ["bootstrap_low", "bootstrap_high", "null_mean", "null_sd", "null_z", "log_p_null"]
PROPERTIES = ("amino_acid", "hydrophobicity", "separation")


@pytest.fixture(scope="module")
def result(esm):
    proteins = analysis_cases.random_proteins([40, 60, 25, 90, 33, 71], letters="ACDE")
    return pf.analyze(
        esm,
        proteins,
        PROPERTIES,
        (0.1, 0.3),
        weighting="both",
        min_arcs=150,
        bootstrap=40,
        permutations=19,
    )


def shares_of(result, kind, row):
    """Replicates of one row of the table [R], by the public arrays; None where there are none."""
    if row["property"] not in list(getattr(result, kind)):
        return None
    found = getattr(result, kind)[row["property"]]
    k = result.properties[result.index(row["property"])].classes.index(row["class"])
    if row["statistic"] == "mass":
        at = (slice(None), row["layer"], row["head"])
        return found.mass_sums[(*at, k)] / found.mass_known[at]
    theta = result.thresholds.index(row["threshold"])
    at = (slice(None), theta, row["layer"], row["head"])
    with np.errstate(invalid="ignore"):
        return found.counts[(*at, k)] / found.eligible[at]


def test_every_row_follows_from_its_replicates(result):
    table = result.infer(confidence=0.9)
    n_bootstrap = n_null = 0
    for _, row in table[table["proportion"].notna()].iterrows():
        bootstrap = shares_of(result, "bootstrap", row)
        low, high = np.quantile(bootstrap[~np.isnan(bootstrap)], [0.05, 0.95])
        assert row["bootstrap_low"] == pytest.approx(low)
        assert row["bootstrap_high"] == pytest.approx(high)
        n_bootstrap += 1
        null = shares_of(result, "permutations", row)
        if null is None:
            assert row["property"] == "separation" and row[RESAMPLED[2:]].isna().all()
            continue
        null = null[~np.isnan(null)]
        mean = null.mean()
        assert row["null_mean"] == pytest.approx(mean, rel=1e-12)
        assert row["null_sd"] == pytest.approx(null.std(ddof=1), rel=1e-9, abs=1e-15)
        if null.std() > 1e-12:
            wanted = (row["proportion"] - mean) / null.std(ddof=1)
            assert row["null_z"] == pytest.approx(wanted, rel=1e-9)
        distance = abs(row["proportion"] - mean)
        extreme = sum(abs(value - mean) >= distance * (1 - 1e-12) for value in null)
        assert row["log_p_null"] == pytest.approx(np.log((1 + extreme) / (len(null) + 1)))
        n_null += 1
    assert n_bootstrap > 100 and n_null > 100
    assert set(table["statistic"][table["null_z"].notna()]) == {"arcs", "mass"}


def test_nothing_where_there_is_nothing(result):
    table = result.infer()
    few = table["proportion"].isna()
    assert few.any() and table[few][RESAMPLED].isna().all().all()


def test_results_without_replicates(esm):
    result = pf.analyze(esm, analysis_cases.random_proteins([40, 60]), ["amino_acid"], 0.1)
    assert result.infer()[RESAMPLED].isna().all().all()


def test_percentiles_pass_over_replicates_without_arcs(monkeypatch):
    rng = np.random.default_rng(1)
    replicates = rng.random((30, 2, 3, 2))
    replicates[rng.random(replicates.shape) < 0.1] = np.nan
    replicates[:, 0, 0, 0] = np.nan
    replicates[1:, 0, 1, 0] = np.nan  # a single one is no interval
    whole = resampling.percentile_interval(replicates, 0.8)
    for index in np.ndindex(2, 3, 2):
        values = replicates[(slice(None), *index)]
        values = values[~np.isnan(values)]
        for found, level in zip(whole, (0.1, 0.9), strict=True):
            if len(values) < 2:
                assert np.isnan(found[index])
            else:
                assert found[index] == pytest.approx(np.quantile(values, level))
    monkeypatch.setattr(resampling, "_AT_A_TIME", 100)  # a few columns at a time
    assert np.array_equal(resampling.percentile_interval(replicates, 0.8), whole, equal_nan=True)


def test_null_that_does_not_vary():
    observed = np.array([[[0.5, 0.2, np.nan, 0.3]]])
    replicates = np.full((9, 1, 1, 4), 0.2)
    replicates[..., 3] = np.nan
    null = resampling.against_null(observed, replicates)
    assert np.array_equal(null.mean, [[[0.2, 0.2, np.nan, np.nan]]], equal_nan=True)
    assert np.array_equal(null.sd, [[[0.0, 0.0, np.nan, np.nan]]], equal_nan=True)
    assert np.isnan(null.z).all()
    wanted = np.array([[[0.1, 1.0, np.nan, np.nan]]])
    assert np.exp(null.log_p) == pytest.approx(wanted, nan_ok=True)
