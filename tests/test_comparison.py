"""Comparing two results: against loops over proteins in plain Python, and what is refused."""

from __future__ import annotations

import analysis_cases
import comparison_cases
import numpy as np
import pytest
from result_cases import Batch, empty_result, random_result
from scipy import stats

import provis_fast as pf
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.inference.comparison import HEAD_COLUMNS, MODEL_COLUMNS


def naive_estimate(y, n, nb):
    """Proportion and excess of a head with the contributions of its proteins; lists of numbers."""
    total, in_class, expected = sum(n), sum(y), sum(nb)
    p, e = in_class / total, (in_class - expected) / total
    of_p = [(yy - p * nn) / total for yy, nn in zip(y, n, strict=True)]
    of_e = [(yy - bb - e * nn) / total for yy, nn, bb in zip(y, n, nb, strict=True)]
    return p, e, of_p, of_e


def naive_difference(value, one, two):
    """Welch, paired t, or what is between: contributions by unit; (t, df, low, high)."""
    c = [len(x) / (len(x) - 1) for x in (one, two)]
    sums = {"a": [0.0, 0], "b": [0.0, 0], "both": [0.0, 0]}
    for name in {**one, **two}:
        kind = "both" if name in one and name in two else "a" if name in one else "b"
        moved = c[1] ** 0.5 * two.get(name, 0.0) - c[0] ** 0.5 * one.get(name, 0.0)
        sums[kind][0] += moved**2
        sums[kind][1] += 1
    sizes = {"a": len(one), "b": len(two), "both": min(len(one), len(two))}
    v = sum(square for square, _ in sums.values())
    df = v**2 / sum(
        square**2 / (number * (1 - 1 / sizes[kind]))
        for kind, (square, number) in sums.items()
        if number
    )
    reach = stats.t.ppf(0.975, df) * v**0.5
    return value / v**0.5, df, value - reach, value + reach


