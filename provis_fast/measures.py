"""What is measured, as a user asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from provis_fast.arguments import check_integer, check_thresholds, check_weighting
from provis_fast.errors import ArgumentError
from provis_fast.properties import Property, resolve
from provis_fast.properties.shifted import is_shifted
from provis_fast.resampling import MAX_BOOTSTRAP, MAX_PERMUTATIONS
from provis_fast.statistics import HeadStatistics, PropertySpec
from provis_fast.totals import Channels

#: Accumulators of a batch with permutations: more proteins are not packed together, and a single
#: one may not take more.
MAX_BYTES = 512 << 20
#: Totals of all bootstrap replicates, which are part of every checkpoint.
MAX_BOOTSTRAP_BYTES = 2 << 30


@dataclass(frozen=True)
class Measures:
    """What is measured on the attention of a model.

    Attributes
    ----------
    properties : tuple of Property
    thresholds : tuple of float
        Empty where `weighting` is "attention".
    scalar_threshold : bool
        The threshold was given as a number, not as a sequence.
    layers : tuple of int
        Analysed layers, from 0, ascending.
    n_layers, n_heads : int
        Of the model.
    weighting : {"arcs", "attention", "both"}
    min_arcs : int
    entropy : bool
    bootstrap, permutations : int
        Replicates of each kind; see `provis_fast.resampling`.
    """

    properties: tuple[Property, ...]
    thresholds: tuple[float, ...]
    scalar_threshold: bool
    layers: tuple[int, ...]
    n_layers: int
    n_heads: int
    weighting: str
    min_arcs: int
    entropy: bool
    bootstrap: int = 0
    permutations: int = 0

    @classmethod
    def checked(
        cls,
        properties: Any,
        threshold: float | Sequence[float],
        layers: Sequence[int] | None,
        n_layers: int,
        n_heads: int,
        weighting: str = "arcs",
        min_arcs: int = 100,
        entropy: bool = False,
        bootstrap: int = 0,
        permutations: int = 0,
    ) -> Measures:
        """Measures from a user's arguments.

        Raises
        ------
        ArgumentError
            An argument that does not fit, by name.
        """
        check_weighting(weighting)
        min_arcs = check_integer("min_arcs", min_arcs, 0)
        thresholds = check_thresholds(threshold)
        if not thresholds:
            raise ArgumentError("threshold: expected at least one number in (0, 1], got none")
        if len(set(thresholds)) < len(thresholds):
            raise ArgumentError(f"threshold: expected every number once, got {thresholds}")
        measures = cls(
            resolve(properties),
            () if weighting == "attention" else thresholds,
            isinstance(threshold, Real),
            _check_layers(layers, n_layers),
            n_layers,
            n_heads,
            weighting,
            min_arcs,
            bool(entropy),
            check_integer("bootstrap", bootstrap, 0, MAX_BOOTSTRAP),
            check_integer("permutations", permutations, 0, MAX_PERMUTATIONS),
        )
        measures.check_memory()
        return measures

    @property
    def channels(self) -> Channels:
        """Where each property stands in the accumulators."""
        return Channels(
            [prop.n_channels for prop in self.properties],
            [prop.kind == "key_value" for prop in self.properties],
            [is_shifted(prop) for prop in self.properties],
        )

    @property
    def most_sequences(self) -> int | None:
        """Most proteins of one batch, so that the permutations' accumulators do not fill the
        memory; None without permutations."""
        return max(1, MAX_BYTES // self._protein_bytes) if self.permutations else None

    def check_memory(self) -> None:
        """Raise ArgumentError where replicates take more memory than is sensible."""
        if self.permutations and not len(self.channels.shifted):
            names = ", ".join(prop.name for prop in self.properties) or "no property"
            raise ArgumentError(
                "permutations: expected at least one property that changes when labels are "
                f"shifted, got {names}; add one, or leave permutations out"
            )
        heads = f"{len(self.layers)} layers x {self.n_heads} heads"
        if self.permutations and self._protein_bytes > MAX_BYTES:
            raise ArgumentError(
                f"permutations: expected few enough that the counts of one protein take at most "
                f"{MAX_BYTES >> 20} MiB, got {self.permutations} of these properties and "
                f"thresholds in {heads}, which take {self._protein_bytes >> 20:,}; ask for fewer "
                "of them, or for fewer layers"
            )
        size = 16 * self.bootstrap * self._numbers * self.channels.count
        if size > MAX_BOOTSTRAP_BYTES:
            raise ArgumentError(
                f"bootstrap: expected few enough replicates that their totals take at most "
                f"{MAX_BOOTSTRAP_BYTES >> 20:,} MiB, got {self.bootstrap} of these properties and "
                f"thresholds in {heads}, which take {size >> 20:,}; ask for fewer of them, or for "
                "fewer layers"
            )

    @property
    def _protein_bytes(self) -> int:
        """Of the accumulators of one protein, permutations included."""
        channels = self.channels
        count = channels.count + self.permutations * len(channels.shifted)
        return 8 * self._numbers * count

    @property
    def _numbers(self) -> int:
        """How many numbers each channel is: over thresholds, mass, layers and heads."""
        kinds = len(self.thresholds) + (self.weighting != "arcs")
        return kinds * len(self.layers) * self.n_heads

    def with_properties(self, properties: tuple[Property, ...]) -> Measures:
        """The same measures of other properties."""
        return replace(self, properties=properties)

    def empty(self, **provenance: Any) -> HeadStatistics:
        """A result that holds these measures of no protein yet.

        Parameters
        ----------
        **provenance
            Further arguments of `HeadStatistics.empty`: model, inputs, compat, options, ...
        """
        specs = [PropertySpec(p.name, p.kind, p.classes, p.options()) for p in self.properties]
        return HeadStatistics.empty(
            self.layers,
            self.n_layers,
            self.n_heads,
            self.thresholds or (1.0,),
            self.scalar_threshold,
            specs,
            self.weighting,
            self.min_arcs,
            entropy=self.entropy,
            n_bootstrap=self.bootstrap,
            n_permutations=self.permutations,
            **provenance,
        )


def _check_layers(layers: Sequence[int] | None, n_layers: int) -> tuple[int, ...]:
    if layers is None:
        return tuple(range(n_layers))
    try:
        given = [int(layer) for layer in layers]
        same = given == list(layers)
    except (TypeError, ValueError):
        given, same = [], False
    if not same or not given or len(set(given)) < len(given):
        raise ArgumentError(
            f"layers: expected different integers from 0 to {n_layers - 1}, got {layers!r}"
        )
    if min(given) < 0 or max(given) >= n_layers:
        raise ArgumentError(
            f"layers: expected numbers from 0 to {n_layers - 1} (the model has {n_layers} layers), "
            f"got {layers!r}"
        )
    return tuple(sorted(given))
