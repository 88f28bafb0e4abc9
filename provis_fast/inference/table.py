"""The table of inference: one row per layer, head, property, class, statistic and threshold.

=========================  =====================================================================
column                     what
=========================  =====================================================================
layer, head                counted from 0
property, class,           as in `HeadStatistics.to_pandas`, which has the same rows in the same
statistic, threshold,      order
eligible, count,
proportion, background
enrichment                 proportion / background; for key values proportion - background, a
                           difference of means
log_odds                   log of (p / (1 - p)) / (b / (1 - b)), p the proportion and b the
                           background; -inf and inf where p is 0 or 1
wald_low, wald_high        intervals of the proportion with every arc as an observation of its
wilson_low, wilson_high    own: as in the paper, and Wilson's (`proportions`)
z, log_p_z                 of the two-proportion z-test against the background, as in the paper;
                           z > 0 for more than there
log_p_z_bonferroni         corrected for the tests of the family
units                      proteins, or clusters of them, that have eligible arcs
expected                   proportion to expect from the units' own backgrounds, sum n b / sum n
excess                     sum (y - n b) / sum n
excess_low, excess_high    its cluster-robust interval; not cut off, it may pass -1 and 1
low, high                  cluster-robust interval of the proportion (`clusters`)
t, log_p                   of the t-test over units of y - n b, units - 1 degrees of freedom; for
                           rare classes "fewer than expected" is found too often (`clusters`), and
                           a note in `attrs` tells of how many tests
log_p_bonferroni, log_q    corrected for the tests of the family: Bonferroni, and
                           Benjamini & Hochberg's q-value
bootstrap_low,             percentile interval of the proportion, where the result has bootstrap
bootstrap_high             replicates (`resampling`)
null_mean, null_sd,        of the permutation null, where the result has one
null_z, log_p_null
=========================  =====================================================================

All tests are two-sided, all logarithms natural. NaN stands where a number is undefined or not part
of the result: for heads with fewer eligible arcs than `HeadStatistics.min_arcs`
(``compat="provis"``: with no more than these, as the original chose the heads that it tested),
where the background is not known or does not vary, with fewer than two units. Key values have no
log_odds, Wald and Wilson intervals and z. Of mass there are no sums over proteins: it has a
proportion, background and enrichment, and what comes from replicates.
"""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from provis_fast import tables
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.inference import multiplicity, proportions, resampling
from provis_fast.inference.assignment import Clusters
from provis_fast.inference.clusters import (
    ENOUGH_INDEPENDENT,
    UnitInference,
    independent_arcs,
    infer_units,
)
from provis_fast.inference.log_probabilities import log_p_normal
from provis_fast.inference.unit_sums import UnitSums
from provis_fast.inference.units import ClusterSums

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.statistics import HeadStatistics

COLUMNS = (
    *("layer", "head", "property", "class", "statistic", "threshold"),
    *("eligible", "count", "proportion", "background", "enrichment", "log_odds"),
    *("wald_low", "wald_high", "wilson_low", "wilson_high", "z", "log_p_z", "log_p_z_bonferroni"),
    *("units", "expected", "excess", "excess_low", "excess_high", "low", "high"),
    *("t", "log_p", "log_p_bonferroni", "log_q", "bootstrap_low", "bootstrap_high"),
    *("null_mean", "null_sd", "null_z", "log_p_null"),
)
_NUMBERS = COLUMNS[6:]
UNITS = ("protein", "cluster")
FAMILIES = ("class", "all")

_PROVIS = (
    'compat="provis": residues without a label count as negative among the arcs and are left out '
    "of the background, so that the excess over it is too low where labels are missing"
)

_RARE = (
    "{0:,} of {1:,} tests expect fewer than {2} independent arcs in the class (the expected arcs, "
    'over the design effect): there "fewer than expected" is found too often (at a nominal 5%, in '
    'up to 11% of simulated null data sets), and "more than expected" rather too rarely'
)

Numbers = dict[str, NDArray[np.float64]]