def test_independent_corpora_equal_a_loop_over_proteins():
    batches = [Batch.random(seed, n) for seed, n in ((1, 5), (2, 9))]
    a, b = empty_result(weighting="arcs"), empty_result(weighting="arcs")
    for result, batch, digests in (
        (a, batches[0], [1, 2, 3, 4, 5]),
        (b, batches[1], range(10, 19)),
    ):
        batch.add_to(result)
        result.protein_digests = np.array(digests, np.uint64)
    table = pf.compare(a, b, threshold=0.3)
    assert tuple(table.columns) == HEAD_COLUMNS
    assert table.attrs["overlap"] == "none" and set(table["covariance"]) == {"none"}
    assert len(table) == 2 * 3 * 5
    first = {"kind": (1, 2), "scale": (5, 6), "contact": (7, 8)}
    for row in table.itertuples(index=False):
        row = row._asdict()
        name, class_name = row["property"], row["_3"]
        eligible, channel = first[name]
        channel += "ABC".index(class_name) if name == "kind" else 0
        unit = 2**16 if name == "scale" else 1
        at = (1, (1, 3).index(row["layer"]), row["head"])
        found = []
        for batch in batches:
            n = batch.arc_counts[:, *at, eligible].tolist()
            y = (batch.arc_counts[:, *at, channel] / unit).tolist()
            found.append(naive_estimate(y, n, [0.0] * len(n)))
        one, two = (dict(enumerate(x[2], 100 * k)) for k, x in enumerate(found))
        t, df, low, high = naive_difference(found[1][0] - found[0][0], one, two)
        assert row["proportion_a"] == pytest.approx(found[0][0])
        assert row["difference"] == pytest.approx(found[1][0] - found[0][0])
        expected = [t, df, low, high]
        assert [row[x] for x in ("t", "df", "low", "high")] == pytest.approx(expected, rel=1e-6)
        p = 2 * stats.t.sf(abs(t), df)
        assert row["log_p"] == pytest.approx(np.log(p), rel=1e-6, abs=1e-9)
        assert (row["units_a"], row["units_b"]) == (5, 9)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Two checkpoints of one architecture on the same proteins, and the first on others too."""
    root = tmp_path_factory.mktemp("checkpoints")
    models = []
    for seed in (1, 2):
        folder = root / f"model{seed}"
        folder.mkdir()
        models.append(pf.load_model(analysis_cases.save_esm(folder, seed=seed), device="cpu"))
    proteins = comparison_cases.proteins()
    others = comparison_cases.proteins(seed=5, first=6)
    shared = [*proteins[6:], *others[4:]]  # p6 to p9 stand in both
    found = {}
    for name, model, corpus in (
        ("first", models[0], proteins),
        ("second", models[1], proteins),
        ("partly", models[0], shared),
    ):
        (root / name).mkdir()
        result = comparison_cases.analysed(model, corpus, root / name)
        found[name] = (result, root / name / "result")
    return found


def naive_table(one, two, name):
    """By layer, head and class: differences from the tables of single proteins; layers from 0."""
    tables = [
        pf.read_per_protein(folder, "counts", properties=name).to_pandas()
        for _, folder in (one, two)
    ]
    groups = [table.groupby(["layer", "head", "class"]) for table in tables]
    found = {}
    for key in groups[0].groups:
        sides = []
        for group in groups:
            rows = group.get_group(key)
            rows = rows[rows["eligible"] > 0]
            n, y = rows["eligible"].tolist(), rows["count"].tolist()
            if not n:
                sides.append(None)
                continue
            nb = [nn * bb for nn, bb in zip(n, rows["background"], strict=True)]
            p, e, of_p, of_e = naive_estimate(y, n, nb)
            ids = rows["protein"].tolist()
            few = min(sum(y), sum(n) - sum(y)) < 10
            sides.append(
                (p, e, dict(zip(ids, of_p, strict=True)), dict(zip(ids, of_e, strict=True)), few)
            )
        layer, head, class_name = key
        found[layer - 1, head - 1, class_name] = sides
    return found


@pytest.mark.parametrize("other", ["second", "partly"])
@pytest.mark.parametrize("name", ["secondary_structure", "contact", "separation"])
def test_shared_proteins_are_paired(checkpoints, other, name):
    one, two = checkpoints["first"], checkpoints[other]
    table = pf.compare(one[0], two[0], name, per_protein=(one[1], two[1]))
    assert table.attrs["matched"] and set(table["covariance"]) == {"estimated"}
    assert table.attrs["overlap"] == ("all" if other == "second" else "some")
    naive = naive_table(one, two, name)
    compared = 0
    for row in table.to_dict("records"):
        sides = naive[row["layer"], row["head"], row["class"]]
        if None in sides or any(len(side[2]) < 2 or side[4] for side in sides):
            continue
        a, b = sides
        assert row["units_shared"] == len(a[2].keys() & b[2].keys())
        for place, prefix, value in ((0, "", "difference"), (1, "excess_", "excess_difference")):
            expected = naive_difference(b[place] - a[place], a[place + 2], b[place + 2])
            got = [row[f"{prefix}{x}"] for x in ("t", "df", "low", "high")]
            assert row[value] == pytest.approx(b[place] - a[place], abs=1e-12)
            assert got == pytest.approx(expected, rel=1e-6, abs=1e-9)
            compared += 1
    assert compared >= 10


def test_a_pair_of_equal_corpora_is_a_paired_t_test():
    """All proteins in both and equally many arcs in each: the textbook's paired t."""
    rng = np.random.default_rng(1)
    n = np.full((12, 1, 1), 50)
    y = [rng.binomial(50, 0.4, (12, 1, 1)) for _ in range(2)]
    b = np.full(12, 0.1)
    sides = [comparison_cases.result_of(n, each, b) for each in y]
    from provis_fast.inference.comparison_contrasts import contrast
    from provis_fast.inference.comparison_estimates import UnitCounts, estimates
    from provis_fast.inference.comparison_ground import Part

    part, names = Part("arcs", 0.3, None, None), np.array([f"p{i:02}" for i in range(12)])
    found = [
        estimates(
            side, comparison_cases.CONTACT, part, None, 1,
            UnitCounts(names, n.astype(float), each[..., None].astype(float), n[..., None] * 0.1),
        )
        for side, each in zip(sides, y, strict=True)
    ]  # fmt: skip
    got = contrast(found[0].proportion, found[1].proportion)
    expected = stats.ttest_rel(y[1].ravel() / 50, y[0].ravel() / 50)
    assert (got.value / np.sqrt(got.variance)).item() == pytest.approx(expected.statistic)
    assert got.degrees.item() == pytest.approx(expected.df) and got.shared.item() == 12


