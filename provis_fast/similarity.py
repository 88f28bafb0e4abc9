"""Do heads attend alike to amino acids that replace each other in evolution?

The paper's question (section 4.2, figure on BLOSUM62): two amino acids are similar to a model as
far as the shares of attention on them go together over its heads, and that similarity is compared
with BLOSUM62, pair by pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError
from provis_fast.proteins.record import AMINO_ACIDS
from provis_fast.statistics import HeadStatistics

#: Fewer numbers tell nothing of a correlation.
_FEWEST = 3


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson correlation; NaN of fewer than three pairs, or where one of both does not vary."""
    if len(a) < _FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


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
    result: HeadStatistics,
    published: float | None = None,
    property_name: str = "amino_acid",
    *,
    statistic: str | None = None,
    threshold: float | None = None,
) -> AminoAcidSimilarity:
    """Correlate similarity of attention with BLOSUM62.

    With P[x] the shares p_lh(x) of the arcs of every head (l, h) that point at amino acid x
    (equation 1 of the paper), over the heads with at least `min_arcs` arcs,

        s(x, y) = Pearson(P[x], P[y]),    r = Pearson over pairs x < y of s and BLOSUM62.

    Parameters
    ----------
    result : HeadStatistics
    published : float, optional
        The paper's r.
    property_name : str
        With a class for each amino acid.
    statistic : {"arcs", "mass"}, optional
        Shares of arcs or of attention; default arcs, where the result has them.
    threshold : float, optional
        One of `result.thresholds`; default the first.

    Returns
    -------
    AminoAcidSimilarity

    Raises
    ------
    ArgumentError
        A property or threshold that the result does not have; a property without amino acids.
    ResultError
        A statistic that is not part of the result.
    """
    from Bio.Align import substitution_matrices

    spec = result.properties[result.index(property_name)]
    if set(AMINO_ACIDS) - set(spec.classes):
        raise ArgumentError(
            f"property_name: expected one with a class for each amino acid, got {property_name!r} "
            f"with {', '.join(spec.classes[:24])}; analyse amino_acid"
        )
    columns = [spec.classes.index(letter) for letter in AMINO_ACIDS]
    shares = _proportion(result, property_name, statistic, threshold)[..., columns]
    shares = shares.reshape(-1, len(columns))
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


def _proportion(
    result: HeadStatistics, name: str, statistic: str | None, threshold: float | None
) -> NDArray[np.float64]:
    """Shares of one statistic and threshold, [layers, heads, classes]."""
    if statistic is None:
        statistic = "mass" if result.weighting == "attention" else "arcs"
    if statistic == "mass":
        return result.mass_proportion[name]
    shares = result.proportion[name]
    threshold = result.thresholds[0] if threshold is None else threshold
    if threshold not in result.thresholds:
        known = ", ".join(map(str, result.thresholds))
        raise ArgumentError(f"threshold: this result has {known}; got {threshold}")
    return shares if result.scalar_threshold else shares[result.thresholds.index(threshold)]