def infer(
    result: HeadStatistics,
    properties: str | Iterable[str] | None = None,
    *,
    statistic: str | None = None,
    threshold: float | None = None,
    unit: str = "protein",
    clusters: Clusters = None,
    per_protein: str | PathLike[str] | None = None,
    confidence: float = 0.95,
    family: str = "class",
) -> pd.DataFrame:
    """Intervals, tests and corrections for every head of a result.

    Parameters
    ----------
    result : HeadStatistics
    properties : str or iterable of str, optional
        Names: those of no others.
    statistic : {"arcs", "mass"}, optional
        Only this one.
    threshold : float, optional
        Only arcs at this one of `result.thresholds`; mass, which has none, is left out then.
    unit : {"protein", "cluster"}
        What counts as one independent observation in the columns from `units` to `log_q`.
    clusters : mapping, str or path, optional
        With unit="cluster": protein id to cluster, or the path of a table as MMseqs2 writes it (two
        columns, representative and member); None for the column ``cluster`` of the input. See
        `provis_fast.inference.assignment.assign`.
    per_protein : str or path, optional
        With unit="cluster": folder of this result, analysed with the counts of single proteins.
    confidence : float
        Of all intervals, between 0 and 1.
    family : {"class", "all"}
        Tests that are corrected together: the heads of one property, class, statistic and
        threshold, as in the paper, or all tests of the table.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, explained above; rows in the order of `HeadStatistics.to_pandas`. Its
        `attrs` tell unit, family, confidence, and "notes" (list of str): on clusters, and on tests
        of rare classes, whose p-values of "fewer than expected" are too small.

    Raises
    ------
    ArgumentError
        A property or threshold that the result does not have; a threshold of mass; another
        statistic, unit or family; a confidence outside (0, 1).
    ResultError
        A statistic that is not part of the result; no tables of its single proteins.
    InputError
        A file of clusters that cannot be used.
    """
    import pandas as pd

    _check(result, statistic, threshold, unit, clusters, confidence, family)
    chosen = _chosen(result, properties)
    notes: list[str] = []
    if result.compat == "provis" and result.weighting != "attention":
        notes.append(_PROVIS)
    clustered = None
    if unit == "cluster":
        clustered = ClusterSums(result, per_protein, clusters)
        notes += clustered.notes
    parts: list[Numbers] = []
    where: list[dict[str, Any]] = []
    few = [0, 0]  # tests with few independent arcs in the class, and all
    for block in tables.blocks(result):
        if block.property not in chosen or (statistic or block.statistic) != block.statistic:
            continue
        if threshold is not None and block.threshold != threshold:
            continue
        where.append(tables.columns(result, block, base=0))
        numbers, independent = _numbers(result, block, confidence, clustered)
        parts.append(numbers)
        few[0] += int((independent < ENOUGH_INDEPENDENT).sum())
        few[1] += int((~np.isnan(independent)).sum())
    if few[0]:
        notes.append(_RARE.format(*few, ENOUGH_INDEPENDENT))
    if family == "class":
        for part in parts:
            _correct(part)
    else:
        _correct_together(parts)
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        if name in _NUMBERS:
            pieces = [part[name].reshape(-1) for part in parts]
            columns[name] = np.concatenate([np.empty(0), *pieces])
        else:
            pieces = [_full(named[name], len(named["layer"])) for named in where]
            columns[name] = np.concatenate(pieces) if pieces else []
    table = pd.DataFrame(columns, columns=list(COLUMNS))
    table["threshold"] = table["threshold"].astype(np.float64)
    table.attrs |= {"unit": unit, "family": family, "confidence": confidence, "notes": notes}
    return table


def _check(
    result: HeadStatistics,
    statistic: str | None,
    threshold: float | None,
    unit: str,
    clusters: Clusters,
    confidence: float,
    family: str,
) -> None:
    for name, given, known in (
        ("statistic", statistic, (None, "arcs", "mass")),
        ("unit", unit, UNITS),
        ("family", family, FAMILIES),
    ):
        if given not in known:
            expected = ", ".join(repr(each) for each in known)
            raise ArgumentError(f"{name}: expected one of {expected}, got {given!r}")
    if unit == "cluster" and result.weighting == "attention":
        raise ResultError(
            "unit: clusters are of use for arcs alone; this result has none, analyse with "
            'weighting="both"'
        )
    if unit == "protein" and clusters is not None:
        raise ArgumentError('clusters: expected only with unit="cluster", got unit="protein"')
    if not 0 < confidence < 1:
        raise ArgumentError(
            f"confidence: expected a number between 0 and 1, such as 0.95, got {confidence!r}"
        )
    if threshold is not None and statistic == "mass":
        raise ArgumentError(
            f"threshold: mass has none; got {threshold}, leave it out or choose statistic='arcs'"
        )
    if threshold is not None and threshold not in result.thresholds:
        has = ", ".join(map(str, result.thresholds)) or "none"
        raise ArgumentError(f"threshold: this result has {has}; got {threshold}")
    missing = {"arcs": "attention", "mass": "arcs"}.get(statistic)
    if missing == result.weighting:
        raise ResultError(f'{statistic}: not part of this result; analyse with weighting="both"')


def _chosen(result: HeadStatistics, properties: str | Iterable[str] | None) -> set[str]:
    if properties is None:
        return {spec.name for spec in result.properties} or {""}
    names = [properties] if isinstance(properties, str) else list(properties)
    for name in names:
        result.index(name)  # raises where there is no such property
    return set(names)


def _full(column: Any, n_rows: int) -> NDArray[Any]:
    if isinstance(column, np.ndarray):
        return column
    return np.full(
        n_rows, np.nan if column is None else column, object if isinstance(column, str) else None
    )