def test_antisymmetric(checkpoints):
    one, two = checkpoints["first"], checkpoints["partly"]
    for per_protein in ((None, None), (one[1], two[1])):
        forth = pf.compare(one[0], two[0], per_protein=per_protein)
        back = pf.compare(two[0], one[0], per_protein=per_protein[::-1])
        for column in ("difference", "t", "excess_difference", "excess_t"):
            assert np.allclose(forth[column], -back[column], equal_nan=True, rtol=1e-9)
        for low, high in (("low", "high"), ("excess_low", "excess_high")):
            assert np.allclose(forth[low], -back[high], equal_nan=True, rtol=1e-9)
        for column in ("df", "log_p", "log_q", "excess_log_p"):
            assert np.allclose(forth[column], back[column], equal_nan=True, rtol=1e-6)
        for column in ("proportion", "units", "eligible", "background", "expected", "excess"):
            assert forth[f"{column}_a"].equals(back[f"{column}_b"])


def test_a_result_and_itself(checkpoints):
    result, folder = checkpoints["first"]
    table = pf.compare(result, result)
    assert set(table["covariance"]) == {"ignored"} and "conservative" in table.attrs["notes"][0]
    defined = table[table["difference"].notna()]
    assert len(defined) > 20 and (defined["difference"] == 0).all()
    tested = defined[defined["low"].notna()]
    assert len(tested) > 10 and np.allclose(tested["low"], -tested["high"])
    assert (tested["log_p"] == 0).all()
    paired = pf.compare(result, result, per_protein=(folder, folder))
    paired = paired[paired["difference"].notna()]
    assert (paired["difference"] == 0).all() and (paired["excess_difference"] == 0).all()
    # Nothing varies but where there are too few arcs of a class to say so.
    assert (paired["low"].isna() | (paired["log_p"] == 0)).all()


def test_a_class_without_arcs_is_not_certain():
    """None of 120 arcs where 1% are expected: the robust variance of A alone is 0."""
    n = [np.full((12, 1, 1), 10), np.full((400, 1, 1), 100)]
    rng = np.random.default_rng(3)
    y = [np.zeros((12, 1, 1), int), rng.binomial(100, 0.01, (400, 1, 1))]
    a, b = (
        comparison_cases.result_of(nn, yy, np.full(len(nn), 0.01))
        for nn, yy in zip(n, y, strict=True)
    )
    row = pf.compare(a, b).iloc[0]
    assert row["proportion_a"] == 0 and row["difference"] == pytest.approx(0.01, rel=0.1)
    assert row["log_p"] > np.log(0.2) and row["low"] < 0 < row["high"]
    assert row["excess_log_p"] > np.log(0.2)


