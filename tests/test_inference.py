"""The table of inference, against plain loops over proteins."""

from __future__ import annotations

import itertools
import math

import inference_cases
import numpy as np
import pandas as pd
import pytest
from result_cases import PROPERTIES, Batch, empty_result, random_result
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

import provis_fast as pf
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.inference.table import COLUMNS

KEY = ["layer", "head", "property", "class", "statistic", "threshold"]


def result_of(batch: Batch, **changes) -> pf.HeadStatistics:
    result = empty_result(**changes)
    batch.add_to(result)
    return result


@pytest.fixture(scope="module")
def batch() -> Batch:
    return inference_cases.proteins(1, 12)


@pytest.fixture(scope="module")
def table(batch) -> pd.DataFrame:
    return pf.infer(result_of(batch))


def row_of(table, name, k, at, thresholds=(0.1, 0.3), layers=(1, 3)) -> pd.Series:
    theta, layer, head = at
    spec = next(spec for spec in PROPERTIES if spec.name == name)
    chosen = table[
        (table["layer"] == layers[layer])
        & (table["head"] == head)
        & (table["property"] == name)
        & (table["class"] == spec.classes[k])
        & (table["threshold"] == thresholds[theta])
    ]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_rows_are_those_of_the_result(batch, table):
    result = result_of(batch)
    assert tuple(table.columns) == COLUMNS
    plain = result.to_pandas()
    for name in (*KEY, "eligible", "count", "proportion", "background"):
        pd.testing.assert_series_equal(table[name], plain[name])
    pd.testing.assert_frame_equal(table, result.infer())
    notes = table.attrs.pop("notes")
    assert table.attrs == {"unit": "protein", "family": "class", "confidence": 0.95}
    table.attrs["notes"] = notes


@pytest.mark.parametrize(("name", "k"), [("kind", 0), ("kind", 2), ("scale", 0), ("contact", 0)])
@pytest.mark.parametrize("confidence", [0.95, 0.5])
def test_every_number_equals_that_of_a_plain_loop(batch, name, k, confidence):
    table = pf.infer(result_of(batch), name, confidence=confidence)
    for at in itertools.product(range(2), range(2), range(3)):
        row = row_of(table, name, k, at)
        wanted = inference_cases.naive(batch, name, k, at, confidence)
        for column, number in wanted.items():
            assert row[column] == pytest.approx(number, rel=1e-10, abs=1e-12), column
    if name == "scale":  # means are no proportions
        undefined = ["log_odds", "wald_low", "wilson_high", "z", "log_p_z", "log_p_z_bonferroni"]
        assert table[undefined].isna().all().all()


def test_robust_interval_is_that_of_a_regression_with_clustered_errors(batch):
    """A mean of arcs, by statsmodels: each arc is a row, and proteins are the clusters."""
    table = pf.infer(result_of(batch), ["kind", "contact"], statistic="arcs", confidence=0.9)
    for name, k, at in (("kind", 1, (0, 0, 0)), ("kind", 0, (1, 1, 2)), ("contact", 0, (0, 1, 1))):
        eligible, classes = inference_cases.CHANNEL_OF[name]
        n = batch.arc_counts[(slice(None), *at, eligible)]
        y = batch.arc_counts[(slice(None), *at, classes[k])]
        arcs = np.concatenate([np.arange(n_g) < y_g for n_g, y_g in zip(n, y, strict=True)])
        model = OLS(arcs.astype(float), np.ones(len(arcs)))
        groups = np.repeat(np.arange(len(n)), n)
        fit = model.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
        low, high = fit.conf_int(0.1)[0]
        row = row_of(table, name, k, at)
        assert row["proportion"] == pytest.approx(fit.params[0], rel=1e-12)
        assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-10)


def test_intervals_of_proportions_stay_within_0_and_1():
    batch = inference_cases.proteins(5, 3, arcs=10)
    table = pf.infer(result_of(batch, min_arcs=1)).dropna(subset=["low", "wald_low"])
    assert (table["low"] == 0).any()
    for name in ("wald", "wilson"):
        assert (table[f"{name}_low"] >= 0).all() and (table[f"{name}_high"] <= 1).all()
    assert (table["low"] >= 0).all() and (table["high"] <= 1).all()