def _numbers(
    result: HeadStatistics,
    block: tables.HeadBlock,
    confidence: float,
    clustered: ClusterSums | None,
) -> tuple[Numbers, NDArray[np.float64]]:
    """Columns of numbers of a block, each float64 [layers, heads, classes], uncorrected; and the
    independent arcs behind its tests."""
    shape = block.count.shape
    found = {name: np.full(shape, np.nan) for name in _NUMBERS}
    found["eligible"][...] = block.eligible[..., None]
    found["count"][...] = block.count
    found["proportion"][...] = block.proportion
    found["background"][...] = block.background
    independent = np.full(shape, np.nan)
    if not block.property:
        return found, independent
    index = result.index(block.property)
    is_value = result.properties[index].is_value
    proportion, background = found["proportion"], found["background"]
    if is_value:
        found["enrichment"] = proportion - background
    else:
        known = np.where(background > 0, background, np.nan)
        found["enrichment"] = proportion / known
    if block.statistic == "arcs":
        tested = _tested(result, found["eligible"])
        theta = result.thresholds.index(block.threshold)
        if clustered is None:
            sums = UnitSums.of_proteins(result, index, theta)
        else:
            sums = clustered.of_property(index, theta)
        units = infer_units(sums, confidence)
        for name in UnitInference._fields:
            array = getattr(units, name)
            found[name] = array if name == "units" else np.where(tested, array, np.nan)
        if not is_value:
            _add_proportions(found, result, index, tested, confidence)
            arcs = independent_arcs(units, found["eligible"])
            independent = np.where(tested, arcs, np.nan)
    _add_resampled(found, result, block, confidence)
    return found, independent


def _tested(result: HeadStatistics, eligible: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where there are arcs enough; the original tests heads with more than its least number."""
    if result.compat == "provis":
        return eligible > result.min_arcs
    return eligible >= max(result.min_arcs, 1)


def _add_proportions(
    found: Numbers,
    result: HeadStatistics,
    index: int,
    tested: NDArray[np.bool_],
    confidence: float,
) -> None:
    totals = result.totals
    numerators = totals["background_num"][totals.channels.columns(index)].to_float64()
    denominator = totals["background_den"][index].to_float64()
    eligible = np.where(tested, found["eligible"], np.nan)
    found["log_odds"] = proportions.log_odds_ratio(found["proportion"], found["background"])
    for name, method in (("wald", "normal"), ("wilson", "wilson")):
        low, high = proportions.interval(found["count"], eligible, confidence, method)
        found[f"{name}_low"], found[f"{name}_high"] = low, high
    found["z"] = proportions.z_against_background(found["count"], eligible, numerators, denominator)
    found["log_p_z"] = log_p_normal(found["z"])


def _add_resampled(
    found: Numbers, result: HeadStatistics, block: tables.HeadBlock, confidence: float
) -> None:
    shares = _replicates(result, "bootstrap", block)
    if shares is not None:
        low, high = resampling.percentile_interval(shares, confidence)
        undefined = np.isnan(found["proportion"])
        found["bootstrap_low"] = np.where(undefined, np.nan, low)
        found["bootstrap_high"] = np.where(undefined, np.nan, high)
    shares = _replicates(result, "permutations", block)
    if shares is not None:
        null = resampling.against_null(found["proportion"], shares)
        found["null_mean"], found["null_sd"] = null.mean, null.sd
        found["null_z"], found["log_p_null"] = null.z, null.log_p


def _replicates(
    result: HeadStatistics, kind: str, block: tables.HeadBlock
) -> NDArray[np.float64] | None:
    """Proportions of the replicates of a block [R, layers, heads, classes]; None without them."""
    if not getattr(result, f"n_{kind}", 0):
        return None
    of_properties = getattr(result, kind)
    if block.property not in list(of_properties):  # whose names are quick, not so its arrays
        return None
    replicates = of_properties[block.property]
    if block.statistic == "mass":
        return resampling.proportions(replicates.mass_known, replicates.mass_sums)
    eligible, counts = replicates.eligible, replicates.counts
    if not result.scalar_threshold:
        theta = result.thresholds.index(block.threshold)
        eligible, counts = eligible[:, theta], counts[:, theta]
    return resampling.proportions(eligible, counts)


def _correct(part: Numbers) -> None:
    """Correct the tests of one block, every class a family of its own."""
    heads = (-1, part["count"].shape[-1])
    shape = part["count"].shape
    for source, target, correct in _CORRECTIONS:
        part[target] = correct(part[source].reshape(heads)).reshape(shape)


def _correct_together(parts: list[Numbers]) -> None:
    """Correct the tests of all blocks as one family."""
    for source, target, correct in _CORRECTIONS:
        corrected = correct(
            np.concatenate([np.empty(0), *(part[source].ravel() for part in parts)])
        )
        end = 0
        for part in parts:
            begin, end = end, end + part[source].size
            part[target] = corrected[begin:end].reshape(part[source].shape)


_CORRECTIONS = (
    ("log_p_z", "log_p_z_bonferroni", multiplicity.bonferroni),
    ("log_p", "log_p_bonferroni", multiplicity.bonferroni),
    ("log_p", "log_q", multiplicity.benjamini_hochberg),
)