def test_excess_from_sums_alone_is_no_surer_than_from_proteins(checkpoints):
    one, two = checkpoints["first"], checkpoints["second"]
    # Without a shared protein only the variances of each differ: give the second other names.
    table = pf.compare(one[0], two[0])
    for side, (result, folder) in zip("ab", (one, two), strict=True):
        from provis_fast.inference.comparison_estimates import estimates, read_units
        from provis_fast.inference.comparison_ground import Part

        part = Part("arcs", 0.3, None, None)
        for spec in result.properties:
            exact = estimates(result, spec, part, None, 1, read_units(folder, result, spec, part))
            bound = estimates(result, spec, part, None, 1, None)
            known = ~np.isnan(exact.excess.variance) & ~np.isnan(bound.excess.variance)
            assert known.sum() > 3
            got, least = bound.excess.variance[known], exact.excess.variance[known]
            assert (got >= least * (1 - 1e-6) - 1e-15).all()
            proportion = bound.proportion.variance
            assert np.allclose(proportion, exact.proportion.variance, equal_nan=True, rtol=1e-6)
            # The expected share of a protein is rounded to 2**-20 arcs in the sums.
            assert np.allclose(bound.expected, exact.expected, equal_nan=True, atol=1e-5)
        assert table[f"expected_{side}"].notna().any()


def test_mass_needs_single_proteins(tmp_path, esm):
    sides = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        proteins = comparison_cases.proteins(seed=number, first=20 * number)
        sides.append(
            (comparison_cases.analysed(esm, proteins, folder, weighting="both"), folder / "result")
        )
    (a, one), (b, two) = sides
    alone = pf.compare(a, b, "contact", statistic="mass")
    assert alone["difference"].notna().all() and alone["low"].isna().all()
    assert alone["units_a"].isna().all()
    table = pf.compare(a, b, "contact", statistic="mass", per_protein=(one, two))
    assert table["low"].notna().all() and (table["units_shared"] == 0).all()
    assert np.allclose(table["difference"], alone["difference"])
    assert set(pf.compare(a, b)["statistic"]) == {"arcs", "mass"}


def test_clusters_are_units(checkpoints):
    one, two = checkpoints["first"], checkpoints["second"]
    ids = pf.read_per_protein(one[1], "proteins")["protein"].to_pylist()
    table = pf.compare(
        one[0], two[0], "contact", unit="cluster", per_protein=(one[1], two[1]),
        clusters={name: f"c{number // 2}" for number, name in enumerate(ids)},
    )  # fmt: skip
    assert table["units_shared"].max() == 5 and table["low"].notna().any()
    assert (
        table.attrs["unit"] == "cluster" and "10 proteins in 5 clusters" in table.attrs["notes"][1]
    )
    alone = pf.compare(
        one[0], two[0], "contact", unit="cluster", per_protein=(one[1], two[1]),
        clusters={"p1": "x"},
    )  # fmt: skip
    single = pf.compare(one[0], two[0], "contact", per_protein=(one[1], two[1]))
    assert np.allclose(alone["t"], single["t"], equal_nan=True)
    with pytest.raises(ArgumentError, match="no column cluster"):
        pf.compare(one[0], two[0], "contact", unit="cluster", per_protein=(one[1], two[1]))


def test_corrections_are_over_the_heads_of_a_class():
    a, b = random_result(1, 6, weighting="arcs"), random_result(2, 6, weighting="arcs")
    table = pf.compare(a, b, "kind", threshold=0.1)
    from statsmodels.stats.multitest import multipletests

    for _, rows in table.groupby("class"):
        p = np.exp(rows["log_p"])
        assert np.allclose(np.exp(rows["log_q"]), multipletests(p, method="fdr_bh")[1])
        assert np.allclose(np.exp(rows["log_p_bonferroni"]), np.minimum(1, 6 * p))


