"""Estimates of one result for a comparison: proportions and excesses with what moves them.

With y arcs in a class of n eligible arcs of a unit (a protein, or a cluster of them) and b its own
background share, Y, N and E the sums of y, n and n b over units:

    proportion   p = Y / N          contribution of a unit  (y - p n) / N
    excess       e = (Y - E) / N    contribution of a unit  (y - n b - e n) / N

From the tables of single proteins come the contributions themselves. Without them the sums that a
result stores give both variances; results of format versions 1 and 2 lack one that the excess
takes, whose interval is then unknown.

**Few arcs in a class.** Where a result has no arc in a class, every contribution is 0 and so is the
robust variance, as if it were certain that the class never occurs. Where fewer than 10 of the arcs
are in a class, or fewer than 10 are not, the variance is therefore no less than the binomial
q (1 - q) / N, with q what both results together lead one to expect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from provis_fast.errors import ResultError
from provis_fast.head_arrays import Moments, PropertySpec
from provis_fast.inference.assignment import Clusters, assign
from provis_fast.inference.comparison_contrasts import (
    Contributions,
    Estimate,
    from_contributions,
    from_sums,
)
from provis_fast.inference.comparison_ground import Part
from provis_fast.per_protein.reading import per_protein_dataset
from provis_fast.per_protein.schemas import PROTEINS
from provis_fast.statistics import HeadStatistics

#: Fewer arcs than these in a class, or out of it, do not tell their variance.
_FEW = 10


class UnitCounts(NamedTuple):
    """What every unit has of one property and statistic.

    Attributes
    ----------
    names : ndarray of str [G]
        Units, sorted.
    n : float64 [G, layers, heads]
    y, nb : float64 [G, layers, heads, classes]
    """

    names: NDArray[np.str_]
    n: NDArray[np.float64]
    y: NDArray[np.float64]
    nb: NDArray[np.float64]


class HeadEstimates(NamedTuple):
    """Estimates of every head of a result for one property and statistic.

    All arrays are [layers, heads, classes], `eligible` [layers, heads].

    Attributes
    ----------
    eligible : float64
        Arcs (for mass the attention) on which the property is known.
    proportion, excess : Estimate
    expected : float64
        E / N; NaN where it is not known (mass without tables of single proteins).
    background : float64 [classes]
        Of the corpus.
    replicates : float64 [R, layers, heads, classes] or None
        Proportions of the bootstrap over proteins.
    """

    eligible: NDArray[np.float64]
    proportion: Estimate
    excess: Estimate
    expected: NDArray[np.float64]
    background: NDArray[np.float64]
    replicates: NDArray[np.float64] | None


def read_units(
    folder: str | PathLike[str],
    result: HeadStatistics,
    spec: PropertySpec,
    part: Part,
    unit_of: Mapping[str, str] | None = None,
) -> UnitCounts:
    """Counts of every unit of a result, from its tables of single proteins.

    Parameters
    ----------
    folder : str or path
        With the tables.
    result : HeadStatistics
        Whose proteins these are.
    spec, part
        Which numbers.
    unit_of : mapping of str to str, optional
        Unit by protein id (`clusters_of`). Without it proteins of one id are a unit.

    Raises
    ------
    ResultError
        No such tables, or of another analysis than `result`.
    """
    counts, proteins = (per_protein_dataset(folder, table) for table in ("counts", PROTEINS))
    wanted = [f"eligible:{spec.name}", *(f"count:{spec.name}:{name}" for name in spec.classes)]
    shares = [f"background:{spec.name}:{name}" for name in spec.classes]
    _check_columns(folder, counts.schema.names, wanted)
    rows = pc.field("statistic") == part.statistic
    if part.threshold is not None:
        rows &= pc.field("threshold") == part.threshold
    found = counts.to_table(columns=["record", "shard", "layer", "head", *wanted], filter=rows)
    about = proteins.to_table(columns=["record", "shard", "protein", *shares])
    keys, place = _keys(about), _keys(found)
    order = np.argsort(keys)
    at = order[np.minimum(np.searchsorted(keys, place, sorter=order), len(order) - 1)]
    if len(keys) != result.analysed or not np.array_equal(keys[at], place):
        raise ResultError(
            f"{folder}: these tables are of {len(keys):,} proteins, the result is of "
            f"{result.analysed:,}; give the tables that were written with it"
        )
    layers = np.searchsorted(result.layers, found["layer"].to_numpy() - 1)
    heads = found["head"].to_numpy().astype(np.int64) - 1
    shape = (len(keys), len(result.layers), result.n_heads)
    if len(found) != np.prod(shape):
        raise ResultError(
            f"{folder}: expected counts of {shape[0]:,} proteins x {shape[1]} layers x {shape[2]} "
            f"heads, got {len(found):,} rows; give the tables that were written with the result"
        )
    n = np.zeros(shape)
    y = np.zeros((*shape, len(spec.classes)))
    n[at, layers, heads] = found[wanted[0]].to_numpy()
    for number, name in enumerate(wanted[1:]):
        y[at, layers, heads, number] = found[name].to_numpy()
    b = np.stack([about[name].to_numpy(zero_copy_only=False) for name in shares], axis=-1)
    b = np.nan_to_num(b.astype(np.float64))
    nb = n[..., None] * b[:, None, None, :]
    _check_totals(folder, result, spec, part, n, y)
    ids = about["protein"].to_pylist()
    names = ids if unit_of is None else [unit_of[name] for name in ids]
    return _grouped(np.asarray(names, dtype=np.str_), n, y, nb)


def _check_columns(folder: Any, names: list[str], wanted: list[str]) -> None:
    if missing := [name for name in wanted if name not in names]:
        raise ResultError(
            f"{folder}: the tables of single proteins have no column {missing[0]!r}; give those "
            "that were written with the result"
        )


def _keys(table: Any) -> NDArray[np.str_]:
    """One name per protein of a table: shards may be tables of different analyses."""
    shards = np.asarray(table["shard"].to_pylist(), dtype=np.str_)
    records = table["record"].to_numpy().astype(np.str_)
    return np.char.add(np.char.add(shards, " "), records)


def _check_totals(
    folder: Any,
    result: HeadStatistics,
    spec: PropertySpec,
    part: Part,
    n: NDArray[np.float64],
    y: NDArray[np.float64],
) -> None:
    eligible, count = totals_of(result, spec, part, _theta(result, part))
    if np.allclose(n.sum(axis=0), eligible, rtol=1e-9) and np.allclose(
        y.sum(axis=0), count, rtol=1e-9, atol=1e-6
    ):
        return
    raise ResultError(
        f"{folder}: the sums over these proteins are not those of the result for property "
        f"{spec.name}; give the tables that were written with it"
    )


def _theta(result: HeadStatistics, part: Part) -> int | None:
    if part.threshold is None or result.scalar_threshold:
        return None
    return result.thresholds.index(part.threshold)


def clusters_of(
    folders: Iterable[str | PathLike[str]], clusters: Clusters
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Cluster of every protein of several results, and notes on them.

    Parameters
    ----------
    folders : iterable of path
        With tables of single proteins.
    clusters
        See `provis_fast.inference.assignment.assign`.
    """
    own: dict[str, str | None] = {}
    for folder in folders:
        table = per_protein_dataset(folder, PROTEINS).to_table(columns=["protein", "cluster"])
        for name, cluster in zip(*(table[x].to_pylist() for x in table.column_names), strict=True):
            own[name] = own.get(name) or cluster
    found = assign(list(own), list(own.values()), clusters)
    numbers = zip(own, found.unit.tolist(), strict=True)
    return {name: f"{number:09}" for name, number in numbers}, found.notes