@pytest.mark.parametrize("family", ["class", "all"])
def test_corrections(batch, family):
    result = result_of(batch)
    table = pf.infer(result, family=family)
    groups = [table] if family == "all" else [g for _, g in table.groupby(KEY[2:], dropna=False)]
    assert len(groups) == (1 if family == "all" else 15)
    n_tests = 0
    for group in groups:
        columns = {name: group[name].to_numpy() for name in COLUMNS[6:]}
        for source, target, method in (
            ("log_p_z", "log_p_z_bonferroni", "bonferroni"),
            ("log_p", "log_p_bonferroni", "bonferroni"),
            ("log_p", "log_q", "fdr_bh"),
        ):
            tested = ~np.isnan(columns[source])
            assert np.array_equal(~np.isnan(columns[target]), tested)
            if tested.any():
                wanted = multipletests(np.exp(columns[source][tested]), method=method)[1]
                assert np.exp(columns[target][tested]) == pytest.approx(wanted, rel=1e-12)
                n_tests += tested.sum()
    assert n_tests > 150


def test_mass_has_a_share_and_no_more(table):
    mass = table[table["statistic"] == "mass"]
    assert len(mass) == 2 * 3 * 5 and mass["threshold"].isna().all()
    known = ["eligible", "count", "proportion", "background", "enrichment"]
    assert mass[known].notna().all().all()
    of_classes = mass[mass["property"] != "scale"]
    ratio = of_classes["proportion"] / of_classes["background"]
    pd.testing.assert_series_equal(of_classes["enrichment"], ratio, check_names=False)
    assert mass[[name for name in COLUMNS[6:] if name not in known]].isna().all().all()


def test_choosing_rows(batch, table):
    result = result_of(batch)
    some = pf.infer(result, ["contact", "kind"], statistic="arcs", threshold=0.3)
    chosen = table["property"].isin(["contact", "kind"]) & (table["threshold"] == 0.3)
    pd.testing.assert_frame_equal(some, table[chosen].reset_index(drop=True))
    assert set(pf.infer(result, threshold=0.1)["statistic"]) == {"arcs"}
    assert set(pf.infer(result, statistic="mass")["statistic"]) == {"mass"}
    scalar = result_of(
        Batch(
            batch.arc_counts[:, 1:],
            batch.mass,
            batch.entropy,
            batch.background_num,
            batch.background_den,
        ),
        thresholds=(0.3,),
        scalar_threshold=True,
    )
    at_one = table[(table["threshold"] == 0.3) | table["threshold"].isna()]
    pd.testing.assert_frame_equal(pf.infer(scalar), at_one.reset_index(drop=True))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"properties": "charge"}, "no property 'charge' here, only kind, scale, contact"),
        ({"statistic": "both"}, "statistic: expected one of None, 'arcs', 'mass', got 'both'"),
        ({"threshold": 0.2}, "threshold: this result has 0.1, 0.3; got 0.2"),
        ({"threshold": 0.3, "statistic": "mass"}, "threshold: mass has none; got 0.3"),
        ({"unit": "residue"}, "unit: expected one of 'protein', 'cluster', got 'residue'"),
        ({"family": "heads"}, "family: expected one of 'class', 'all', got 'heads'"),
        ({"confidence": 95}, "confidence: expected a number between 0 and 1"),
        ({"clusters": {}}, 'clusters: expected only with unit="cluster"'),
        ({"unit": "cluster"}, "per_protein: .*--per-protein counts"),
    ],
)
def test_bad_arguments(batch, arguments, named):
    with pytest.raises(ArgumentError, match=named):
        pf.infer(result_of(batch), **arguments)


def test_what_a_result_does_not_hold(batch):
    arcs, mass = (result_of(batch, weighting=name) for name in ("arcs", "attention"))
    with pytest.raises(ResultError, match="mass: not part of this result"):
        arcs.infer(statistic="mass")
    with pytest.raises(ResultError, match="arcs: not part of this result"):
        mass.infer(statistic="arcs")
    with pytest.raises(ResultError, match=r"unit: .*this result has none"):
        mass.infer(unit="cluster", per_protein="somewhere")
    assert set(mass.infer()["statistic"]) == {"mass"}
    assert set(arcs.infer()["statistic"]) == {"arcs"}


