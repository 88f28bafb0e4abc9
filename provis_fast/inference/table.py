"""The table of inference: one row per layer, head, property, class, statistic and threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from provis_fast import tables
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.inference import multiplicity, proportions, resampling
from provis_fast.inference.clusters import UnitInference, infer_units
from provis_fast.inference.log_probabilities import log_p_normal
from provis_fast.inference.unit_sums import UnitSums

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.statistics import HeadStatistics

COLUMNS = (
    "layer",
    "head",
    "property",
    "class",
    "statistic",
    "threshold",
    "eligible",
    "count",
    "proportion",
    "background",
    "enrichment",
    "log_odds",
    "wald_low",
    "wald_high",
    "wilson_low",
    "wilson_high",
    "z",
    "log_p_z",
    "log_p_z_bonferroni",
    "units",
    "expected",
    "excess",
    "excess_low",
    "excess_high",
    "low",
    "high",
    "t",
    "log_p",
    "log_p_bonferroni",
    "log_q",
    "bootstrap_low",
    "bootstrap_high",
    "null_mean",
    "null_sd",
    "null_z",
    "log_p_null",
)
_NUMBERS = COLUMNS[6:]
UNITS = ("protein", "cluster")
FAMILIES = ("class", "all")

Numbers = dict[str, NDArray[np.float64]]


def infer(
    result: HeadStatistics,
    properties: str | Iterable[str] | None = None,
    *,
    statistic: str | None = None,
    threshold: float | None = None,
    unit: str = "protein",
    clusters: Mapping[str, Any] | str | PathLike[str] | None = None,
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
    clusters, per_protein
        With unit="cluster"; see `provis_fast.inference.units.cluster_sums`.
    confidence : float
        Of all intervals, between 0 and 1.
    family : {"class", "all"}
        Tests that are corrected together: the heads of one property, class, statistic and
        threshold, as in the paper, or all tests of the table.

    Returns
    -------
    DataFrame
        Rows in the order of `HeadStatistics.to_pandas`; layer and head from 0.

    Raises
    ------
    ArgumentError
        A property or threshold that the result does not have; another statistic, unit or family; a
        confidence outside (0, 1).
    ResultError
        A statistic that is not part of the result.
    """
    import pandas as pd

    _check(result, statistic, threshold, unit, clusters, per_protein, confidence, family)
    chosen = _chosen(result, properties)
    parts: list[Numbers] = []
    where: list[dict[str, Any]] = []
    for block in tables.blocks(result):
        if block.property not in chosen or (statistic or block.statistic) != block.statistic:
            continue
        if threshold is not None and block.threshold != threshold:
            continue
        where.append(tables.columns(result, block, base=0))
        parts.append(_numbers(result, block, confidence))
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
    return table


def _check(result, statistic, threshold, unit, clusters, per_protein, confidence, family) -> None:
    for name, given, known in (
        ("statistic", statistic, (None, "arcs", "mass")),
        ("unit", unit, UNITS),
        ("family", family, FAMILIES),
    ):
        if given not in known:
            expected = ", ".join(repr(each) for each in known)
            raise ArgumentError(f"{name}: expected one of {expected}, got {given!r}")
    if not 0 < confidence < 1:
        raise ArgumentError(
            f"confidence: expected a number between 0 and 1, such as 0.95, got {confidence!r}"
        )
    if threshold is not None and threshold not in result.thresholds:
        has = ", ".join(map(str, result.thresholds)) or "none"
        raise ArgumentError(f"threshold: this result has {has}; got {threshold}")
    missing = {"arcs": "attention", "mass": "arcs"}.get(statistic)
    if missing == result.weighting:
        how = 'weighting="both"'
        raise ResultError(f"{statistic}: not part of this result; analyse with {how}")


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


def _numbers(result: HeadStatistics, block: tables.HeadBlock, confidence: float) -> Numbers:
    """Columns of numbers of a block, each float64 [layers, heads, classes], uncorrected."""
    shape = block.count.shape
    found = {name: np.full(shape, np.nan) for name in _NUMBERS}
    found["eligible"][...] = block.eligible[..., None]
    found["count"][...] = block.count
    found["proportion"][...] = block.proportion
    found["background"][...] = block.background
    if not block.property:
        return found
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
        units = infer_units(UnitSums.of_proteins(result, index, theta), confidence)
        for name in UnitInference._fields:
            array = getattr(units, name)
            found[name] = array if name == "units" else np.where(tested, array, np.nan)
        if not is_value:
            _add_proportions(found, result, index, tested, confidence)
    _add_resampled(found, result, block, confidence)
    return found


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
    if block.property not in of_properties:
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
        pieces = [part[source].reshape(-1) for part in parts]
        corrected = correct(np.concatenate([np.empty(0), *pieces]))
        edges = np.cumsum([len(piece) for piece in pieces])[:-1] if pieces else []
        for part, piece in zip(parts, np.split(corrected, edges), strict=bool(parts)):
            part[target] = piece.reshape(part[source].shape)


_CORRECTIONS = (
    ("log_p_z", "log_p_z_bonferroni", multiplicity.bonferroni),
    ("log_p", "log_p_bonferroni", multiplicity.bonferroni),
    ("log_p", "log_q", multiplicity.benjamini_hochberg),
)
