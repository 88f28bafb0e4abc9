"""Do heads attend alike to amino acids that replace each other in evolution?

The paper's question (section 4.2, figure on BLOSUM62): two amino acids are similar to a model as
far as the shares of attention on them go together over its heads, and that similarity is compared
with BLOSUM62, pair by pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provis_fast.proteins.record import AMINO_ACIDS
from provis_fast.reproduction.comparison import correlation
from provis_fast.statistics import HeadStatistics


@dataclass(frozen=True, eq=False)
class AminoAcidSimilarity:
    """Similarity of amino acids to a model, and in evolution.

    Attributes
    ----------
    similarity : float64 [20, 20]
        Pearson correlation over heads of the shares of attention on two amino acids, in the order
        of ``ACDEFGHIKLMNPQRSTVWY``; NaN on the diagonal and for an amino acid on which the share
        does not vary.
    blosum62 : float64 [20, 20]
        NaN on the diagonal.
    correlation : float
        Pearson correlation of both over the pairs; NaN where it is undefined.
    published : float or None
        The paper's value.
    n_pairs : int
        190, less those whose similarity is undefined.
    n_heads : int
        Heads with enough arcs.
    """

    similarity: NDArray[np.float64]
    blosum62: NDArray[np.float64]
    correlation: float
    published: float | None
    n_pairs: int
    n_heads: int


def amino_acid_similarity(
    result: HeadStatistics, published: float | None = None, property_name: str = "amino_acid"
) -> AminoAcidSimilarity:
    """Correlate similarity of attention with BLOSUM62.

    With P[x] the shares p_lh(x) of the arcs of every head (l, h) that point at amino acid x
    (equation 1 of the paper), over the heads with at least `min_arcs` arcs,

        s(x, y) = Pearson(P[x], P[y]),    r = Pearson over pairs x < y of s and BLOSUM62.

    Parameters
    ----------
    result : HeadStatistics
        With the property, one threshold.
    published : float, optional
        The paper's r.
    property_name : str

    Returns
    -------
    AminoAcidSimilarity
    """
    from Bio.Align import substitution_matrices

    spec = result.properties[result.index(property_name)]
    columns = [spec.classes.index(letter) for letter in AMINO_ACIDS]
    shares = result.proportion[property_name][..., columns].reshape(-1, len(columns))
    shares = shares[np.isfinite(shares).all(axis=1)].T  # [20, heads]
    matrix = substitution_matrices.load("BLOSUM62")
    blosum62 = np.array([[matrix[x, y] for y in AMINO_ACIDS] for x in AMINO_ACIDS], np.float64)
    n = len(AMINO_ACIDS)
    similarity = np.full((n, n), np.nan)
    for x in range(n):
        for y in range(x):
            similarity[x, y] = similarity[y, x] = correlation(shares[x], shares[y])
    np.fill_diagonal(blosum62, np.nan)
    pairs = np.triu(np.isfinite(similarity), k=1)
    return AminoAcidSimilarity(
        similarity,
        blosum62,
        correlation(similarity[pairs], blosum62[pairs]),
        published,
        int(pairs.sum()),
        shares.shape[1],
    )
