"""128-bit arrays against Python's own integers."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provis_fast.errors import ArgumentError, NumericalError
from provis_fast.fixed128 import Int128, sum_int64, sum_products

INT64 = st.integers(-(2**63), 2**63 - 1)
INT128 = st.integers(-(2**127), 2**127 - 1)


@given(st.lists(INT128, min_size=1, max_size=6))
def test_integers_come_back(numbers):
    assert Int128.from_integers(numbers).to_integers().tolist() == numbers


@given(st.lists(st.tuples(INT128, INT128), min_size=1, max_size=6))
def test_addition_is_that_of_integers(pairs):
    a, b = (Int128.from_integers(side) for side in zip(*pairs, strict=True))
    sums = [x + y for x, y in pairs]
    if all(-(2**127) <= total < 2**127 for total in sums):
        assert (a + b).to_integers().tolist() == sums
    else:
        before = a.copy()
        with pytest.raises(NumericalError, match="128 bits"):
            a.add_(b)
        assert a.equals(before)


@given(st.lists(INT64, max_size=9))
def test_sum_of_int64(numbers):
    assert sum_int64(np.array(numbers, dtype=np.int64)).to_integers().item() == sum(numbers)


@given(st.lists(st.tuples(INT64, INT64), max_size=9), st.integers(0, 63), st.integers(0, 63))
def test_sum_of_products(pairs, right_a, right_b):
    pairs = [(a >> right_a, b >> right_b) for a, b in pairs]
    a, b = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    try:
        total = sum_products(a, b)
    except NumericalError:
        assert right_a + right_b < 8  # refused only next to the limit
        return
    assert total.to_integers().item() == sum(x * y for x, y in pairs)


@given(INT128, st.integers(0, 80))
def test_to_float64_rounds_once(number, fraction_bits):
    (found,) = Int128.from_integers([number]).to_float64(fraction_bits)
    expected = Fraction(number, 2**fraction_bits)
    assert found == expected.numerator / expected.denominator  # int / int is correctly rounded


@pytest.mark.parametrize("number", [0, 1, -1, 2**53 + 1, 2**64, 2**64 - 1, -(2**64), 2**127 - 1])
def test_to_float64_of_edges(number):
    assert Int128.from_integers(number).to_float64() == float(number)
    assert Int128.from_integers(-number).to_float64() == float(-number)


@given(st.floats(-(2**20), 2**20))
def test_from_float64_rounds_to_even(value):
    (found,) = Int128.from_float64([value], 32).to_integers()
    assert found == round(Fraction(value) * 2**32)


@pytest.mark.parametrize("value", [math.nan, math.inf, 2.0**40])
def test_from_float64_refuses(value):
    with pytest.raises(NumericalError, match="finite numbers below"):
        Int128.from_float64([0.0, value], 32)


def test_to_int64_says_when_it_does_not_fit():
    numbers = [2**63 - 1, -(2**63)]
    assert Int128.from_integers(numbers).to_int64().tolist() == numbers
    for number in (2**63, -(2**63) - 1):
        with pytest.raises(NumericalError, match="to_float64"):
            Int128.from_integers([number]).to_int64()


def test_shapes_are_kept():
    values = np.arange(24).reshape(2, 3, 4)
    array = Int128.from_int64(values)
    assert array.shape == (2, 3, 4)
    assert np.array_equal(array[:, 1].to_int64(), values[:, 1])
    assert sum_int64(values).shape == (3, 4)
    assert sum_int64(values[:0]).equals(Int128.zeros((3, 4)))
    assert sum_products(values[:, :, :0], values[:, :, :0]).shape == (3, 0)


def test_bad_arguments_are_named():
    with pytest.raises(ArgumentError, match="hi, lo: expected int64 and uint64"):
        Int128(np.zeros(2), np.zeros(2))
    with pytest.raises(ArgumentError, match="one shape"):
        Int128(np.zeros(2, np.int64), np.zeros(3, np.uint64))
    with pytest.raises(ArgumentError, match="float64"):
        Int128.from_int64([1.5])
    with pytest.raises(ArgumentError, match="one shape"):
        sum_products(np.zeros(2, np.int64), np.zeros(3, np.int64))
