"""What a figure shows of a result: one property's numbers, with the words that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError, ResultError

if TYPE_CHECKING:
    from provis_fast.head_arrays import PropertySpec
    from provis_fast.statistics import HeadStatistics

NAMES = {
    "A": "alanine", "C": "cysteine", "D": "aspartate", "E": "glutamate", "F": "phenylalanine",
    "G": "glycine", "H": "histidine", "I": "isoleucine", "K": "lysine", "L": "leucine",
    "M": "methionine", "N": "asparagine", "P": "proline", "Q": "glutamine", "R": "arginine",
    "S": "serine", "T": "threonine", "V": "valine", "W": "tryptophan", "Y": "tyrosine",
}  # fmt: skip
#: Units of the values that come with this package; others say nothing of theirs.
_UNITS = {
    "hydrophobicity": "Kyte-Doolittle",
    "charge": "e",
    "volume": "Å³",
    "plddt": "pLDDT",
    "solvent_exposure": "fraction of maximum",
}


@dataclass(frozen=True, eq=False)
class Shares:
    """One property of a result under one statistic and threshold.

    Layers stand in ascending order, whatever their order in the result.

    Attributes
    ----------
    spec : PropertySpec
    statistic : {"arcs", "mass"}
    threshold : float or None
        None for mass.
    layers : list of int
        0-based.
    shown : float64 [layers, heads, classes]
        Shares in percent, or mean values; NaN where there are too few arcs.
    eligible : float64 [layers, heads]
        Arcs, or attention, on which the property is known.
    background : float64 [classes]
        As `shown`.
    """

    spec: PropertySpec
    statistic: str
    threshold: float | None
    layers: list[int]
    shown: NDArray[np.float64]
    eligible: NDArray[np.float64]
    background: NDArray[np.float64]

    def index(self, class_name: str | None) -> int:
        """Position of a class; None means the only one.

        Raises
        ------
        ArgumentError
            No such class, or None where there are several.
        """
        classes = self.spec.classes
        if class_name is None and len(classes) == 1:
            return 0
        if class_name not in classes:
            shown = ", ".join(classes[:24]) + (", ..." if len(classes) > 24 else "")
            raise ArgumentError(
                f"class_name: expected one of {self.spec.name}'s classes, {shown}; got "
                f"{class_name!r}"
            )
        return classes.index(class_name)

    @property
    def weight(self) -> str:
        """What the shares are shares of."""
        return "arcs" if self.statistic == "arcs" else "attention"

    @property
    def unit(self) -> str:
        """Of `shown`, as an axis says it."""
        return value_unit(self.spec) if self.spec.is_value else f"% of {self.weight}"

    def axis(self, what: str) -> str:
        """Title of an axis: what is measured, and its unit."""
        return f"{what}, {self.unit}" if self.unit else what

    def say(self, number: float) -> str:
        """A number of `shown` in a sentence."""
        digits = f"{number:.3g}".replace("-", "−")
        if not self.spec.is_value:
            return f"{digits}%"
        return f"{digits} {self.unit}".strip()


def check(result: HeadStatistics) -> None:
    """ResultError where there is nothing to show."""
    if not result.analysed:
        raise ResultError(
            "this result is empty: no protein was analysed; see its skipped and failed records"
        )


def chosen_statistic(
    result: HeadStatistics, statistic: str | None, threshold: float | None
) -> tuple[str, float | None, Any]:
    """Statistic, threshold, and the index of the latter in arrays with a theta axis.

    Parameters
    ----------
    statistic : {"arcs", "mass"}, optional
        Default arcs, where the result has them.
    threshold : float, optional
        One of the result's; default the first.

    Raises
    ------
    ArgumentError
        Something that is not part of the result.
    """
    check(result)
    has = [name for name, left_out in (("arcs", "attention"), ("mass", "arcs"))
           if result.weighting != left_out]  # fmt: skip
    statistic = has[0] if statistic is None else statistic
    if statistic not in has:
        raise ArgumentError(f"statistic: this result has {', '.join(has)}; got {statistic!r}")
    if statistic == "mass":
        if threshold is not None:
            raise ArgumentError(
                f"threshold: attention-weighted numbers have none; got {threshold}, leave it out"
            )
        return statistic, None, ()
    threshold = result.thresholds[0] if threshold is None else threshold
    if threshold not in result.thresholds:
        known = ", ".join(map(str, result.thresholds))
        raise ArgumentError(f"threshold: this result has {known}; got {threshold}")
    theta = () if result.scalar_threshold else result.thresholds.index(threshold)
    return statistic, float(threshold), theta


def shares(
    result: HeadStatistics,
    property_name: str,
    *,
    statistic: str | None = None,
    threshold: float | None = None,
) -> Shares:
    """Numbers of one property.

    Raises
    ------
    ArgumentError
        A property, statistic or threshold that the result does not have.
    ResultError
        No protein was analysed, or the property is known nowhere.
    """
    statistic, threshold, theta = chosen_statistic(result, statistic, threshold)
    spec = result.properties[result.index(property_name)]
    if property_name in result.unknown_properties:
        raise ResultError(
            f"{property_name}: known for no residue of this result's proteins, so there is nothing "
            "to draw; analyse an input that annotates it"
        )
    order = np.argsort(result.layers)
    if statistic == "arcs":
        share = result.proportion[property_name][theta]
        eligible = result.eligible[property_name][theta].astype(np.float64)
    else:
        share, eligible = result.mass_proportion[property_name], result.mass_known[property_name]
    factor = 1.0 if spec.is_value else 100.0
    return Shares(
        spec,
        statistic,
        threshold,
        [result.layers[k] for k in order],
        factor * share[order],
        eligible[order],
        factor * result.background[property_name],
    )


def readable(name: str) -> str:
    """A property's or class's name in words."""
    return name.replace("_", " ").strip()


def value_unit(spec: PropertySpec) -> str:
    """Unit of a key value; "" where it says none."""
    said = readable(spec.classes[0])
    return _UNITS.get(spec.name, "" if said == "value" else said)


def phrase(spec: PropertySpec, class_name: str) -> str:
    """What a head does that favours a class, such as "attention to strand"."""
    name = readable(class_name)
    if spec.kind == "key_value":
        return f"mean {readable(spec.name)} of attended residues"
    if spec.kind == "class_pair" and ">" in class_name:
        query, _, key = class_name.partition(">")
        return f"attention from {readable(query)} to {readable(key)}"
    if spec.kind == "pair":
        return f"attention on {name} pairs"
    if spec.kind == "separation":
        return f"attention at |i − j| {'= ' if class_name.isdigit() else ''}{spell(class_name)}"
    if spec.name.startswith("amino_acid") and class_name in NAMES:
        name = f"{class_name} ({NAMES[class_name]})"
    return f"attention {'from' if spec.kind == 'query_class' else 'to'} {name}"


def spell(class_name: str) -> str:
    """A class as figures write it: with real signs for ranges and bounds."""
    if class_name.replace("-", "").isdigit():
        return class_name.replace("-", "–")
    return class_name.replace(">=", "≥ ")


def sentence(text: str) -> str:
    """With a capital, wherever the first letter is one that has one."""
    return text[:1].upper() + text[1:]


def model_name(result: HeadStatistics) -> str:
    """The model's name; of a folder, the last part."""
    name = str(result.model.get("name", "unnamed model"))
    path = PurePath(name)
    return path.name if path.is_absolute() and path.name else name