def test_different_models_are_compared_by_summaries():
    a = random_result(1, 6, weighting="arcs")
    b = random_result(
        2, 6, weighting="arcs", model={"name": "other", "digest": "d2", "family": "bert"}
    )
    table = pf.compare(a, b, threshold=0.3)
    assert tuple(table.columns) == MODEL_COLUMNS and not table.attrs["matched"]
    of = table[(table["property"] == "kind") & (table["class"] == "B")].set_index("summary")
    for side, result in (("a", a), ("b", b)):
        p = result.proportion["kind"][1, ..., 1]
        assert of.loc["mean_proportion", side] == pytest.approx(p.mean())
        assert of.loc["max_proportion", side] == p.max()
        layer = result.layers[int(np.argmax(p) // 3)]
        assert of.loc["max_proportion", f"layer_{side}"] == layer
        assert of.loc["max_proportion", f"head_{side}"] == np.argmax(p) % 3
        weight = p.mean(axis=1)
        centre = (weight * np.array([1.5, 3.5]) / 4).sum() / weight.sum()
        assert of.loc["centre_of_gravity", side] == pytest.approx(centre)
        ratio = p.ravel() / result.background["kind"][1]
        assert of.loc["enrichment_median", side] == pytest.approx(np.median(ratio))
        inferred = result.infer("kind", threshold=0.3)
        inferred = inferred[(inferred["class"] == "B") & (inferred["excess"] > 0)]
        above = (inferred["log_q"] < np.log(0.05)).sum()
        assert of.loc["heads_above", side] == above and of.loc["heads", side] == 6
        # The interval of the best is that of infer's for the head.
        row = result.infer("kind", threshold=0.3)
        row = row[(row["class"] == "B") & (row["layer"] == layer)].iloc[int(np.argmax(p) % 3)]
        assert of.loc["max_proportion", f"{side}_low"] <= p.max()
        if 0 < row["low"] and row["high"] < 1:
            got = of.loc["max_proportion", [f"{side}_low", f"{side}_high"]].astype(float)
            assert got.tolist() == pytest.approx([row["low"], row["high"]], rel=1e-6)
    assert (table["difference"] - (table["b"] - table["a"])).abs().max() == 0


def test_single_proteins_tell_how_heads_vary_together(checkpoints):
    one, two = checkpoints["first"], checkpoints["second"]
    bound = pf.compare(one[0], two[0], "contact", matched=False)
    exact = pf.compare(one[0], two[0], "contact", matched=False, per_protein=(one[1], two[1]))
    for side in "ab":
        widths = [
            (t[f"{side}_high"] - t[f"{side}_low"])[t["summary"] == "mean_proportion"].item()
            for t in (exact, bound)
        ]
        assert 0 < widths[0] <= widths[1]
    assert np.allclose(bound["difference"], exact["difference"], equal_nan=True)
    # The mean of a naive loop: contributions of a protein to the mean over heads.
    naive = naive_table(one, two, "contact")
    n_heads = sum(len(sides[0][2]) > 1 for sides in naive.values() if sides[0])
    moved: dict[str, float] = {}
    for sides in naive.values():
        for name, value in sides[0][2].items() if len(sides[0][2]) > 1 else ():
            moved[name] = moved.get(name, 0.0) + value / n_heads
    g = len(moved)
    error = (g / (g - 1) * sum(value**2 for value in moved.values())) ** 0.5
    row = exact[exact["summary"] == "mean_proportion"].iloc[0]
    assert row["a"] - row["a_low"] == pytest.approx(stats.t.ppf(0.975, g - 1) * error)


def test_tables_of_another_result_are_refused(checkpoints):
    one, two, partly = (checkpoints[name] for name in ("first", "second", "partly"))
    with pytest.raises(ResultError, match="the sums over these proteins are not those"):
        pf.compare(one[0], two[0], per_protein=(two[1], two[1]))
    fewer = random_result(1)
    with pytest.raises(ResultError, match=r"no column 'eligible:scale'|of 10 proteins"):
        pf.compare(fewer, fewer, "scale", threshold=0.3, per_protein=(partly[1], partly[1]))


def test_a_background_of_another_corpus_is_the_same_for_every_protein():
    rng = np.random.default_rng(4)
    n, y = comparison_cases.drawn(rng, np.full(30, 0.3), 3)
    sides = []
    for share in (0.1, 0.2):
        options = {"background": [{"path": "other.fasta"}]}
        result = comparison_cases.result_of(n, y, np.zeros(30), compat="provis", options=options)
        totals = result.totals
        totals["background_num"].lo[...] = int(share * 30 * comparison_cases.RESIDUES)
        sides.append(result)
    table = pf.compare(*sides)
    assert (table["difference"] == 0).all()
    assert table["excess_a"].to_numpy() == pytest.approx(table["proportion_a"] - 0.1)
    assert table["excess_difference"].to_numpy() == pytest.approx(-0.1)
    # With one background for all the excess is as sure as the proportion.
    assert np.allclose(
        table["excess_high"] - table["excess_low"], table["high"] - table["low"], rtol=1e-9
    )


def test_fewer_arcs_than_either_asks_for_leave_both_undefined():
    rng = np.random.default_rng(0)
    n, y = comparison_cases.drawn(rng, np.full(8, 0.3), 2)
    n[..., 1], y[..., 1] = 5, 1  # 40 arcs of head 1
    a = comparison_cases.result_of(n, y, np.full(8, 0.2), min_arcs=1)
    b = comparison_cases.result_of(n, y, np.full(8, 0.2), min_arcs=41)
    table = pf.compare(a, b)
    assert table["proportion_a"].isna().tolist() == [False, True]
    assert a.min_arcs == 1 and dict((d[0], d[1:]) for d in table.attrs["differences"]) == {
        "min_arcs": ("1", "41")
    }


def test_replicates_tell_the_covariance_of_shared_proteins(tmp_path):
    """As the paired test does, and with no table of single proteins."""
    lengths = [30 + 7 * number % 60 for number in range(60)]
    sides = []
    for seed in (1, 2):
        for name in ("model", "run"):
            (tmp_path / f"{name}{seed}").mkdir()
        folder = analysis_cases.save_esm(tmp_path / f"model{seed}", seed=seed)
        result = comparison_cases.analysed(
            pf.load_model(folder, device="cpu"),
            comparison_cases.proteins(lengths),
            tmp_path / f"run{seed}",
            properties=("separation",),
            bootstrap=400,
        )
        sides.append((result, tmp_path / f"run{seed}" / "result"))
    (a, one), (b, two) = sides
    resampled = pf.compare(a, b)
    paired = pf.compare(a, b, per_protein=(one, two))
    assert (
        set(resampled["covariance"]) == {"bootstrap"}
        and "Bootstrap" in (resampled.attrs["notes"][0])
    )
    known = resampled["t"].notna() & paired["t"].notna()
    assert known.sum() >= 20
    # Variances of 400 replicates are less sure than those of the proteins.
    units = np.minimum(resampled["units_a"], resampled["units_b"])[known]
    assert resampled["df"][known].to_numpy() == pytest.approx(1 / (1 / (units - 1) + 1 / 399))
    ratio = (resampled["t"] / paired["t"])[known]
    assert ratio.median() == pytest.approx(1, abs=0.05) and (ratio - 1).abs().max() < 0.3
    widths = [(t["high"] - t["low"])[known] for t in (resampled, paired)]
    percentile = (resampled["bootstrap_high"] - resampled["bootstrap_low"])[known]
    assert (percentile / widths[1]).median() == pytest.approx(1, abs=0.1)
    models = [
        pf.compare(a, b, matched=False, per_protein=folders).set_index(["class", "summary"])
        for folders in ((None, None), (one, two))
    ]
    for name in ("mean_proportion", "centre_of_gravity"):
        found, exact = (t.xs(name, level="summary") for t in models)
        assert set(found["covariance"]) == {"bootstrap"}
        ratio = (found["high"] - found["low"]) / (exact["high"] - exact["low"])
        assert ratio.median() == pytest.approx(1, abs=0.1)
