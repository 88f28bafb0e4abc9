"""Pooling the results of one analysis that ran in parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from provis_fast.errors import ArgumentError, ResultError
from provis_fast.identity import differences, identity
from provis_fast.shards import ShardParts
from provis_fast.statistics import HeadStatistics


def merge(
    results: Iterable[HeadStatistics], *, allow_partial: bool = False, allow_overlap: bool = False
) -> HeadStatistics:
    """Pool results of one analysis over different proteins, exactly.

    Every protein must be in one result only: proteins are known by digests of id and sequence, and
    two results that share one are refused. What goes unnoticed is the same sequence under another
    id, and what `attach` has seen, which has no ids.

    All shards of one input, in any order, become the result that its analysis in one piece has.

    Totals do not depend on the order of `results` or on how they are grouped. Lists (inputs,
    records set aside, notes) are joined in the order given, as if the inputs were one.

    Parameters
    ----------
    results : iterable of HeadStatistics
        Of one model, with the same properties, thresholds and options. They are not changed.
    allow_partial : bool
        Also take results of interrupted analyses, and some of the shards of an input without the
        others; the pooled result is then marked incomplete.
    allow_overlap : bool
        Also take results that share proteins, which then count twice. Not those of shards.

    Returns
    -------
    HeadStatistics

    Raises
    ------
    ResultError
        Nothing to merge, or results that do not belong together; the message lists what differs.
        Shards that are missing, that come twice, or of another number than others.
    """
    if isinstance(results, HeadStatistics):
        raise ArgumentError("results: expected a list of HeadStatistics, got a single one")
    first: HeadStatistics | None = None
    # Shards of one input are pooled by themselves, other results with the one before.
    pooled: list[HeadStatistics] = []
    for number, result in enumerate(results, start=1):
        if not isinstance(result, HeadStatistics):
            raise ArgumentError(
                f"results: expected HeadStatistics, got {type(result).__name__}; "
                "read folders with load_result"
            )
        if result.interrupted and not allow_partial:
            raise ResultError(
                f"result {number} comes from an interrupted analysis; finish it, or merge it "
                "all the same with allow_partial=True (--allow-partial)"
            )
        first = first or result
        _check_same_analysis(first, result, number)
        same = next((other for other in pooled if _same_shards(other, result)), None)
        if same is not None:
            shard = same.shard.united(result.shard)
        for other in pooled:
            if not allow_overlap or other is same:
                _check_other_inputs(other, result, number)
        if same is not None:
            _pool_shards(same, result, shard)
        elif pooled and pooled[-1].shard is None and result.shard is None:
            _pool(pooled[-1], result)
        else:
            pooled.append(result.copy())
    if not pooled:
        raise ResultError("nothing to merge: expected at least one result")
    for one in pooled:
        _check_shards(one, allow_partial)
    merged, *others = pooled
    for other in others:
        _pool(merged, other)
    return merged


def _check_same_analysis(first: HeadStatistics, other: HeadStatistics, number: int) -> None:
    mine, theirs = identity(first), identity(other)
    if lines := differences(mine, theirs, "in result 1", f"in result {number}"):
        raise ResultError(
            "these results do not belong together, they differ in\n" + "\n".join(lines)
        )


def _check_other_inputs(first: HeadStatistics, other: HeadStatistics, number: int) -> None:
    """Refuse proteins that stand in both results, as far as both tell which ones they hold."""
    shared = len(np.intersect1d(first.protein_digests, other.protein_digests))
    if shared:
        raise ResultError(
            f"result {number} and an earlier one hold the same {shared:,} protein(s) (same id, "
            f"same sequence), of {other.analysed:,} in result {number}: they would count twice. "
            "Analyse every protein once, or let them count twice with allow_overlap=True "
            "(--allow-overlap)"
        )
    if all(len(result.protein_digests) == result.analysed for result in (first, other)):
        return
    seen = {entry.get("sha256"): entry for entry in first.inputs if entry.get("sha256")}
    again = [entry.get("path") for entry in other.inputs if entry.get("sha256") in seen]
    if again:
        raise ResultError(
            f"result {number} was computed from input that an earlier one was computed from too "
            f"({', '.join(map(str, again[:5]))}{', ...' if len(again) > 5 else ''}), and they do "
            "not say which of its proteins they hold: those in both would count twice. If they "
            "are different ones, merge with allow_overlap=True (--allow-overlap)"
        )


def _same_shards(one: HeadStatistics, other: HeadStatistics) -> bool:
    """Whether both hold shards of the same input."""
    return None not in (one.shard, other.shard) and _files(one) == _files(other)


def _files(result: HeadStatistics) -> list[tuple[Any, Any]]:
    return [(entry.get("sha256"), entry.get("bytes")) for entry in result.inputs]


def _check_shards(result: HeadStatistics, allow_partial: bool) -> None:
    """Mark a result complete that has all shards of its input; else refuse it, unless allowed."""
    shard = result.shard
    if shard is None:
        return
    if not shard.missing:
        result.shard, result.complete = None, True
    elif not allow_partial:
        missing = ", ".join(map(str, shard.missing))
        paths = ", ".join(str(entry.get("path")) for entry in result.inputs[:3])
        raise ResultError(
            f"shard {missing} of {shard.of} is missing ({paths}): give the results of all shards, "
            "or merge what there is with allow_partial=True (--allow-partial)"
        )


def _pool_shards(pooled: HeadStatistics, result: HeadStatistics, shard: ShardParts) -> None:
    """Add a shard of the same input; records keep their numbers in it."""
    # Known of another corpus, it is the same in every shard that came so far, and counts once.
    background = None
    if "background" in pooled.options:
        names = ("background_num", "background_den")
        known = result if result.totals["background_den"].to_float64().any() else pooled
        background = {name: known.totals[name].copy() for name in names}
    _pool_what_adds(pooled, result)
    for name, total in (background or {}).items():
        pooled.totals[name].hi[...], pooled.totals[name].lo[...] = total.hi, total.lo
    pooled.remarks.extend(result.remarks)
    pooled.shard = shard


def _pool(pooled: HeadStatistics, result: HeadStatistics) -> None:
    offset = max(pooled.read, pooled.remarks.end)
    _pool_what_adds(pooled, result)
    pooled.remarks.extend(result.remarks, offset)
    pooled.inputs += result.inputs
    pooled.complete &= result.complete
    pooled.shard = None  # if there was one, this is incomplete for good


def _pool_what_adds(pooled: HeadStatistics, result: HeadStatistics) -> None:
    """What does not depend on what the inputs have to do with each other."""
    if pooled.unknown is not None and result.unknown is not None:  # else the totals tell
        tell = [set(one.unknown) for one in (pooled, result) if one.analysed]
        both = set.intersection(*tell) if tell else set()
        pooled.unknown = tuple(s.name for s in pooled.properties if s.name in both)
    pooled.add_result(result)
    pooled.run += result.run
    pooled.protein_digests = np.union1d(pooled.protein_digests, result.protein_digests)
    for template, n in result.counted.items():
        pooled.count(template, n)
    for note in result.general_notes:
        pooled.note(note)
    for name in ("versions", "settings"):
        mine, theirs = getattr(pooled, name), getattr(result, name)
        united = {
            key: tuple(sorted({*mine.get(key, ()), *theirs.get(key, ())}))
            for key in sorted(mine.keys() | theirs.keys())
        }
        setattr(pooled, name, united)
