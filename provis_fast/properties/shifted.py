"""Properties with their labels shifted along the chain: the null of a permutation test.

Shifted by s, residue i + s has what residue i had, and the last s residues' goes to the first s.
Whether something is known shifts along. A pair (i, j) becomes (i + s, j + s). What is left is how
much there is of each class and how it clusters; what is lost is where.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from provis_fast.properties.base import Property

# Pairs unpacked at a time: as bytes (512 KiB, set and valid) they stay near a core's L2 cache.
_BLOCK_PAIRS = 1 << 18


def is_shifted(prop: Property) -> bool:
    """Whether a shift changes a property: it does not change how far apart two residues are."""
    return prop.kind != "separation"


def with_shifted_rows(rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Labels or values as they are, then with each shift.

    Parameters
    ----------
    rows : ndarray [R, L]
    shifts : int array [M]

    Returns
    -------
    ndarray [(M + 1) R, L]

    Examples
    --------
    >>> with_shifted_rows(np.array([[7, 8, 9]]), np.array([1, 2]))
    array([[7, 8, 9],
           [9, 7, 8],
           [8, 9, 7]])
    """
    n_rows, n = rows.shape
    if not rows.size:
        return np.empty(((len(shifts) + 1) * n_rows, n), dtype=rows.dtype)
    taken = (np.arange(n) - np.append(0, shifts)[:, None]) % n  # [M + 1, L]
    return rows[:, taken].transpose(1, 0, 2).reshape(-1, n)


def with_shifted_maps(
    maps: Sequence[np.ndarray], shifts: np.ndarray, tokens: np.ndarray, n_tokens: int
) -> tuple[np.ndarray, ...]:
    """Bitmaps as they are, then with each shift.

    Parameters
    ----------
    maps : sequence of ndarray, int32 [2 * n_tokens * ceil(n_tokens / 32)]
        One for each pair property; see `provis_fast.kernel_data.PropertyBatch`.
    shifts : int array [M]
    tokens : int array [L]
        Tokens of the residues, ascending.
    n_tokens : int
        Of the sequence.

    Returns
    -------
    tuple of (M + 1) P arrays as in `maps`
    """
    shifted = [_shifted_maps(words, shifts, tokens, n_tokens) for words in maps]
    return (*maps, *(found[m] for m in range(len(shifts)) for found in shifted))


def _shifted_maps(
    words: np.ndarray, shifts: np.ndarray, tokens: np.ndarray, n_tokens: int
) -> np.ndarray:
    """The bitmaps of one property with each shift, int32 [M, words]; a few rows at a time."""
    n, n_words = len(tokens), -(-n_tokens // 32)
    bits = words.astype("<i4", copy=False).view(np.uint8).reshape(2, n_tokens, n_words * 4)
    result = np.zeros((len(shifts), 2, n_tokens, n_words * 4), dtype=np.uint8)
    step = max(1, _BLOCK_PAIRS // max(n, 1))
    place = slice(tokens[0], tokens[-1] + 1) if n and tokens[-1] - tokens[0] == n - 1 else tokens
    for begin in range(0, n, step):
        rows = np.arange(begin, min(begin + step, n))
        dense = np.unpackbits(bits[:, tokens[rows]], axis=2, bitorder="little")[:, :, place]
        twice = np.concatenate([dense, dense], axis=2)
        wide = np.zeros((2, len(rows), n_words * 32), dtype=np.uint8)
        for m, shift in enumerate(shifts.tolist()):
            wide[:, :, place] = twice[:, :, n - shift : 2 * n - shift]
            packed = np.packbits(wide, axis=2, bitorder="little")
            result[m][:, tokens[(rows + shift) % n]] = packed
    return result.reshape(len(shifts), -1).view("<i4").astype(np.int32, copy=False)
