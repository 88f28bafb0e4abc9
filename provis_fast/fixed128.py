"""Arrays of exact 128-bit integers, in NumPy.

Totals of a long run outgrow 64 bits: attention weights are counted in units of 2**-32, and the
per-protein moments are sums of products of such numbers. Integer addition commutes and associates,
so totals kept here are the same bits for any order of adding and any way of sharding.

An element is ``hi * 2**64 + lo`` with `hi` signed and `lo` unsigned (two's complement). Every
operation is vectorised; one that would leave the range raises instead of wrapping round.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from provis_fast.errors import ArgumentError, NumericalError

_LOW_32 = np.int64(0xFFFFFFFF)
_MASK_64 = (1 << 64) - 1


class Int128:
    """An array of signed 128-bit integers.

    Parameters
    ----------
    hi : int64 array
        Upper halves; carries the sign.
    lo : uint64 array
        Lower halves; the shape of `hi`.

    Raises
    ------
    ArgumentError
        Another dtype, or two shapes.
    """

    __slots__ = ("hi", "lo")

    def __init__(self, hi: NDArray[np.int64], lo: NDArray[np.uint64]):
        hi, lo = np.asarray(hi), np.asarray(lo)
        if hi.dtype != np.int64 or lo.dtype != np.uint64:
            raise ArgumentError(f"hi, lo: expected int64 and uint64, got {hi.dtype} and {lo.dtype}")
        if hi.shape != lo.shape:
            raise ArgumentError(f"hi, lo: expected one shape, got {hi.shape} and {lo.shape}")
        self.hi, self.lo = hi, lo

    @classmethod
    def zeros(cls, shape: int | tuple[int, ...]) -> Int128:
        """Zeros of `shape`."""
        return cls(np.zeros(shape, np.int64), np.zeros(shape, np.uint64))

    @classmethod
    def from_int64(cls, values: ArrayLike) -> Int128:
        """The same numbers, from an integer array (anything but uint64)."""
        values = np.asarray(values)
        if not np.can_cast(values.dtype, np.int64, "safe"):
            raise ArgumentError(f"values: expected integers that fit int64, got {values.dtype}")
        values = values.astype(np.int64)
        return cls(values >> np.int64(63), values.view(np.uint64))

    @classmethod
    def from_integers(cls, values: Any) -> Int128:
        """The same numbers, from (nested lists of) Python integers of any size.

        Raises
        ------
        NumericalError
            A number outside [-2**127, 2**127).
        """
        numbers = np.asarray(values, dtype=object)
        result = cls.zeros(numbers.shape)
        for index, number in np.ndenumerate(numbers):
            if not -(1 << 127) <= number < 1 << 127:
                raise NumericalError(f"values: {number} does not fit 128 bits")
            result.hi[index], result.lo[index] = number >> 64, number & _MASK_64
        return result

    @classmethod
    def from_float64(cls, values: ArrayLike, fraction_bits: int) -> Int128:
        """``round(values * 2**fraction_bits)``, halves to even.

        Raises
        ------
        NumericalError
            NaN, infinity, or a number of 2**63 units and more.
        """
        scaled = np.rint(np.ldexp(np.asarray(values, np.float64), fraction_bits))
        if not np.all(np.abs(scaled) < 2.0**63):  # also false for NaN
            raise NumericalError(
                f"values: expected finite numbers below 2**{63 - fraction_bits}; "
                "got NaN, infinity or a larger one"
            )
        return cls.from_int64(scaled.astype(np.int64))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.hi.shape

    def copy(self) -> Int128:
        return Int128(self.hi.copy(), self.lo.copy())

    def __getitem__(self, index: Any) -> Int128:
        return Int128(np.asarray(self.hi[index]), np.asarray(self.lo[index]))

    def __add__(self, other: Int128 | ArrayLike) -> Int128:
        other = other if isinstance(other, Int128) else Int128.from_int64(other)
        # In unsigned arithmetic wrapping round is defined; 0-d operands would warn about it.
        with np.errstate(over="ignore"):
            lo = np.asarray(self.lo + other.lo)
            carry = (lo < other.lo).astype(np.uint64)
            hi = np.asarray(self.hi.view(np.uint64) + other.hi.view(np.uint64) + carry)
        hi = hi.view(np.int64)
        if np.any(((self.hi ^ hi) & (other.hi ^ hi)) < 0):
            raise NumericalError("a total does not fit 128 bits any more: analyse in parts")
        return Int128(hi, lo)

    def add_(self, other: Int128 | ArrayLike) -> Int128:
        """Add in place. Nothing has changed when this raises.

        Raises
        ------
        NumericalError
            A sum outside 128 bits.
        """
        total = self + other
        self.hi[...], self.lo[...] = total.hi, total.lo
        return self

    def equals(self, other: Int128) -> bool:
        """Whether shape and every number are the same."""
        return np.array_equal(self.hi, other.hi) and np.array_equal(self.lo, other.lo)

    def to_int64(self) -> NDArray[np.int64]:
        """The same numbers as int64.

        Raises
        ------
        NumericalError
            One does not fit; `to_float64` and `to_integers` have no such limit.
        """
        low = self.lo.view(np.int64)
        if np.any(self.hi != low >> np.int64(63)):
            raise NumericalError("a total does not fit int64: read it with to_float64")
        return low.copy()

    def to_float64(self, fraction_bits: int = 0) -> NDArray[np.float64]:
        """``self * 2**-fraction_bits``, each number rounded once."""
        negative = self.hi < 0
        lo = self.lo ^ np.where(negative, ~np.uint64(0), np.uint64(0))
        hi = self.hi.view(np.uint64) ^ np.where(negative, ~np.uint64(0), np.uint64(0))
        with np.errstate(over="ignore"):
            lo = np.asarray(lo + negative.astype(np.uint64))
            hi = np.asarray(hi + (negative & (lo == 0)).astype(np.uint64))
        # Shift the magnitude right until it fits 64 bits. The bits that fall off are kept as one
        # sticky bit far below the 53 that a double holds, so that rounding happens only once.
        shift = np.frexp(hi.astype(np.float64))[1].astype(np.uint64)
        top = (hi << (np.uint64(64) - shift)) | (lo >> shift)
        sticky = (lo << (np.uint64(64) - shift)) != 0
        top |= (sticky & (shift > 0)).astype(np.uint64)
        magnitude = np.ldexp(top.astype(np.float64), shift.astype(np.int32) - fraction_bits)
        return np.where(negative, -magnitude, magnitude)

    def to_integers(self) -> NDArray[np.object_]:
        """The same numbers as an array of Python integers."""
        numbers = self.hi.astype(object) * (1 << 64) + self.lo.astype(object)
        return np.asarray(numbers, dtype=object)

    def __repr__(self) -> str:
        return f"Int128({self.to_integers().tolist()})"


def _shifted(values: Int128, bits: int) -> Int128:
    """``values << bits`` for 0 < bits < 64; the caller knows that the result fits."""
    left, right = np.uint64(bits), np.uint64(64 - bits)
    hi = (values.hi.view(np.uint64) << left) | (values.lo >> right)
    return Int128(np.asarray(hi).view(np.int64), np.asarray(values.lo << left))


def sum_int64(values: NDArray[np.int64]) -> Int128:
    """Exact sum over the first axis.

    Parameters
    ----------
    values : int64 [S, ...]
        S < 2**31.

    Returns
    -------
    Int128 [...]
    """
    if len(values) == 0 or values.size == 0:
        return Int128.zeros(values.shape[1:])
    if _bits(values) + len(values).bit_length() < 63:
        return Int128.from_int64(np.asarray(values.sum(axis=0)))
    high = Int128.from_int64(np.asarray((values >> np.int64(32)).sum(axis=0)))
    return _shifted(high, 32) + np.asarray((values & _LOW_32).sum(axis=0))


def sum_products(a: NDArray[np.int64], b: NDArray[np.int64]) -> Int128:
    """Exact sum of ``a * b`` over the first axis.

    Parameters
    ----------
    a, b : int64 [S, ...]
        One shape.

    Returns
    -------
    Int128 [...]

    Raises
    ------
    NumericalError
        Numbers so large that the sum might not fit 128 bits.
    """
    if a.shape != b.shape:
        raise ArgumentError(f"a, b: expected one shape, got {a.shape} and {b.shape}")
    if a.size == 0:
        return Int128.zeros(a.shape[1:])
    count_bits = len(a).bit_length()
    if _bits(a) + _bits(b) + count_bits > 126:
        raise NumericalError("a sum of products might not fit 128 bits: the counts are too large")
    return _sum_products(a, b, count_bits)


def _sum_products(a: NDArray[np.int64], b: NDArray[np.int64], count_bits: int) -> Int128:
    bits_a, bits_b = _bits(a), _bits(b)
    if bits_a + bits_b + count_bits < 63:
        return Int128.from_int64(np.asarray(np.einsum("s...,s...->...", a, b)))
    if bits_a > bits_b:
        a, b, bits_b = b, a, bits_a
    # Halve the longer factor, b = high * 2**half + low, until every partial sum fits int64.
    half = (bits_b + 1) // 2
    high = _sum_products(a, b >> np.int64(half), count_bits)
    return _shifted(high, half) + _sum_products(a, b & np.int64((1 << half) - 1), count_bits)


def _bits(values: NDArray[np.int64]) -> int:
    """Bits of the largest magnitude."""
    return max(int(values.max()), -int(values.min())).bit_length()
