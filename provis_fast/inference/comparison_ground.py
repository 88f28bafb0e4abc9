"""What two results have in common, and where they differ: the ground on which they are compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from provis_fast.errors import ArgumentError, ResultError
from provis_fast.head_arrays import PropertySpec
from provis_fast.identity import identity
from provis_fast.statistics import HeadStatistics

#: Parts of an identity that `Ground.left_out` tells of, or that change no definition.
_PASSED_OVER = (
    *("property ", "properties", "threshold was", "entropy", "bootstrap", "permutations"),
)

#: What `covariance` means for a reader of the intervals.
NOTES = {
    "none": "No protein is in both results; the variances of both estimates add.",
    "estimated": (
        "Differences are tested protein by protein: proteins in both results count with the "
        "difference of what they contribute to each."
    ),
    "bootstrap": (
        "Proteins are in both results. Bootstrap replicates draw them equally often in both, so "
        "that the variance of the difference includes how both vary together; the interval of the "
        "excess takes them for independent."
    ),
    "ignored": (
        "Proteins are in both results, and how the two vary together is not known: intervals take "
        "them for independent. That is conservative (too wide) where proteins deviate in the same "
        "direction in both, as composition makes them do; where they deviate in opposite "
        "directions it is not, by a factor of at most 1.41 in the standard error. Counts of single "
        "proteins of both (--per-protein counts) give a paired test."
    ),
    "same_model": (
        "Proteins are in both results. Of one model, these count the same arcs in both, so both "
        "estimates vary in the same direction, and intervals, which take them for independent, are "
        "conservative (too wide). Counts of single proteins of both (--per-protein counts) give "
        "exact ones."
    ),
    "unknown": (
        "A result does not say which proteins it holds. Intervals take the two for independent, "
        "which is conservative where they share proteins that deviate in the same direction."
    ),
}


class Part(NamedTuple):
    """A statistic that both results have: arcs at a threshold, or attention.

    Attributes
    ----------
    statistic : {"arcs", "mass"}
    threshold : float or None
        None for mass.
    a, b : int or None
        Position of the threshold on the theta axis of each; None where it has no such axis.
    """

    statistic: str
    threshold: float | None
    a: int | None
    b: int | None


class Difference(NamedTuple):
    """A definition, option or circumstance in which two results differ; text for a reader."""

    name: str
    a: str
    b: str


class Ground(NamedTuple):
    """What two results have in common.

    Attributes
    ----------
    matched : bool
        Whether a head of one is the same head of the other.
    reason : str
        Why, or why not; a sentence.
    same_model : bool
        Whether both results are known to be of one model.
    layers : tuple of int
        Layers, from 0, that both analysed; only where heads are matched, else empty.
    rows_a, rows_b : tuple of int
        Positions of these layers in each result.
    properties : tuple of PropertySpec
        Properties of the same definition in both.
    left_out : dict of str to str
        Other properties that were asked for or that one of them has, and why they are not compared.
    parts : tuple of Part
    min_arcs : int
        The larger of both: proportions of fewer eligible arcs are undefined in both.
    proteins_a, proteins_b : int
    shared_proteins : int or None
        Same id and same sequence; None where a result does not say which proteins it holds.
    differences : tuple of Difference
    """

    matched: bool
    reason: str
    same_model: bool
    layers: tuple[int, ...]
    rows_a: tuple[int, ...]
    rows_b: tuple[int, ...]
    properties: tuple[PropertySpec, ...]
    left_out: dict[str, str]
    parts: tuple[Part, ...]
    min_arcs: int
    proteins_a: int
    proteins_b: int
    shared_proteins: int | None
    differences: tuple[Difference, ...]

    @property
    def overlap(self) -> str:
        """ "all", "some", "none" or "unknown": proteins that both results hold."""
        if self.shared_proteins is None:
            return "unknown"
        if not self.shared_proteins:
            return "none"
        same = self.shared_proteins == self.proteins_a == self.proteins_b
        return "all" if same else "some"


def common_ground(
    a: HeadStatistics,
    b: HeadStatistics,
    properties: str | Iterable[str] | None = None,
    statistic: str | None = None,
    threshold: float | None = None,
    matched: bool | None = None,
    allow_partial: bool = False,
) -> Ground:
    """Find what two results have in common; parameters and errors as in `compare`."""
    for name, result in (("a", a), ("b", b)):
        _check_result(name, result, allow_partial)
    if a.compat != b.compat:
        raise ResultError(
            f"a and b: compat is {a.compat!r} in a and {b.compat!r} in b; with it, other arcs are "
            "eligible and other residues count. Analyse both with the same setting"
        )
    matched, reason = _match(a, b, matched)
    layers = tuple(layer for layer in a.layers if layer in b.layers) if matched else ()
    if matched and not layers:
        raise ResultError(
            f"a and b have no analysed layer in common: layers (from 1) {_from_one(a.layers)} in "
            f"a, {_from_one(b.layers)} in b; analyse the same layers"
        )
    chosen, left_out = _properties(a, b, properties)
    return Ground(
        matched,
        reason,
        _same_model(a, b),
        layers,
        tuple(a.layers.index(layer) for layer in layers),
        tuple(b.layers.index(layer) for layer in layers),
        chosen,
        left_out,
        _parts(a, b, statistic, threshold),
        max(a.min_arcs, b.min_arcs),
        a.analysed,
        b.analysed,
        _shared(a, b),
        _differences(a, b),
    )


def _check_result(name: str, result: HeadStatistics, allow_partial: bool) -> None:
    if not isinstance(result, HeadStatistics):
        raise ArgumentError(
            f"{name}: expected HeadStatistics, got {type(result).__name__}; read a folder with "
            "load_result"
        )
    if not result.complete and not allow_partial:
        raise ResultError(
            f"{name}: this result is incomplete (its analysis was interrupted, or it is only some "
            "of the shards of one); finish it, or compare it all the same with allow_partial=True "
            "(--allow-partial)"
        )
    if not result.analysed:
        raise ResultError(f"{name}: this result holds no protein; there is nothing to compare")


def _same_model(a: HeadStatistics, b: HeadStatistics) -> bool:
    digests = [result.model.get("digest") for result in (a, b)]
    return digests[0] is not None and digests[0] == digests[1]


def _match(a: HeadStatistics, b: HeadStatistics, asked: bool | None) -> tuple[bool, str]:
    shapes = [(r.n_layers, r.n_heads) for r in (a, b)]
    families = [r.model.get("family") for r in (a, b)]
    text = " and ".join(f"{layers} layers x {heads} heads" for layers, heads in shapes)
    if asked and shapes[0] != shapes[1]:
        raise ArgumentError(
            f"matched: expected None or False for models of different shape ({text}), got True; "
            "their heads do not correspond"
        )
    if asked is False:
        return False, "Heads are not matched, as was asked for."
    if _same_model(a, b):
        return True, "Both results are of the same model, so a head of one is that of the other."
    if asked:
        return True, "Heads are matched by layer and number, as was asked for."
    if shapes[0] != shapes[1]:
        return False, f"The models have {text}: their heads do not correspond."
    if families[0] != families[1]:
        return False, (
            f"The models are of different families ({families[0]} and {families[1]}): their heads "
            "do not correspond."
        )
    return True, (
        "The models differ in their weights and have the same architecture: heads are matched by "
        "layer and number, which holds for checkpoints of one model (pretrained and fine-tuned, "
        "say). For models that were trained independently compare with matched=False "
        "(--unmatched)."
    )


def _properties(
    a: HeadStatistics, b: HeadStatistics, properties: str | Iterable[str] | None
) -> tuple[tuple[PropertySpec, ...], dict[str, str]]:
    mine, theirs = ({spec.name: spec for spec in r.properties} for r in (a, b))
    names = [*mine, *(name for name in theirs if name not in mine)]
    if properties is not None:
        names = [properties] if isinstance(properties, str) else list(dict.fromkeys(properties))
        if unknown := [name for name in names if name not in mine and name not in theirs]:
            known = ", ".join([*mine, *(n for n in theirs if n not in mine)]) or "none"
            raise ArgumentError(
                f"properties: expected some of {known}, got {unknown[0]!r}; a property must be "
                "part of both results"
            )
    chosen, left_out = [], {}
    for name in names:
        reason = _why_not(name, mine.get(name), theirs.get(name))
        if reason is None and name in a.unknown_properties:
            reason = "known for no protein of A"
        if reason is None and name in b.unknown_properties:
            reason = "known for no protein of B"
        if reason is None:
            chosen.append(mine[name])
        else:
            left_out[name] = reason
    if not chosen:
        told = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise ResultError(
            "a and b have no property in common that could be compared"
            + (f" ({told})" if told else "")
            + "; analyse both with the same properties"
        )
    return tuple(chosen), left_out


def _why_not(name: str, one: PropertySpec | None, two: PropertySpec | None) -> str | None:
    if one is None or two is None:
        return f"only part of {'A' if two is None else 'B'}"
    if one.kind != two.kind:
        return f"of another kind: {one.kind} in A, {two.kind} in B"
    if one.classes != two.classes:
        only = [set(one.classes) - set(two.classes), set(two.classes) - set(one.classes)]
        told = " and ".join(
            f"{', '.join(sorted(names))} only in {side}"
            for names, side in zip(only, "AB", strict=True)
            if names
        )
        return f"other classes: {told or 'in another order'}"
    options = [
        f"{key} is {_shown(one.options.get(key))} in A, {_shown(two.options.get(key))} in B"
        for key in sorted(one.options.keys() | two.options.keys())
        if one.options.get(key) != two.options.get(key)
    ]
    return "another definition: " + "; ".join(options) if options else None


def _shown(value: object) -> str:
    return "absent" if value is None else str(value)


def _parts(
    a: HeadStatistics, b: HeadStatistics, statistic: str | None, threshold: float | None
) -> tuple[Part, ...]:
    if statistic not in (None, "arcs", "mass"):
        raise ArgumentError(f'statistic: expected "arcs", "mass" or None, got {statistic!r}')
    if statistic == "mass" and threshold is not None:
        raise ArgumentError(f"threshold: expected None with statistic='mass', got {threshold}")
    parts = []
    if statistic != "mass":
        shared = [t for t in a.thresholds if t in b.thresholds]
        if threshold is not None and threshold not in shared:
            raise ArgumentError(
                f"threshold: expected one that both results have ({_listed(shared)}), got "
                f"{threshold}; a has {_listed(a.thresholds)}, b has {_listed(b.thresholds)}"
            )
        for value in shared if threshold is None else [threshold]:
            places = [None if r.scalar_threshold else r.thresholds.index(value) for r in (a, b)]
            parts.append(Part("arcs", value, *places))
    both_mass = "arcs" not in (a.weighting, b.weighting)
    if statistic != "arcs" and threshold is None and both_mass:
        parts.append(Part("mass", None, None, None))
    if not parts:
        what = {"arcs": "threshold", "mass": "attention mass"}.get(
            statistic or "", "threshold, nor attention mass,"
        )
        raise ResultError(
            f"a and b have no {what} in common: a has thresholds {_listed(a.thresholds)} and "
            f"weighting {a.weighting!r}, b has thresholds {_listed(b.thresholds)} and weighting "
            f"{b.weighting!r}; analyse both with the same threshold"
        )
    return tuple(parts)


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"


def _shared(a: HeadStatistics, b: HeadStatistics) -> int | None:
    if any(len(r.protein_digests) < r.analysed for r in (a, b)):
        return None
    return len(np.intersect1d(a.protein_digests, b.protein_digests))


def _differences(a: HeadStatistics, b: HeadStatistics) -> tuple[Difference, ...]:
    """Where their identities differ; without properties, which `left_out` tells of."""
    mine, theirs = identity(a), identity(b)
    names = [*mine, *(name for name in theirs if name not in mine)]
    return tuple(
        Difference(name, *(_as_text(side.get(name)) for side in (mine, theirs)))
        for name in names
        if mine.get(name) != theirs.get(name) and not name.startswith(_PASSED_OVER)
    )


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _from_one(layers: Iterable[int]) -> str:
    return ", ".join(str(layer + 1) for layer in layers)