def test_merged_results_are_as_good_as_pooled_ones():
    batch = inference_cases.proteins(3, 20)
    parts = []
    for number, which in enumerate((slice(0, 7), slice(7, 8), slice(8, 20))):
        parts.append(empty_result(inputs=[{"path": str(number), "sha256": str(number)}]))
        batch.part(which).add_to(parts[-1])
    merged = pf.infer(pf.merge(parts))
    pd.testing.assert_frame_equal(merged, pf.infer(result_of(batch)), check_exact=True)


def test_too_few_arcs_and_compat_provis(batch):
    eligible = batch.arc_counts[..., 1].sum(axis=0)  # [thetas, layers, heads]
    least = int(np.sort(eligible, axis=None)[4])
    for compat in (None, "provis"):
        table = pf.infer(result_of(batch, min_arcs=least, compat=compat), "kind")
        table = table[table["statistic"] == "arcs"]
        enough = table["eligible"] >= least if compat is None else table["eligible"] > least
        for name in ("t", "log_p", "log_q", "excess", "low", "z", "log_p_z", "wald_low"):
            assert table[name].notna().equals(enough), name
        assert table["units"].notna().all()
        assert table["proportion"].notna().equals(table["eligible"] >= least)
        # Heads without enough arcs are no tests.
        first = table[(table["class"] == "A") & (table["threshold"] == 0.1) & enough]
        corrected = np.minimum(first["log_p_z"] + math.log(len(first)), 0)
        pd.testing.assert_series_equal(first["log_p_z_bonferroni"], corrected, check_names=False)
    assert any("provis" in note for note in table.attrs["notes"])


def test_a_background_of_another_corpus(batch):
    from provis_fast.compat import replace_background

    result, other = result_of(batch), [1, 2, 3, 2**18, 5]
    before = result.infer()
    replace_background(result, other, [10, 8, 20])
    table = result.infer("kind", threshold=0.3)
    assert set(table["background"]) == {0.1, 0.2, 0.3}
    # Proteins are compared with their own background, the z-test with the one that was given.
    pd.testing.assert_series_equal(
        table["t"],
        before[(before["property"] == "kind") & (before["threshold"] == 0.3)]["t"],
        check_index=False,
    )
    row = table.iloc[0]
    pooled = (row["count"] + 1) / (row["eligible"] + 10)
    error = math.sqrt(pooled * (1 - pooled) * (1 / row["eligible"] + 1 / 10))
    assert row["z"] == pytest.approx((row["proportion"] - 0.1) / error)


def test_nothing_known_and_nothing_there():
    empty = empty_result()
    table = empty.infer()
    assert len(table) == len(empty.to_pandas()) and (table["units"].dropna() == 0).all()
    assert table[list(COLUMNS[8:19])].isna().all().all()
    assert table["t"].isna().all() and table["log_q"].isna().all()
    without = empty_result(properties=())
    table = without.infer()
    assert len(table) == len(without.to_pandas()) and table["t"].isna().all()
    assert without.infer([]).empty and tuple(without.infer([]).columns) == COLUMNS
    batch = inference_cases.proteins(4, 6)
    batch.background_den[:, 0] = batch.background_num[:, :3] = 0
    batch.arc_counts[..., 1:5] = 0
    table = result_of(batch).infer("kind")
    assert table[["background", "enrichment", "z", "t", "wilson_low"]].isna().all().all()


def test_one_protein_and_proteins_that_are_all_alike():
    one = inference_cases.proteins(6, 1, arcs=2000)
    table = result_of(one).infer("contact", statistic="arcs")
    assert (table["units"] == 1).all() and table["z"].notna().all()
    assert table[["t", "log_p", "low", "high", "excess_low"]].isna().all().all()
    assert table[["expected", "excess"]].notna().all().all()
    twice = Batch(*(np.concatenate([getattr(one, name)] * 2) for name in one.__dataclass_fields__))
    table = result_of(twice).infer("contact", statistic="arcs")
    assert (table["units"] == 2).all() and table["excess"].notna().all()
    assert table[["t", "log_p", "log_q", "low", "high", "excess_low"]].isna().all().all()