def _grouped(
    names: NDArray[np.str_],
    n: NDArray[np.float64],
    y: NDArray[np.float64],
    nb: NDArray[np.float64],
) -> UnitCounts:
    """Sums over the rows of one name."""
    order = np.argsort(names, kind="stable")
    unique, starts = np.unique(names[order], return_index=True)
    if len(unique) == len(names):
        return UnitCounts(unique, n[order], y[order], nb[order])
    return UnitCounts(unique, *(np.add.reduceat(x[order], starts, axis=0) for x in (n, y, nb)))


def totals_of(
    result: HeadStatistics, spec: PropertySpec, part: Part, theta: int | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eligible arcs [layers, heads] and counts [layers, heads, classes]; for mass attention."""
    if part.statistic == "mass":
        return result.mass_known[spec.name], result.mass_sums[spec.name]
    at = () if theta is None else theta
    counts = (result.sums if spec.is_value else result.counts)[spec.name]
    return result.eligible[spec.name][at].astype(np.float64), counts[at].astype(np.float64)


def estimates(
    result: HeadStatistics,
    spec: PropertySpec,
    part: Part,
    theta: int | None,
    min_arcs: int,
    units: UnitCounts | None,
) -> HeadEstimates:
    """Proportions and excesses of every head, with their variances.

    Parameters
    ----------
    result : HeadStatistics
    spec, part
        Which numbers.
    theta : int or None
        Position of the threshold on the theta axis.
    min_arcs : int
        Fewer eligible arcs leave a proportion undefined; not for mass.
    units : UnitCounts or None
        Of single units; None: from the result's own sums over proteins.
    """
    eligible, count = totals_of(result, spec, part, theta)
    enough = eligible > 0
    if part.statistic == "arcs":
        enough = eligible > min_arcs if result.compat else eligible >= max(min_arcs, 1)
    n = np.where(enough, eligible, np.nan)[..., None]
    p = count / n
    background = np.broadcast_to(result.background[spec.name], p.shape)
    elsewhere = "background" in result.options  # of another corpus: the same for every protein
    if units is not None:
        whole = np.where(eligible > 0, eligible, np.nan)[..., None]
        raw, present = count / whole, units.n[..., None] > 0
        residual = np.nan_to_num((units.y - raw * units.n[..., None]) / whole)
        present = np.broadcast_to(present, residual.shape)
        proportion = from_contributions(p, Contributions(units.names, residual, present))
        expected = background if elsewhere else units.nb.sum(axis=0) / n
        moved = residual
        if not elsewhere:
            share = units.nb.sum(axis=0) / whole
            moved = residual - np.nan_to_num((units.nb - share * units.n[..., None]) / whole)
        excess = from_contributions(p - expected, Contributions(units.names, moved, present))
    elif part.statistic == "arcs":
        proportion, excess, expected = _from_moments(
            result, spec, theta, n, p, background if elsewhere else None
        )
    else:
        nothing = np.full(p.shape, np.nan)
        none = np.zeros(p.shape, np.int64)
        expected = background if elsewhere else nothing
        proportion, excess = (Estimate(x, nothing, none) for x in (p, p - expected))
    return HeadEstimates(
        eligible,
        proportion,
        excess,
        np.where(np.isnan(p), np.nan, expected),
        result.background[spec.name],
        _replicates(result, spec, part, theta),
    )


def _from_moments(
    result: HeadStatistics,
    spec: PropertySpec,
    theta: int | None,
    n: NDArray[np.float64],
    p: NDArray[np.float64],
    background: NDArray[np.float64] | None,
) -> tuple[Estimate, Estimate, NDArray[np.float64]]:
    """Proportion, excess and expected share from the sums that a result stores."""
    moments = result.moments[spec.name]
    if theta is not None:
        moments = type(moments)(*(None if x is None else x[theta] for x in moments))
    units = np.broadcast_to(moments.proteins[..., None], p.shape)
    nn = moments.nn[..., None]
    squares = moments.yy - 2 * p * moments.ny + p**2 * nn
    proportion = from_sums(p, n, squares, moments.yy + p**2 * nn, units)
    if background is not None:
        return proportion, proportion._replace(value=p - background), background
    expected = moments.nb / n
    excess = p - expected
    squares = np.full(p.shape, np.nan)
    if moments.nnb is not None:
        squares = _squares(moments, excess, moments.nnb)
    scale = moments.yy + moments.nbnb + excess**2 * nn
    return proportion, from_sums(excess, n, squares, scale, units), expected


def _squares(
    moments: Moments, e: NDArray[np.float64], nnb: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum of (y - n b - e n)**2."""
    single = moments.yy + moments.nbnb + e**2 * moments.nn[..., None]
    return single - 2 * moments.ynb - 2 * e * moments.ny + 2 * e * nnb


def with_floors(a: HeadEstimates, b: HeadEstimates) -> tuple[HeadEstimates, HeadEstimates]:
    """Variances of few arcs are no less than binomial ones; see the module. Not for key values."""
    sides = (a, b)
    n = [np.where(x.eligible > 0, x.eligible, np.nan)[..., None] for x in sides]
    y = [x.proportion.value * of for x, of in zip(sides, n, strict=True)]
    together = sum(n)
    shared = sum(y) / together
    gain = sum(x.excess.value * of for x, of in zip(sides, n, strict=True)) / together
    found = []
    for side, of, count in zip(sides, n, y, strict=True):
        few = np.minimum(count, of - count) < _FEW
        floors = []
        for expected in (shared, np.clip(side.expected + gain, 0.0, 1.0)):
            floors.append(np.where(few, expected * (1 - expected) / of, 0.0))
        found.append(
            side._replace(
                proportion=side.proportion.at_least(floors[0]),
                excess=side.excess.at_least(floors[1]),
            )
        )
    return found[0], found[1]


def _replicates(
    result: HeadStatistics, spec: PropertySpec, part: Part, theta: int | None
) -> NDArray[np.float64] | None:
    """Proportions of the bootstrap replicates; None where there are none."""
    if getattr(result, "n_bootstrap", 0) < 2:
        return None
    found = result.bootstrap[spec.name]
    if part.statistic == "mass":
        known, sums = found.mass_known, found.mass_sums
    else:
        at = slice(None) if theta is None else (slice(None), theta)
        known, sums = found.eligible[at], found.counts[at]
    return sums / np.where(known > 0, known, np.nan)[..., None]
