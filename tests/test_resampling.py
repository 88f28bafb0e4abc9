"""Random numbers of proteins, and exact sums of replicates."""

from __future__ import annotations

import numpy as np
import pytest
import resampling_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from provis_fast.errors import ArgumentError
from provis_fast.fixed128 import Int128
from provis_fast.properties.shifted import with_shifted_maps, with_shifted_rows
from provis_fast.resampling import circular_shifts, poisson_weights
from provis_fast.running_sums import EXACT, RunningSum

EDGES = np.array([0, 1, 2**32, 2**63, 2**64 - 1], dtype=np.uint64)


def test_weights_and_shifts_are_those_of_plain_python():
    rng = np.random.default_rng(0)
    digests = np.concatenate([EDGES, rng.integers(0, 2**64, 300, dtype=np.uint64)])
    lengths = np.concatenate([[1, 2, 3, 2**31 - 1, 5], rng.integers(1, 2000, 300)])
    found = poisson_weights(digests, 7)
    shifts = circular_shifts(digests, lengths, 7)
    assert found.dtype == shifts.dtype == np.int64
    for s, (digest, n) in enumerate(zip(digests.tolist(), lengths.tolist(), strict=True)):
        assert found[s].tolist() == [cases.weight(digest, r) for r in range(7)]
        assert shifts[s].tolist() == [cases.shift(digest, n, r) for r in range(7)]
    # More replicates begin with the same ones; each protein is by itself.
    np.testing.assert_array_equal(poisson_weights(digests, 20)[:, :7], found)
    np.testing.assert_array_equal(poisson_weights(digests[::-1], 7)[::-1], found)
    assert poisson_weights(digests[:0], 3).shape == (0, 3)
    assert circular_shifts(digests, lengths, 0).shape == (305, 0)


