"""Two results side by side: head by head where heads correspond, else by summaries over them.

`compare` makes the table. Its parts: `comparison_ground` (what two results have in common),
`comparison_estimates` (proportions and excesses with their variances), `comparison_contrasts`
(their differences, for corpora that share no, some or all proteins), `comparison_models` (summaries
of models whose heads do not correspond).

**What is compared.** The proportion p = sum y / sum n of a head (for key values the mean), and its
excess over the background, sum (y - n b) / sum n, in which the background share b of every protein
is taken off: corpora of different composition differ in their proportions without any head looking
at anything else. Differences are B minus A throughout.

**Shared proteins.** Over two corpora without a common protein the variances of both estimates add.
If the same proteins are in both, the two estimates vary together, and the variance of the
difference is v_a + v_b - 2 cov. Column `covariance` says how it was dealt with:

"none"
    No protein is in both results: cov = 0.
"estimated"
    From the tables of single proteins of both, protein by protein (a paired test).
"bootstrap"
    From replicates: in replicate r a protein is drawn equally often in both results, as its weight
    follows from its digest, so the covariance over replicates is that of the estimates.
"ignored"
    Taken as 0, as nothing tells it. Its sign: cov is the sum over shared proteins of r_a r_b, with
    r the contributions (`comparison_contrasts`). What a protein's composition adds to r_a r_b is
    the product of the slopes with which both heads follow the composition, times the squared
    deviation of its background: positive wherever both slopes have one sign, as for heads that look
    at a class in proportion to its frequency, or with any fixed preference for it. What attention
    adds beyond the composition, which is all there is in the excess, may have either sign: positive
    where the proteins that stand out in A stand out in B as well. So intervals are conservative
    (too wide) where deviations agree, as they do for two checkpoints of a model; for a given head
    that is not proven. Of one model the shared proteins count the same y of n arcs in both results,
    and r_a r_b is proportional to (y - m n)**2 - (d n / 2)**2 with m the mean and d the difference
    of both proportions: positive in sum unless the corpora differ more than their proteins do. At
    worst (deviations exactly opposed) the standard error ought to be sqrt(2) times as large.
"unknown"
    As "ignored", and a result does not say which proteins it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from provis_fast.errors import ArgumentError
from provis_fast.inference.comparison_ground import common_ground
from provis_fast.inference.comparison_tables import HEAD_COLUMNS, MODEL_COLUMNS, Comparison

__all__ = ["HEAD_COLUMNS", "MODEL_COLUMNS", "compare"]

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.statistics import HeadStatistics

Folder = str | PathLike[str]


def compare(
    a: HeadStatistics,
    b: HeadStatistics,
    properties: str | Iterable[str] | None = None,
    *,
    statistic: str | None = None,
    threshold: float | None = None,
    confidence: float = 0.95,
    unit: str = "protein",
    per_protein: Sequence[Folder | None] = (None, None),
    clusters: Mapping[str, Any] | Folder | None = None,
    matched: bool | None = None,
    allow_partial: bool = False,
) -> pd.DataFrame:
    """Compare two results: differences of B minus A, with intervals and tests.

    Parameters
    ----------
    a, b : HeadStatistics
        Of one model on two corpora, of two checkpoints of one architecture, or of two models.
    properties : str or iterable of str, optional
        Those of no others. Properties that both results do not have with the same kind, classes and
        options are left out; `attrs` names them with the reason.
    statistic : {"arcs", "mass"}, optional
        Only this one.
    threshold : float, optional
        Only arcs at this one. Without it all thresholds that both results have.
    confidence : float
        Of all intervals, between 0 and 1.
    unit : {"protein", "cluster"}
        What counts as one independent observation. Clusters need `per_protein` of both.
    per_protein : pair of str or path
        Folders with tables of single proteins (counts) of `a` and `b`. They give the covariance of
        both results over shared proteins, intervals for mass, and the exact variance of an excess.
        Proteins are the same in both where their ids are. Memory: eligible arcs and counts of all
        proteins, for one property at a time, in float64.
    clusters : mapping of protein id to cluster, or file, optional
        With unit="cluster": instead of the column ``cluster`` of the tables; see
        `provis_fast.inference.assignment.assign`.
    matched : bool, optional
        Whether a head of `a` is the same head of `b`. Without it: same digest of the model, or same
        family and shape.
    allow_partial : bool
        Also take incomplete results.

    Returns
    -------
    DataFrame
        Heads matched: one row per layer and head (from 0), property, class, statistic, threshold
        with `HEAD_COLUMNS`. ``a`` and ``b`` in a name are the results, without it stand differences
        of both; `low` to `log_q` are of the proportions' difference, ``excess_...`` of that of the
        excesses over the background; `units` are those with eligible arcs, `units_shared` (known
        from `per_protein` alone) those in both. Corrections for many tests are over the heads of
        one property, class, statistic and threshold.

        Else one row per property, class, statistic, threshold and summary (`MODEL_COLUMNS`,
        `provis_fast.inference.comparison_models.SUMMARIES`); layer and head, from 0, only where the
        summary is that of a single head. Where single proteins are not given, the variance of a
        mean over heads is not known, as they vary together; intervals then use its upper bound.

        p-values are natural logarithms, two-sided, of Student's t; NaN is undefined: too few arcs,
        fewer than two units, no variation. `attrs`: "matched", "reason", "overlap",
        "shared_proteins", "left_out" (property: reason), "differences" (name, in a, in b), "notes".

    Raises
    ------
    ArgumentError
        A property that neither result has, another statistic or unit, a threshold that not both
        have, a confidence outside (0, 1), clusters without tables of single proteins,
        matched=True for models of different shape.
    ResultError
        An incomplete or empty result; no property, threshold or layer in common; tables of another
        analysis.
    """
    ground = common_ground(a, b, properties, statistic, threshold, matched, allow_partial)
    folders = _check(confidence, unit, per_protein, clusters)
    comparison = Comparison(a, b, ground, folders, unit, clusters, confidence)
    return comparison.heads() if ground.matched else comparison.models()


def _check(
    confidence: float, unit: str, per_protein: Sequence[Folder | None], clusters: Any
) -> tuple[Folder | None, Folder | None]:
    if not 0 < confidence < 1:
        raise ArgumentError(
            f"confidence: expected a number between 0 and 1, such as 0.95, got {confidence!r}"
        )
    if unit not in ("protein", "cluster"):
        raise ArgumentError(f'unit: expected "protein" or "cluster", got {unit!r}')
    if not isinstance(per_protein, (tuple, list)) or len(per_protein) != 2:
        raise ArgumentError(
            "per_protein: expected a pair, the folder of a and that of b (or None), got "
            f"{per_protein!r}"
        )
    if unit == "cluster" and None in per_protein:
        raise ArgumentError(
            'per_protein: expected folders of both results with unit="cluster", as these have the '
            "counts of single proteins; analyse with --per-protein counts"
        )
    if unit == "protein" and clusters is not None:
        raise ArgumentError('clusters: expected only with unit="cluster"')
    return per_protein[0], per_protein[1]
