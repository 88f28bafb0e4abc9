"""Comparing heads with published ones, and amino acids with BLOSUM62: from made-up counts."""

from __future__ import annotations

import numpy as np
import pytest

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins.record import AMINO_ACIDS
from provis_fast.reproduction import (
    PUBLISHED_MODELS,
    amino_acid_similarity,
    published,
    published_heads,
)
from provis_fast.reproduction.comparison import best_heads, check_shape, compare
from provis_fast.reproduction.published_heads import PublishedProperty, published_name
from provis_fast.similarity import correlation
from provis_fast.statistics import HeadStatistics, PropertySpec

LAYERS, HEADS = 3, 4
READING = 0.002


def result_of(counts, eligible, classes=("site",), name="site") -> HeadStatistics:
    """Statistics of S proteins: [S, layers, heads(, classes)] of [S, layers, heads] arcs."""
    counts, eligible = np.asarray(counts), np.asarray(eligible)
    counts = counts.reshape(*eligible.shape, len(classes))
    n_proteins, n_layers, n_heads = eligible.shape
    result = HeadStatistics.empty(
        range(n_layers),
        n_layers,
        n_heads,
        (0.3,),
        True,
        (PropertySpec(name, "key_class", tuple(classes)),),
        compat="provis",
    )
    channels = np.concatenate([eligible[..., None], eligible[..., None], counts], axis=-1)
    numerators = np.full((n_proteins, len(classes)), 5)
    denominators = np.full((n_proteins, 1), 100)
    result.add(channels[:, None].astype(np.int64), None, None, numerators, denominators, 1)
    return result


def random_result(n_proteins=40, seed=0) -> HeadStatistics:
    rng = np.random.default_rng(seed)
    eligible = rng.integers(5, 40, (n_proteins, LAYERS, HEADS))
    return result_of(rng.binomial(eligible, rng.random((n_proteins, 1, 1))), eligible)


def published_as(proportion, top_heads=((0, 1), (2, 3)), background=0.04) -> PublishedProperty:
    reading = np.full(np.shape(proportion), READING)
    return PublishedProperty(np.asarray(proportion), reading, top_heads, background)


def test_the_error_is_that_of_repeated_draws():
    """Draw twice from a population, many times over: the difference varies as the formula says."""
    rng = np.random.default_rng(5)
    population, k, draws = 300, 100, 1500
    n = rng.integers(1, 60, population)
    y = rng.binomial(n, rng.beta(1, 3, population))
    differences, errors = [], []
    for _ in range(draws):
        ours, theirs = (rng.choice(population, k, replace=False) for _ in range(2))
        result = result_of(y[ours].reshape(-1, 1, 1), n[ours].reshape(-1, 1, 1))
        share = y[theirs].sum() / n[theirs].sum()
        row = _alone(result, share, population, k)
        differences.append(row.difference)
        errors.append(row.error)
    spread = 2 * np.std(differences)
    assert abs(np.mean(errors) / spread - 1) < 0.08
    within = np.mean(np.abs(differences) <= errors)
    assert 0.92 < within < 0.98


def _alone(result, share, population, theirs):
    from unittest import mock

    property_ = PublishedProperty(np.array([[share]]), np.zeros((1, 1)), (), np.nan)
    with mock.patch("provis_fast.reproduction.comparison.PUBLISHED_PROTEINS", theirs):
        return compare(result, "site", "site", property_, population).rows[0]


def test_rows_ranks_and_summary():
    result = random_result()
    ours = result.proportion["site"][..., 0]
    theirs = np.clip(ours + 0.001, 0, 1)
    theirs[0, 1] = ours[0, 1] + 0.9
    found = compare(result, "site", "site", published_as(theirs))
    assert [row.rank for row in found.rows[:10]] == list(range(1, 11))
    shares = [row.proportion for row in found.rows[:10]]
    assert shares == sorted(shares, reverse=True)
    assert {(row.layer, row.head): row.published_rank for row in found.rows}[0, 1] == 1
    row = next(row for row in found.rows if (row.layer, row.head) == (0, 1))
    assert row.within is False and row.difference == pytest.approx(-0.9)
    assert sum(row.within is False for row in found.rows) == 1
    assert found.background == 0.05 and found.published_background == 0.04
    assert (found.n_heads, found.n_told, found.n_within) == (12, 12, 11)
    keep = np.isfinite(ours)
    assert found.correlation == pytest.approx(np.corrcoef(ours[keep], theirs[keep])[0, 1])


