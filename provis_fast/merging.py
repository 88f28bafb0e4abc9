"""Pooling the results of one analysis that ran in parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from provis_fast.errors import ArgumentError, ResultError
from provis_fast.outcome import unknown_note
from provis_fast.statistics import HeadStatistics


def merge(
    results: Iterable[HeadStatistics], *, allow_partial: bool = False, allow_overlap: bool = False
) -> HeadStatistics:
    """Pool results of one analysis over different proteins, exactly.

    Every protein must be in one result only: proteins are known by digests of id and sequence, and
    two results that share one are refused. What goes unnoticed is the same sequence under another
    id, and what `attach` has seen, which has no ids.

    Totals do not depend on the order of `results` or on how they are grouped. Lists (inputs,
    records set aside, notes) are joined in the order given.

    Parameters
    ----------
    results : iterable of HeadStatistics
        Of one model, with the same properties, thresholds and options. They are not changed.
    allow_partial : bool
        Also take results of interrupted analyses; the pooled result is then marked incomplete.
    allow_overlap : bool
        Also take results that share proteins, which then count twice.

    Returns
    -------
    HeadStatistics

    Raises
    ------
    ResultError
        Nothing to merge, or results that do not belong together; the message lists what differs.
    """
    if isinstance(results, HeadStatistics):
        raise ArgumentError("results: expected a list of HeadStatistics, got a single one")
    pooled: HeadStatistics | None = None
    for number, result in enumerate(results, start=1):
        if not isinstance(result, HeadStatistics):
            raise ArgumentError(
                f"results: expected HeadStatistics, got {type(result).__name__}; "
                "read folders with load_result"
            )
        if not (result.complete or allow_partial):
            raise ResultError(
                f"result {number} comes from an interrupted analysis; finish it, or merge it "
                "all the same with allow_partial=True (--allow-partial)"
            )
        if pooled is None:
            pooled = result.copy()
            continue
        _check_same_analysis(pooled, result, number)
        if not allow_overlap:
            _check_other_inputs(pooled, result, number)
        _pool(pooled, result)
    if pooled is None:
        raise ResultError("nothing to merge: expected at least one result")
    return pooled


def _check_same_analysis(first: HeadStatistics, other: HeadStatistics, number: int) -> None:
    mine, theirs = _identity(first), _identity(other)
    differences = [
        f"  {name}: {mine.get(name, 'absent')} in result 1, "
        f"{theirs.get(name, 'absent')} in result {number}"
        for name in sorted(mine.keys() | theirs.keys())
        if mine.get(name) != theirs.get(name)
    ]
    if differences:
        raise ResultError(
            "these results do not belong together, they differ in\n" + "\n".join(differences)
        )


def _identity(result: HeadStatistics) -> dict[str, Any]:
    """What must be equal for totals to be of the same thing; names as a person knows them."""
    model = result.model
    identity = {
        "model": model.get("digest") or model.get("name"),
        "dtype": model.get("dtype"),
        "model size": f"{result.n_layers} layers x {result.n_heads} heads",
        "layers (from 1)": ",".join(str(layer + 1) for layer in result.layers),
        "threshold": list(result.thresholds),
        "threshold was a single number": result.scalar_threshold,
        "weighting": result.weighting,
        "min_arcs": result.min_arcs,
        "compat": result.compat,
        "entropy": result.totals["entropy"] is not None,
        "properties": ",".join(spec.name for spec in result.properties),
    }
    for spec in result.properties:
        identity[f"property {spec.name}"] = f"{spec.kind} of {','.join(spec.classes)}"
        for name, value in spec.options.items():
            identity[f"property {spec.name}, {name}"] = value
    return identity | {f"option {name}": value for name, value in result.options.items()}


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


def _pool(pooled: HeadStatistics, result: HeadStatistics) -> None:
    pooled.totals.add_(result.totals)
    pooled.analysed += result.analysed
    pooled.residues += result.residues
    pooled.inputs += result.inputs
    pooled.set_aside += result.set_aside
    pooled.run += result.run
    pooled.complete &= result.complete
    pooled.protein_digests = np.union1d(pooled.protein_digests, result.protein_digests)
    notes = list(dict.fromkeys([*pooled.notes, *result.notes]))
    if "background" not in pooled.options:  # else the totals do not tell what was known here
        unknown = {unknown_note(name) for name in pooled.unknown_properties}
        known = {unknown_note(spec.name) for spec in pooled.properties} - unknown
        notes = [note for note in notes if note not in known]
    pooled.notes = notes
    for name in ("versions", "settings"):
        mine, theirs = getattr(pooled, name), getattr(result, name)
        united = {
            key: tuple(sorted({*mine.get(key, ()), *theirs.get(key, ())}))
            for key in sorted(mine.keys() | theirs.keys())
        }
        setattr(pooled, name, united)