def test_weights_are_poisson_and_independent():
    """100,000 draws: of proteins in one replicate, and of replicates of one protein."""
    digests = np.random.default_rng(1).integers(0, 2**64, 100_000, dtype=np.uint64)
    of_proteins, next_replicate = poisson_weights(digests, 2).T
    of_replicates = poisson_weights(digests[:1], 100_000)[0]
    expected = stats.poisson(1).pmf(np.arange(7))
    expected = np.append(expected, 1 - expected.sum()) * 100_000
    for weights in (of_proteins, next_replicate, of_replicates):
        assert weights.mean() == pytest.approx(1, abs=4 / 100_000**0.5)
        assert weights.var() == pytest.approx(1, abs=4 * (3 / 100_000) ** 0.5)
        seen = np.bincount(np.minimum(weights, 7), minlength=8)
        assert stats.chisquare(seen, expected).pvalue > 1e-4
    for one, other in ((of_proteins, next_replicate), (of_replicates[1:], of_replicates[:-1])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / 100_000**0.5


@pytest.mark.parametrize("n", [2, 3, 17, 300])
def test_shifts_are_uniform(n):
    digests = np.random.default_rng(2).integers(0, 2**64, 1000, dtype=np.uint64)
    shifts = circular_shifts(digests, np.full(1000, n), 100)
    assert (shifts.min(), shifts.max()) == (1, n - 1)
    if n > 2:
        assert stats.chisquare(np.bincount(shifts.ravel(), minlength=n)[1:]).pvalue > 1e-4
        # Weights and shifts of a protein have nothing to do with each other.
        weights = poisson_weights(digests, 100)
        assert abs(np.corrcoef(weights.ravel(), shifts.ravel())[0, 1]) < 0.015


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(0, 3), st.integers(0, 3), st.data())
def test_shifted_labels_and_maps_are_rolled(n, before, after, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    shifts = rng.integers(0, n, 3)
    rows = rng.integers(-1, 5, (2, n)).astype(np.int16)
    found = with_shifted_rows(rows, shifts)
    assert found.dtype == np.int16
    rolled = [np.roll(rows, s, axis=1) for s in (0, *shifts)]
    np.testing.assert_array_equal(found, np.concatenate(rolled))
    assert with_shifted_rows(rows[:0], shifts).shape == (0, n)

    n_tokens = before + n + after
    words = -(-n_tokens // 32)
    tokens = np.arange(before, before + n)
    if data.draw(st.booleans()):  # residues with gaps between them
        n_tokens *= 2
        words, tokens = -(-n_tokens // 32), 2 * tokens

    def packed(dense):
        wide = np.zeros((2, n_tokens, words * 32), dtype=bool)
        wide[np.ix_([0, 1], tokens, tokens)] = dense
        return np.packbits(wide, axis=2, bitorder="little").reshape(-1).view(np.int32)

    maps = rng.random((2, 2, n, n)) < 0.3  # two properties: set, valid
    found = with_shifted_maps([packed(dense) for dense in maps], shifts, tokens, n_tokens)
    assert len(found) == 8
    for m, s in enumerate((0, *shifts)):
        for p, dense in enumerate(maps):
            expected = packed(np.roll(dense, (s, s), axis=(1, 2)))
            np.testing.assert_array_equal(found[2 * m + p], expected)


def test_maps_are_shifted_a_few_rows_at_a_time(monkeypatch):
    rng = np.random.default_rng(3)
    words = rng.integers(-(2**31), 2**31, 2 * 45 * 2).astype(np.int32)
    given_as = ([words], np.array([7, 39]), np.arange(2, 43), 45)
    whole = with_shifted_maps(*given_as)
    monkeypatch.setattr("provis_fast.properties.shifted._BLOCK_PAIRS", 100)
    for one, other in zip(whole, with_shifted_maps(*given_as), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("largest", [10, 2**40, 2**52, 2**62])
def test_running_sums_are_exact(largest):
    """Whether float64 holds them for long, for one addition, or not at all."""
    rng = np.random.default_rng(4)
    running = RunningSum(Int128.zeros((3, 2, 4)))
    plain = RunningSum(Int128.from_integers(np.full((2, 4), -5)))
    expected = np.zeros((3, 2, 4), dtype=object)
    summed = np.full((2, 4), -5, dtype=object)
    for step in range(12):
        n = int(rng.integers(0, 4))
        weights = rng.integers(0, 6, (n, 3))
        values = rng.integers(-largest, largest, (n, 2, 4))
        commits = [running.product(weights, values), plain.total(values)]
        for commit in commits:
            commit()
        for s in range(n):
            for r in range(3):
                expected[r] += int(weights[s, r]) * values[s].astype(object)
            summed += values[s].astype(object)
        if step % 5 == 0:  # in between, they may be looked at
            assert running.settled().equals(Int128.from_integers(expected))
    assert running.settled().equals(Int128.from_integers(expected))
    assert plain.settled().equals(Int128.from_integers(summed))
    assert EXACT == 2**53


def test_nothing_is_added_before_all_is_prepared():
    running = RunningSum(Int128.zeros((2, 1)))
    running.product(np.ones((1, 2), np.int64), np.ones((1, 1), np.int64))
    running.total(np.ones((1, 2, 1), np.int64))
    assert running.settled().equals(Int128.zeros((2, 1)))


def test_a_bootstrap_needs_to_know_the_proteins():
    from result_cases import Batch, empty_result

    result = empty_result(n_bootstrap=3)
    before = result.copy()
    batch = Batch.random(1)
    arguments = (batch.arc_counts, batch.mass, batch.entropy)
    arguments += (batch.background_num, batch.background_den, 300)
    for digests in (None, np.arange(3), np.arange(2, dtype=np.uint64)):
        with pytest.raises(ArgumentError, match=r"digests: expected uint64 \[3\]"):
            result.add(*arguments, digests)
        assert result.equals(before)
    result.add(*arguments, np.arange(3, dtype=np.uint64))
    assert not result.equals(before) and result.analysed == 3
