"""Random numbers of a protein: how often a replicate draws it, how far its labels are shifted.

They follow from the protein's digest (64 bits of BLAKE2b over id and sequence, see
`provis_fast.plan.protein_digest`) and the number of the replicate, and from nothing else: not from
the order of the proteins, nor from how an input is shared out, nor from when a run was continued.
Replicates of parts of a corpus therefore add up to those of the whole, bit by bit.

The generator is SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), used as a function of a counter. With `mix` its finalizer,

    seed(protein)       = mix(digest xor stream)
    bits(protein, r)    = mix(seed + (r + 1) * 0x9E3779B97F4A7C15)  modulo 2**64, r from 0

where `stream` is one number for the bootstrap and another for shifts. Everything after that is
integer arithmetic, so that machines do not differ.
"""

from __future__ import annotations

import decimal
import math

import numpy as np
from numpy.typing import NDArray

#: Most replicates of either kind; their totals are kept in memory, and in every checkpoint.
MAX_BOOTSTRAP = 10_000
#: Each permutation is a copy of every property, for the kernels to count.
MAX_PERMUTATIONS = 1_000

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_BOOTSTRAP = np.uint64(int.from_bytes(b"bootstrp", "little"))
_SHIFTS = np.uint64(int.from_bytes(b"permutat", "little"))


def _poisson_steps() -> NDArray[np.uint64]:
    """2**64 P(X <= k) for X ~ Poisson(1), rounded up, k = 0, 1, ... as far as 64 bits tell."""
    steps: list[int] = []
    with decimal.localcontext() as context:
        context.prec = 60
        term = total = decimal.Decimal(-1).exp()
        while (step := math.ceil(total * (1 << 64))) < 1 << 64:
            steps.append(step)
            term /= len(steps)
            total += term
    return np.array(steps, dtype=np.uint64)


_POISSON_STEPS = _poisson_steps()


def poisson_weights(digests: NDArray[np.uint64], n_replicates: int) -> NDArray[np.int64]:
    """How often each replicate of a Poisson bootstrap draws each protein.

    Drawing every protein Poisson(1) times is the bootstrap of a corpus that is seen once, a protein
    at a time, and whose size need not be known (N. Chamandy et al., "Estimating uncertainty for
    massive data streams", Google, 2012). A weight is the inverse of the distribution function at
    `bits` / 2**64.

    Parameters
    ----------
    digests : uint64 [S]
        Of the proteins.
    n_replicates : int

    Returns
    -------
    int64 [S, n_replicates]

    Examples
    --------
    >>> poisson_weights(np.array([1, 2], dtype=np.uint64), 8)
    array([[0, 1, 0, 0, 0, 2, 2, 3],
           [1, 2, 1, 1, 0, 4, 1, 0]])
    """
    bits = _bits(digests, n_replicates, _BOOTSTRAP)
    return np.searchsorted(_POISSON_STEPS, bits, side="right").astype(np.int64)


def circular_shifts(
    digests: NDArray[np.uint64], lengths: NDArray[np.int64], n_permutations: int
) -> NDArray[np.int64]:
    """By how many residues each permutation shifts the labels of each protein.

    Labels that run off the end come in again at the beginning, so that a shift keeps how many
    residues are in each class and how they cluster along the chain, and forgets where they are. The
    shift is 1 + floor(h (L - 1) / 2**32), h the upper half of `bits`: uniform over 1 to L - 1, to
    within (L - 1) / 2**32 of its probability.

    Parameters
    ----------
    digests : uint64 [S]
        Of the proteins.
    lengths : int64 [S]
        Residues L that are analysed, less than 2**31.
    n_permutations : int

    Returns
    -------
    int64 [S, n_permutations]
        0 for a protein of a single residue, which has no other place for it.

    Examples
    --------
    >>> circular_shifts(np.array([1, 2], dtype=np.uint64), np.array([100, 1]), 6)
    array([[25, 42, 47, 84, 60, 32],
           [ 0,  0,  0,  0,  0,  0]])
    """
    upper = _bits(digests, n_permutations, _SHIFTS) >> np.uint64(32)
    places = np.maximum(np.asarray(lengths, dtype=np.int64) - 1, 0).astype(np.uint64)[:, None]
    shifts = (upper * places >> np.uint64(32)).astype(np.int64)
    return np.where(places > 0, shifts + 1, 0)


def _bits(digests: NDArray[np.uint64], n: int, stream: np.uint64) -> NDArray[np.uint64]:
    """64 random bits for each protein and replicate, uint64 [S, n]."""
    seeds = _mixed(np.asarray(digests, dtype=np.uint64) ^ stream)
    counters = np.arange(1, n + 1, dtype=np.uint64) * _GOLDEN
    return _mixed(seeds[:, None] + counters)


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
