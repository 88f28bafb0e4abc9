"""Bitmaps of residue pairs in the coordinates of a sequence's tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

#: Answers `rows(begin, end)` with (set, valid), both bool [end - begin, L].
PairRows = Callable[[int, int], tuple[np.ndarray, np.ndarray]]

# Pairs computed at a time: their float64 distances (256 KiB) stay in a core's L2 cache.
_BLOCK_PAIRS = 1 << 15


class PairLayout(NamedTuple):
    """Which pairs are counted, and where the bitmaps have them.

    Attributes
    ----------
    n_background : int
        The first residues of the protein, whose pairs are the background.
    tokens : ndarray, int64 [n]
        Tokens of the first n residues, whose pairs are in the bitmaps; n is at most n_background.
    n_tokens : int
        Tokens of the sequence.
    every_pair_known : bool
        Call every pair in the bitmaps valid; the background is not affected.
    """

    n_background: int
    tokens: np.ndarray
    n_tokens: int
    every_pair_known: bool

    @staticmethod
    def background_only(n: int) -> PairLayout:
        """Counts of the first n residues, and empty bitmaps."""
        return PairLayout(n, np.empty(0, np.int64), 0, False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the bitmaps in words of 32 bits: set and valid, queries, keys / 32."""
        return 2, self.n_tokens, -(-self.n_tokens // 32)


class PackedPairs(NamedTuple):
    """The bitmaps and background of one protein.

    Attributes
    ----------
    words : ndarray, int32 [2 * n_tokens * ceil(n_tokens / 32)]
        See `provis_fast.kernel_data.PropertyBatch`.
    n_set, n_valid : int
        Background: ordered pairs that have the property, and that are valid.
    """

    words: np.ndarray
    n_set: int
    n_valid: int


def pack_rows(rows: PairRows, layout: PairLayout) -> PackedPairs:
    """Pack a map that is computed a few rows at a time, so that it is never whole in memory."""
    tokens, n = layout.tokens, len(layout.tokens)
    _, n_tokens, n_words = layout.shape
    bits = np.zeros((2, n_tokens, n_words * 4), dtype=np.uint8)
    n_set = n_valid = 0
    for begin, end in _blocks(layout.n_background):
        is_set, valid = (part[:, : layout.n_background] for part in rows(begin, end))
        n_set += np.count_nonzero(is_set)
        n_valid += np.count_nonzero(valid)
        inside = tokens[begin : min(end, n)]
        if not len(inside):
            continue
        wide = np.zeros((2, len(inside), n_words * 32), dtype=bool)
        wide[0][:, tokens] = is_set[: len(inside), :n]
        wide[1][:, tokens] = True if layout.every_pair_known else valid[: len(inside), :n]
        bits[:, inside] = np.packbits(wide, axis=2, bitorder="little")
    words = bits.reshape(-1).view("<i4").astype(np.int32, copy=False)
    return PackedPairs(words, n_set, n_valid)


def _blocks(n: int) -> list[tuple[int, int]]:
    """Rows of an n x n map, cut into blocks of about `_BLOCK_PAIRS` pairs."""
    step = max(1, _BLOCK_PAIRS // max(n, 1))
    return [(begin, min(begin + step, n)) for begin in range(0, n, step)]
