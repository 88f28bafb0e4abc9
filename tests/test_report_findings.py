"""Sentences of a report: every number in them is one of the table of inference."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from report_cases import CONTACT, drawn_result, key_class, value

from provis_fast.reporting import head_table, wording
from provis_fast.reporting.charts import _ticks, make_chart
from provis_fast.reporting.findings import Finding, findings
from provis_fast.reporting.focus import focus, in_focus
from provis_fast.statistics import PropertySpec

AMINO_ACIDS = key_class("amino_acid", *"ACDEF")


def told(result, unit="protein", confidence=0.95) -> list[Finding]:
    return findings(result, result.infer(confidence=confidence), focus(result, unit, confidence))


@pytest.fixture(scope="module")
def result():
    specs = (CONTACT, AMINO_ACIDS, value("hydrophobicity"))
    return drawn_result(specs, n_layers=6, n_heads=10, n_proteins=80)


def test_the_first_sentence_is_about_the_best_head_above_the_background(result):
    table = result.infer("contact")
    higher = table[(table["log_q"] < math.log(0.05)) & (table["excess"] > 0)]
    best = higher.sort_values("enrichment").iloc[-1]
    first = told(result)[0].first
    match = re.fullmatch(
        r"Head (\d+)-(\d+) attends to contacts most: ([\d.]+)% of its ([\d,]+) eligible arcs "
        r"\(cluster-robust 95% interval ([\d.]+)% to ([\d.]+)%\) join residues in contact, ([\d.]+)"
        r" times the background of ([\d.]+)%\.",
        first,
    )
    assert (int(match[1]), int(match[2])) == (best["layer"] + 1, best["head"] + 1)
    assert int(match[4].replace(",", "")) == best["eligible"]
    for group, name in ((3, "proportion"), (5, "low"), (6, "high"), (8, "background")):
        assert float(match[group]) == pytest.approx(100 * best[name], abs=0.051)
    assert float(match[7]) == pytest.approx(best["enrichment"], abs=0.051)
    assert told(result)[0].best == (best["layer"], best["head"])


def test_heads_are_counted(result):
    table = result.infer("contact")
    higher = (table["log_q"] < math.log(0.05)) & (table["excess"] > 0)
    lower = (table["log_q"] < math.log(0.05)) & (table["excess"] < 0)
    text = " ".join(told(result)[0].others)
    assert "60 of 60 heads have at least 100 eligible arcs" in text
    assert f"; {higher.sum()} of them are above the background and {lower.sum()} below it" in text
    layers = table[higher].groupby("layer").size()
    expected = wording.listed([f"{layer + 1} ({n})" for layer, n in layers.items()])
    assert f"Heads above the background stand in layers {expected}." in text


def test_classes_are_told_by_name(result):
    finding = told(result)[1]
    names = "alanine|cysteine|aspartate|glutamate|phenylalanine"
    assert re.match(rf"Head \d+-\d+ attends to ({names}) most: .* point at \1, ", finding.first)
    text = " ".join(finding.others)
    assert len(re.findall(rf"({names}) \(head ", text)) == 4
    table = result.infer("amino_acid")
    higher = table[(table["log_q"] < math.log(0.05)) & (table["excess"] > 0)]
    assert f"{len(higher.drop_duplicates(['layer', 'head']))} of them are above" in text
    assert f"C (cysteine): {(higher['class'] == 'C').sum()}" in text


def test_values_have_a_highest_and_a_lowest_head():
    finding = told(drawn_result([value("hydrophobicity")], n_proteins=80, favoured=0.5))[0]
    assert re.match(r"Head \d+-\d+ points at residues of the highest hydrophobicity", finding.first)
    assert "lead to a mean of" in finding.first and "times" not in finding.first


def test_the_confidence_is_that_of_the_intervals(result):
    narrow, wide = (told(result, confidence=c)[0].first for c in (0.5, 0.99))
    assert "50% interval" in narrow and "99% interval" in wide and narrow != wide


def test_nothing_is_claimed_without_evidence():
    result = drawn_result([CONTACT], n_layers=2, n_heads=3, n_proteins=10, favoured=0.0)
    finding = told(result)[0]
    assert finding.first.startswith("No head attends to contacts more than the background")
    assert "0 of them are above the background" in " ".join(finding.others)
    few = told(drawn_result([CONTACT, value("charge")], min_arcs=10**6, n_proteins=5))
    for finding in few:
        assert "nothing can be said" in finding.first and finding.best is None
        assert finding.chart is None


def test_what_is_known_nowhere_is_told(result):
    result = drawn_result([CONTACT, key_class("binding_site")])
    result.unknown = ("binding_site",)
    assert "Known for no residue" in told(result)[1].first


def test_few_proteins_are_cautioned_about():
    few, many = (told(drawn_result([CONTACT], n_proteins=n))[0].cautions for n in (20, 80))
    assert any("come from 20 proteins: with fewer than 50" in text for text in few)
    assert not any("fewer than 50" in text for text in many)
    clusters = told(drawn_result([CONTACT], n_proteins=20), unit="cluster")[0]
    assert any("20 clusters of proteins" in text for text in clusters.cautions)


def test_the_z_test_is_told_where_it_is_too_sure():
    bursts = drawn_result([CONTACT], n_layers=6, n_heads=10, n_proteins=10)
    table = bursts.infer("contact")
    by_arcs = table["log_p_z_bonferroni"] < math.log(0.05)
    only = by_arcs & ~(table["log_p_bonferroni"] < math.log(0.05))
    assert only.sum() > 1
    expected = f"{only.sum()} of {by_arcs.sum()} significant results of the paper's z-test"
    assert any(expected in text for text in told(bursts)[0].cautions)


def test_findings_are_about_the_papers_threshold_where_there_are_several():
    result = drawn_result([CONTACT], thresholds=(0.1, 0.3), scalar_threshold=False)
    about = focus(result, "protein", 0.95)
    assert about.threshold == 0.3
    rows = in_focus(result.infer(), about)
    assert (rows["threshold"] == 0.3).all() and len(rows) == 12
    other = drawn_result([CONTACT], thresholds=(0.1, 0.2), scalar_threshold=False)
    assert focus(other, "protein", 0.95).threshold == 0.1


def test_attention_alone_has_shares_and_no_test():
    result = drawn_result([CONTACT, value("charge")], weighting="attention")
    contact, charge = told(result)
    assert "of its attention, " in contact.first and "no test" in contact.cautions[0]
    assert "weighted by its attention the mean is" in charge.first


def test_a_table_that_is_too_long_keeps_what_matters(monkeypatch):
    specs = [CONTACT, key_class("kind", "a", "b")]
    result = drawn_result(specs, thresholds=(0.1, 0.3), scalar_threshold=False, min_arcs=900)
    monkeypatch.setattr(head_table, "MAX_ROWS", 20)
    table, about = result.infer(), focus(result, "protein", 0.95)
    assert table["proportion"].isna().sum() > 0
    kept = head_table._chosen(table, about)
    assert len(kept) == 20 and kept.index.is_monotonic_increasing
    defined = in_focus(table, about)["proportion"].notna().sum()
    assert in_focus(kept, about)["proportion"].notna().sum() == min(20, defined)
    _, left_out = head_table.head_table(result, table, about)
    assert left_out == len(table) - 20


@pytest.mark.parametrize(
    ("spec", "name", "target"),
    [
        (key_class("binding_site"), "binding_site", "binding sites"),
        (key_class("my_label"), "my_label", "residues with my_label"),
        (key_class("fold", "a", "b"), "a", "residues of class a (fold)"),
        (PropertySpec("separation", "separation", ("0", ">=24")), ">=24",
         "residues at least 24 positions away"),
        (PropertySpec("amino_acid_pair", "class_pair", ("C>C", "C>D", "D>C", "D>D")), "C>D",
         "pairs C>D"),
        (PropertySpec("amino_acid_query", "query_class", ("C", "D")), "C",
         "other residues from cysteine"),
    ],
)  # fmt: skip
def test_classes_in_words(spec, name, target):
    assert wording.words(spec, name).target == target


def test_numbers_in_words():
    assert wording.percent(0.694) == "69.4%" and wording.percent(0.0031) == "0.31%"
    assert wording.percent(0.00001) == "below 0.01%" and wording.percent(0.0) == "0.0%"
    assert wording.p_value(math.log(0.012)) == "0.012"
    assert wording.p_value(-1563.0) == "1.6e-679"
    assert wording.p_value(math.log(9.99e-10)) == "1.0e-9"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.ranges([1, 2, 3, 6]) == "1-3, 6"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.1, 4.7), (0.2, 0.21), (5, 5), (-1e6, 3)])
def test_ticks_cover_the_range_with_few_numbers(low, high):
    ticks = _ticks(low, high)
    assert ticks[0] <= low + 1e-9 and ticks[-1] >= high - 1e-9 and 2 <= len(ticks) <= 6


def test_charts_place_shares_on_their_axis(result):
    ranked = result.infer("contact").sort_values("enrichment", ascending=False)
    chart = make_chart(CONTACT, ranked, "95%")
    zero, one = chart.ticks[0].x, chart.ticks[-1].x
    assert chart.ticks[0].text == "0%"
    top = float(chart.ticks[-1].text.removesuffix("%")) / 100
    assert ranked["high"].iloc[:6].max() <= top <= 1
    for row, (_, numbers) in zip(chart.rows, ranked.iterrows(), strict=False):
        assert top * (row.x - zero) / (one - zero) == pytest.approx(numbers["proportion"], abs=1e-3)
        assert row.low <= row.x <= row.high
    assert np.all(np.diff([row.y for row in chart.rows]) > 0)
