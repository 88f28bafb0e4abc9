"""Arrays of a result, by their public names, made from exact totals when they are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError, ResultError
from provis_fast.fixed128 import Int128
from provis_fast.totals import (
    ATTENTION_BITS,
    BOOTSTRAP,
    EXPECTED_BITS,
    LATER,
    PERMUTATIONS,
    VALUE_BITS,
    Totals,
)

KINDS = ("key_class", "query_class", "class_pair", "key_value", "pair", "separation")


@dataclass(frozen=True)
class PropertySpec:
    """What a property is, as far as a result needs to know.

    Parameters
    ----------
    name : str
    kind : str
        One of `KINDS`.
    classes : tuple of str
        Names of its classes; a class pair has K * K, row = the query's class.
    options : dict
        What it was computed with, JSON values only. Results with other options do not merge.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ArgumentError(f"kind: expected one of {KINDS}, got {self.kind!r}")
        if self.kind == "key_value" and len(self.classes) != 1:
            raise ArgumentError(f"classes: a key value has one, got {self.classes}")
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "options", as_json(f"options of {self.name}", self.options))

    @property
    def is_value(self) -> bool:
        """Whether counts are sums of values."""
        return self.kind == "key_value"

    @property
    def is_shifted(self) -> bool:
        """Whether a permutation shifts the property; separation stays what it is."""
        return self.kind != "separation"