def rare(share: float, n_proteins: int, arcs: int, hits: int = 0) -> pf.HeadStatistics:
    """Contacts of `share` of the pairs, on average, and `hits` arcs on them, in one protein."""
    batch = inference_cases.proteins(9, n_proteins)
    batch.arc_counts[..., 7], batch.arc_counts[..., 8] = arcs, 0
    batch.arc_counts[0, ..., 8] = hits
    batch.background_den[:, 2] = 1_000_000
    # Shares that differ a little, so that a test is defined.
    wiggle = np.linspace(0.9, 1.1, n_proteins)
    batch.background_num[:, 4] = np.rint(1_000_000 * share * wiggle)
    return result_of(batch, min_arcs=1)


def test_a_class_that_no_arc_happens_to_be_in_is_not_avoided_for_certain():
    row = rare(0.0002, 50, 100).infer("contact", threshold=0.1).iloc[0]  # a single arc expected
    assert row["count"] == 0 and row["expected"] * row["eligible"] == pytest.approx(1, rel=0.01)
    error = math.sqrt(row["expected"] * (1 - row["expected"]) / row["eligible"])
    assert row["t"] == pytest.approx(row["excess"] / error, rel=1e-9)
    # exp(-1) of independent data sets have no such arc; unguarded, t is below -100.
    assert math.exp(row["log_p"]) == pytest.approx(0.32, abs=0.01)
    assert row["excess_low"] < -row["expected"] and row["excess_high"] > 0
    # Where a thousand are expected it is certain all the same.
    row = rare(0.2, 50, 100).infer("contact", threshold=0.1).iloc[0]
    assert row["t"] < -30
    # Ten arcs tell their own variance.
    row = rare(0.001, 50, 200, hits=10).infer("contact", threshold=0.1).iloc[0]
    robust = math.sqrt(50 * np.var([10, *[0] * 49] - np.linspace(0.9, 1.1, 50) * 0.2, ddof=1))
    assert row["t"] == pytest.approx(row["excess"] * row["eligible"] / robust, rel=1e-4)


def test_tests_of_rare_classes_are_told():
    notes = rare(0.001, 50, 100).infer("contact", statistic="arcs").attrs["notes"]
    assert len(notes) == 1 and notes[0].startswith(
        "12 of 12 tests expect fewer than 50 independent"
    )
    many = inference_cases.proteins(10, 200, arcs=400)
    many.arc_counts[..., 8] = np.random.default_rng(1).binomial(many.arc_counts[..., 7], 0.05)
    many.background_num[:, 4] = many.background_den[:, 2] // 20
    assert result_of(many).infer("contact").attrs["notes"] == []


def test_variances_do_not_cancel():
    """A billion arcs a protein that differ by one or two: floats would find nothing, or less."""
    batch = inference_cases.proteins(7, 5)
    batch.arc_counts[..., 7] = 2**31
    batch.arc_counts[..., 8] = 2**30 + np.array([0, 1, 2, 0, 1])[:, None, None, None]
    batch.background_num[:, 4], batch.background_den[:, 2] = 500, 1000
    table = result_of(batch).infer("contact", threshold=0.1)
    row = table.iloc[0]
    wanted = inference_cases.naive(batch, "contact", 0, (0, 0, 0))
    for name in ("t", "excess_low", "excess_high", "excess", "log_p"):
        assert row[name] == pytest.approx(wanted[name], rel=1e-12), name
    assert row["high"] - row["low"] == pytest.approx(wanted["high"] - wanted["low"], rel=1e-6)
    assert row["t"] == pytest.approx(0.8 / (np.std([0, 1, 2, 0, 1], ddof=1) / math.sqrt(5)))


def test_p_values_do_not_underflow():
    batch = inference_cases.proteins(8, 400, arcs=5000)
    batch.arc_counts[..., 8] = batch.arc_counts[..., 7] * 9 // 10
    table = result_of(batch).infer("contact", statistic="arcs")
    logs = table[["log_p", "log_p_z", "log_p_bonferroni", "log_p_z_bonferroni", "log_q"]]
    assert np.isfinite(logs).all().all()
    assert (table[["log_p_z", "log_p_z_bonferroni"]] < -1e6).all().all()  # exp(-745) is 0
    assert (table["t"] > 20).all() and (table["log_q"] < -150).all()


def test_random_results_of_any_numbers():
    for seed in range(3):
        table = random_result(seed).infer()
        assert not np.isinf(table[["t", "log_p", "z", "log_p_z"]]).any().any()