def test_the_same_file_of_fewer_proteins_leaves_reading_errors_alone():
    result = random_result(n_proteins=40)
    ours = result.proportion["site"][..., 0]
    found = compare(result, "site", "site", published_as(ours), n_population=40)
    assert all(row.error == pytest.approx(READING) for row in found.rows)
    other = compare(result, "site", "site", published_as(ours))
    assert all(row.error > 2 * READING for row in other.rows)


def test_undefined_heads_and_fewer_than_ten():
    eligible = np.full((4, LAYERS, HEADS), 20)  # 80 arcs: too few
    eligible[:, 0, 1] = 50
    eligible[:, 0, 2] = 25  # just 100: in the matrix, not among the best
    theirs = np.full((LAYERS, HEADS), np.nan)
    theirs[2, 3] = 0.5
    found = compare(result_of(eligible // 5, eligible), "site", "site", published_as(theirs))
    assert [(row.layer, row.head) for row in found.rows] == [(0, 1), (2, 3)]
    best, other = found.rows
    assert best.rank == 1 and best.within is None and np.isnan(best.difference)
    assert best.published_rank == 1 and np.isnan(best.published)
    assert other.rank is None and np.isnan(other.proportion) and other.published == 0.5
    assert found.n_heads == 0 and np.isnan(found.correlation)
    nothing = compare(result_of(eligible // 5, eligible), "site", "site")
    assert [(row.layer, row.head) for row in nothing.rows] == [(0, 1)]
    assert np.isnan(nothing.published_background)


def test_one_protein_tells_no_error():
    eligible = np.full((1, LAYERS, HEADS), 200)
    theirs = np.full((LAYERS, HEADS), 0.25)
    found = compare(result_of(eligible // 4, eligible), "site", "site", published_as(theirs))
    assert all(row.difference == 0 and row.within is None for row in found.rows)
    assert (found.n_heads, found.n_told, found.n_within) == (12, 0, 0)


def test_of_equals_the_later_head_comes_first():
    shares = np.array([[0.2, 0.5], [0.5, np.nan]])
    arcs = np.array([[101, 500], [500, 500]])
    assert best_heads(shares, arcs, 100) == [(1, 0), (0, 1), (0, 0)]
    assert best_heads(shares, arcs, 101) == [(1, 0), (0, 1)]
    assert best_heads(shares, arcs, 100, k=1) == [(1, 0)]


def test_another_shape_is_refused():
    check_shape(12, 12, published("tape-bert"))
    with pytest.raises(ArgumentError, match="12 layers x 12 heads, but this model has 6 x 20"):
        check_shape(6, 20, published("tape-bert"))


def test_correlation_of_too_little_is_undefined():
    one = np.array([1.0, 2.0, 4.0])
    assert correlation(one, 3 * one) == pytest.approx(1)
    assert np.isnan(correlation(one[:2], one[:2]))
    assert np.isnan(correlation(one, np.ones(3)))
    assert np.isnan(correlation(np.array([]), np.array([])))


def test_published_numbers_agree_with_themselves():
    for name in PUBLISHED_MODELS:
        model = published(name)
        assert set(model.properties) == {"contact", "binding_site", "modification"}
        for prop in model.properties.values():
            assert prop.proportion.shape == (model.n_layers, model.n_heads)
            assert len(set(prop.top_heads)) == 10
            shares = [prop.proportion[place] for place in prop.top_heads]
            assert shares == sorted(shares, reverse=True)
            rest = prop.proportion.copy()
            for place in prop.top_heads:
                rest[place] = np.nan
            # No other head is better than the tenth by more than can be misread.
            assert np.nanmax(rest) <= shares[-1] + prop.reading.max()
            assert 0 < prop.background < 0.05
            assert 0 <= np.nanmin(prop.proportion) and np.nanmax(prop.proportion) < 0.7
    shapes = {
        name: (published(name).n_layers, published(name).n_heads) for name in PUBLISHED_MODELS
    }
    assert shapes == {
        "tape-bert": (12, 12),
        "prot_bert": (30, 16),
        "prot_bert_bfd": (30, 16),
        "prot_albert": (12, 64),
        "prot_xlnet": (30, 16),
    }
    values = [published(name).blosum62 for name in PUBLISHED_MODELS]
    assert values == [0.727, 0.675, 0.745, None, 0.712]


def test_published_numbers_are_those_that_were_read_off(shared):
    import json

    golden = json.loads((shared / "golden" / "provis_published_heads.json").read_text())
    names = {"contact": "contact", "binding_site": "sites", "modification": "modifications"}
    for model in PUBLISHED_MODELS:
        for name, prop in published(model).properties.items():
            read = golden[f"{names[name]}/{model.replace('-', '_')}"]
            expected = np.array(read["heat_pct"], dtype=float)
            for label, percent in read["top10"]:
                layer, head = map(int, label.split("-"))
                expected[layer - 1, head - 1] = percent
            np.testing.assert_allclose(prop.proportion, expected / 100, rtol=1e-12)
            assert prop.background == pytest.approx(read["background_pct"] / 100)


def test_names_of_the_papers_models():
    assert published_name("Rostlab/prot_bert_bfd") == "prot_bert_bfd"
    assert published_name("/models/TAPE-BERT") == "tape-bert"
    assert published_name("facebook/esm2_t6_8M_UR50D") is None
    with pytest.raises(ArgumentError, match="model_name"):
        published("prot_t5")


def similarity_counts(profiles: np.ndarray, arcs: int = 2000) -> HeadStatistics:
    """One protein whose heads point at the 20 letters with these shares, [heads, 20]."""
    counts = np.rint(profiles * arcs).astype(np.int64)[None, None]  # [1, 1, heads, 20]
    eligible = np.full(counts.shape[:3], arcs)
    return result_of(counts, eligible, tuple(AMINO_ACIDS), "amino_acid")


def test_similarity_against_its_formula():
    from Bio.Align import substitution_matrices

    rng = np.random.default_rng(1)
    found = amino_acid_similarity(similarity_counts(rng.dirichlet(np.ones(20), 30)), 0.7)
    result = similarity_counts(np.random.default_rng(1).dirichlet(np.ones(20), 30))
    shares = result.counts["amino_acid"][0] / result.eligible["amino_acid"][0][:, None]
    matrix = substitution_matrices.load("BLOSUM62")
    ours, theirs = [], []
    for i in range(20):
        for j in range(i):
            ours.append(np.corrcoef(shares[:, i], shares[:, j])[0, 1])
            theirs.append(matrix[AMINO_ACIDS[i]][AMINO_ACIDS[j]])
            assert found.similarity[i, j] == found.similarity[j, i] == pytest.approx(ours[-1])
    assert len(ours) == found.n_pairs == 190 and found.n_heads == 30
    assert found.correlation == pytest.approx(np.corrcoef(ours, theirs)[0, 1])
    assert found.published == 0.7 and np.isnan(np.diag(found.similarity)).all()


def test_heads_that_attend_by_blosum62_correlate_with_it():
    from Bio.Align import substitution_matrices

    matrix = substitution_matrices.load("BLOSUM62")
    similar = np.array([[matrix[x][y] for y in AMINO_ACIDS] for x in AMINO_ACIDS], float)
    profiles = np.exp(0.7 * similar)
    profiles /= profiles.sum(axis=1, keepdims=True)
    found = amino_acid_similarity(similarity_counts(profiles, 10**6))
    assert found.correlation > 0.6 and found.published is None
    others = np.random.default_rng(0).permutation(20)
    mixed_up = amino_acid_similarity(similarity_counts(profiles[:, others], 10**6))
    assert abs(mixed_up.correlation) < 0.25


def test_similarity_of_too_little():
    profiles = np.random.default_rng(2).dirichlet(np.ones(20), 8)
    profiles[:, 0] = 0  # nobody looks at alanine
    found = amino_acid_similarity(similarity_counts(profiles))
    assert found.n_pairs == 171 and np.isnan(found.similarity[0]).all()
    assert np.isfinite(found.correlation)
    nobody = amino_acid_similarity(similarity_counts(profiles, arcs=50))
    assert (nobody.n_heads, nobody.n_pairs) == (0, 0) and np.isnan(nobody.correlation)


def test_numbers_of_another_format_are_refused(monkeypatch):
    monkeypatch.setattr(published_heads, "_FORMAT_VERSION", 2)
    with pytest.raises(InputError, match=r"heads\.json: expected format .* version 2, got .* 1;"):
        published.__wrapped__("tape-bert")
