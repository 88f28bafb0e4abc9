"""Weights and shifts once more in plain Python, and a small analysis with replicates."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction

import analysis_cases
import numpy as np

import provis_fast as pf

_MASK = (1 << 64) - 1
#: 1 / e to far more than 64 bits.
_1_E = sum(Fraction((-1) ** k, math.factorial(k)) for k in range(40))

LENGTHS = [40, 3, 90, 1, 60, 25, 2, 77, 33]
REPLICATES = {"bootstrap": 12, "permutations": 5}


def digest_of(protein) -> int:
    text = f"{protein.id}\n{protein.sequence}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _mixed(z: int) -> int:
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _MASK
    return z ^ z >> 31


def _bits(digest: int, replicate: int, stream: bytes) -> int:
    seed = _mixed(digest ^ int.from_bytes(stream, "little"))
    return _mixed((seed + (replicate + 1) * 0x9E3779B97F4A7C15) & _MASK)


def weight(digest: int, replicate: int) -> int:
    """Least k with u < P(X <= k), X ~ Poisson(1)."""
    u = Fraction(_bits(digest, replicate, b"bootstrp"), 1 << 64)
    k, term, total = 0, _1_E, _1_E
    while u >= total:
        k += 1
        term /= k
        total += term
    return k


def shift(digest: int, n: int, replicate: int) -> int:
    """Of 1 to n - 1."""
    upper = _bits(digest, replicate, b"permutat") >> 32
    return 1 + (upper * (n - 1) >> 32) if n > 1 else 0


def values(protein):
    found = np.sin(np.arange(len(protein))) * 3
    found[::7] = np.nan
    return found


def touching(protein):
    """An unsymmetric map, some of it unknown."""
    i, j = np.mgrid[: len(protein), : len(protein)]
    return np.where((i + 2 * j) % 5 == 0, -1, (3 * i + j) % 4 == 0)


def sites(protein):
    return protein.labels["binding_site"]


#: All six kinds, with residues and pairs that are not known.
PROPERTIES = (
    "amino_acid",
    "contact",
    "secondary_structure",
    "secondary_structure_query",
    "separation",
    pf.ClassPair("site_pair", ("out", "in"), sites),
    pf.KeyValue("depth", values),
    pf.Pair("touching", touching),
)


def proteins(lengths=LENGTHS, seed=0):
    return analysis_cases.random_proteins(lengths, seed=seed)


def analysed(model, found=None, **options):
    """All weightings and two thresholds, with replicates."""
    given = dict(weighting="both", batch_tokens=150, threshold=(0.7, 0.3), properties=PROPERTIES)
    return pf.analyze(
        model, proteins() if found is None else found, **(given | REPLICATES | options)
    )