def as_json(name: str, content: Any) -> Any:
    """`content` as it comes back from a JSON file, so that saving changes nothing.

    Raises
    ------
    ArgumentError
        It cannot be written as JSON.
    """
    try:
        return json.loads(json.dumps(content, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"{name}: expected numbers, strings, lists and dicts of them (JSON), got {content!r} "
            f"({error})"
        ) from error


class Moments(NamedTuple):
    """Sums over proteins of one property, with y the count, n the eligible arcs and b the
    background share of a protein (key values: sum and mean of its values).

    `proteins` (with n > 0, int64) and `nn` are [.., layers, heads]; the others, float64, are
    [.., layers, heads, classes]. `nnb`, the sum of n**2 b, is None in results of format versions
    1 and 2, which did not keep it.
    """

    proteins: NDArray[np.int64]
    nn: NDArray[np.float64]
    yy: NDArray[np.float64]
    ny: NDArray[np.float64]
    nb: NDArray[np.float64]
    nbnb: NDArray[np.float64]
    ynb: NDArray[np.float64]
    nnb: NDArray[np.float64] | None = None


class Replicates(NamedTuple):
    """One property in R bootstrap replicates, or in R permutations.

    What the result does not hold, as its weighting leaves it out, is None. ".." is the theta axis,
    as in the result's own arrays.

    Attributes
    ----------
    eligible : float64 [R, .., layers, heads]
        Arcs on which the property is known.
    counts : float64 [R, .., layers, heads, classes]
        Of these, arcs in each class; of key values the sum over them.
    background : float64 [R, classes]
        Share of the residues (or pairs) in each class, or mean value. None of permutations, which
        do not change it; where the background is that of another corpus, it is the same in every
        bootstrap replicate.
    mass_known : float64 [R, layers, heads]
        Attention on pairs where the property is known.
    mass_sums : float64 [R, layers, heads, classes]
        Attention on each class (key values: weighted sum).
    """

    eligible: NDArray[np.float64] | None
    counts: NDArray[np.float64] | None
    background: NDArray[np.float64] | None
    mass_known: NDArray[np.float64] | None
    mass_sums: NDArray[np.float64] | None


class _UnknownProperty(ArgumentError, KeyError):
    __str__ = Exception.__str__  # KeyError's would put quotes round the message


class _ByProperty(Mapping[str, Any]):
    """Arrays by property name, made when they are asked for."""

    def __init__(self, what: str, indices: Mapping[str, int], make: Callable[[int], Any]):
        self._what, self._indices, self._make = what, indices, make

    def __getitem__(self, name: str) -> Any:
        if name not in self._indices:
            known = ", ".join(self._indices) or "none"
            raise _UnknownProperty(f"{self._what}: no property {name!r} here, only {known}")
        return self._make(self._indices[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __repr__(self) -> str:
        return f"<{self._what} of {', '.join(self._indices) or 'no property'}>"


class HeadArrays:
    """The arrays of `HeadStatistics`, which inherits them.

    One row per analysed layer, in the order of `HeadStatistics.layers`. ".." is a leading theta
    axis, present when the threshold was a sequence. What a result does not hold (its weighting
    leaves it out) raises ResultError.
    """

    thresholds: tuple[float, ...]
    scalar_threshold: bool
    properties: tuple[PropertySpec, ...]
    min_arcs: int
    residues: int
    totals: Totals
    options: dict[str, Any]
    n_bootstrap: int
    n_permutations: int

    @property
    def arcs(self) -> NDArray[np.int64]:
        """Arcs, int64 [.., layers, heads]."""
        return self._arc_counts(0).to_int64()

    @property
    def eligible(self) -> Mapping[str, NDArray[np.int64]]:
        """Arcs on which the property is known, int64 [.., layers, heads]."""
        return self._by_property("eligible", lambda p: self._eligible(p).to_int64())

    @property
    def counts(self) -> Mapping[str, NDArray[np.int64]]:
        """Eligible arcs in each class, int64 [.., layers, heads, classes]; not for key values."""
        return self._by_property("counts", lambda p: self._counts(p).to_int64(), values=False)

    @property
    def sums(self) -> Mapping[str, NDArray[np.float64]]:
        """Sums of key values over eligible arcs, float64 [.., layers, heads, 1]."""
        return self._by_property(
            "sums", lambda p: self._counts(p).to_float64(VALUE_BITS), values=True
        )

    @property
    def proportion(self) -> Mapping[str, NDArray[np.float64]]:
        """Share of the eligible arcs in each class (paper eq. 1; key values: their mean over the
        arcs), float64 [.., layers, heads, classes]; NaN where `eligible` < `min_arcs`."""

        def proportion(p: int) -> NDArray[np.float64]:
            eligible = self._eligible(p).to_float64()
            eligible[eligible < max(self.min_arcs, 1)] = np.nan
            return self._counts(p).to_float64(self._value_bits(p)) / eligible[..., None]

        return self._by_property("proportion", proportion)

    @property
    def background(self) -> Mapping[str, NDArray[np.float64]]:
        """Share of all residues (or pairs) in each class, or mean value, float64 [classes]."""

        def background(p: int) -> NDArray[np.float64]:
            numerators = self.totals["background_num"][self._columns(p)]
            denominator = self.totals["background_den"][p].to_float64()
            return _ratio(numerators.to_float64(self._value_bits(p)), denominator)

        return self._by_property("background", background)

    @property
    def mass(self) -> NDArray[np.float64]:
        """Attention between residues, float64 [layers, heads]."""
        return self._mass(0)

    @property
    def mass_known(self) -> Mapping[str, NDArray[np.float64]]:
        """Attention on pairs where the property is known, float64 [layers, heads]."""
        return self._by_property("mass_known", self._mass_known)

    @property
    def mass_sums(self) -> Mapping[str, NDArray[np.float64]]:
        """Attention on each class (key values: weighted sum), float64 [layers, heads, classes]."""
        return self._by_property("mass_sums", self._mass_sums)

    @property
    def mass_proportion(self) -> Mapping[str, NDArray[np.float64]]:
        """mass_sums / mass_known, float64 [layers, heads, classes]; NaN where nothing is known."""
        return self._by_property(
            "mass_proportion",
            lambda p: _ratio(self._mass_sums(p), self._mass_known(p)[..., None]),
        )

    @property
    def entropy(self) -> NDArray[np.float64]:
        """Mean entropy of a residue's row of attention in nats, float64 [layers, heads]."""
        total = self._total("entropy", "entropy=True").to_float64(ATTENTION_BITS)
        return _ratio(total, np.float64(self.residues))

    @property
    def moments(self) -> Mapping[str, Moments]:
        """Sums over proteins, for inference with the protein as the unit."""

        def moments(p: int) -> Moments:
            value = self._value_bits(p)
            bits = {"yy": 2 * value, "ny": value, "nb": EXPECTED_BITS, "nbnb": 2 * EXPECTED_BITS}
            bits["ynb"] = value + EXPECTED_BITS
            if self.totals[LATER] is not None:
                bits["nnb"] = EXPECTED_BITS
            sums = {
                name: self._moment(name, self._columns(p)).to_float64(bits[name]) for name in bits
            }
            nn = self._moment("nn", p).to_float64()
            return Moments(self._moment("proteins", p).to_int64(), nn, **sums)

        return self._by_property("moments", moments)

    @property
    def bootstrap(self) -> Mapping[str, Replicates]:
        """Poisson bootstrap over proteins, R = `n_bootstrap`; see `provis_fast.resampling`."""
        self._expect_replicates("bootstrap", self.n_bootstrap)

        def replicates(p: int) -> Replicates:
            channels = self.totals.channels
            place = (channels.eligible[p], channels.classes[self._columns(p)])
            return self._replicates(BOOTSTRAP, p, place, self._bootstrap_background(p))

        return self._by_property("bootstrap", replicates)

    @property
    def permutations(self) -> Mapping[str, Replicates]:
        """Labels shifted circularly within each protein, R = `n_permutations`; all properties but
        separations."""
        self._expect_replicates("permutations", self.n_permutations)

        def replicates(p: int) -> Replicates:
            channels = self.totals.channels
            at = (channels.eligible[p], channels.classes[self._columns(p)])
            eligible, classes = (np.searchsorted(channels.shifted, channel) for channel in at)
            return self._replicates(PERMUTATIONS, p, (eligible, classes), None)

        return self._by_property("permutations", replicates, shifted=True)

    def _expect_replicates(self, name: str, n: int) -> None:
        if not n:
            raise ResultError(f"{name}: not part of this result; analyse with {name}=N (--{name})")

    def _replicates(
        self, kind: str, p: int, place: tuple[Any, Any], background: NDArray[np.float64] | None
    ) -> Replicates:
        """Replicates of a property whose channels (eligible, classes) are at a place."""
        eligible, classes = place
        arcs, mass = self.totals[f"{kind}arc_counts"], self.totals[f"{kind}mass"]
        if arcs is not None and self.scalar_threshold:
            arcs = arcs[:, 0]
        return Replicates(
            None if arcs is None else arcs[..., eligible].to_float64(),
            None if arcs is None else arcs[..., classes].to_float64(self._value_bits(p)),
            background,
            None if mass is None else mass[..., eligible].to_float64(ATTENTION_BITS),
            None if mass is None else mass[..., classes].to_float64(ATTENTION_BITS),
        )

    def _bootstrap_background(self, p: int) -> NDArray[np.float64]:
        if "background" in self.options:  # of another corpus, which is not resampled
            of_all = self.background[self.properties[p].name]
            return np.tile(of_all, (self.n_bootstrap, 1))
        numerators = self.totals[f"{BOOTSTRAP}background_num"][:, self._columns(p)]
        denominators = self.totals[f"{BOOTSTRAP}background_den"][:, p].to_float64()
        return _ratio(numerators.to_float64(self._value_bits(p)), denominators[:, None])

    def _by_property(
        self,
        what: str,
        make: Callable[[int], Any],
        values: bool | None = None,
        shifted: bool = False,
    ) -> _ByProperty:
        names = {
            spec.name: index
            for index, spec in enumerate(self.properties)
            if (values is None or spec.is_value == values) and (spec.is_shifted or not shifted)
        }
        return _ByProperty(what, names, make)

    def _columns(self, p: int) -> slice:
        return self.totals.channels.columns(p)

    def _value_bits(self, p: int) -> int:
        return VALUE_BITS if self.properties[p].is_value else 0

    def _total(self, name: str, how: str) -> Int128:
        total = self.totals[name]
        if total is None:
            raise ResultError(f"{name}: not part of this result; analyse with {how}")
        return total

    def _without_theta(self, total: Int128) -> Int128:
        return total[0] if self.scalar_threshold else total

    def _arc_counts(self, channels: Any) -> Int128:
        total = self._total("arc_counts", 'weighting="arcs" or "both"')
        return self._without_theta(total[..., channels])

    def _eligible(self, p: int) -> Int128:
        return self._arc_counts(self.totals.channels.eligible[p])

    def _counts(self, p: int) -> Int128:
        return self._arc_counts(self.totals.channels.classes[self._columns(p)])

    def _moment(self, name: str, index: Any) -> Int128:
        total = self._total(f"moments.{name}", 'weighting="arcs" or "both"')
        return self._without_theta(total[..., index])

    def _mass(self, channels: Any) -> NDArray[np.float64]:
        total = self._total("mass", 'weighting="attention" or "both"')
        return total[..., channels].to_float64(ATTENTION_BITS)

    def _mass_known(self, p: int) -> NDArray[np.float64]:
        return self._mass(self.totals.channels.eligible[p])

    def _mass_sums(self, p: int) -> NDArray[np.float64]:
        return self._mass(self.totals.channels.classes[self._columns(p)])


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quotient; NaN where the denominator is 0."""
    return numerator / np.where(denominator > 0, denominator, np.nan)
