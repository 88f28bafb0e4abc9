"""Statistics of one batch: the accumulators that the kernels add into, layer by layer.

Nothing here outlives a batch. Once its forward pass is over and its flags are clear, the engine
adds it to the run as a whole; otherwise the batch is thrown away, so that nothing is ever counted
twice or half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from provis_fast import ops
from provis_fast.arguments import check_integer, check_thresholds, check_weighting
from provis_fast.errors import ArgumentError
from provis_fast.interruptions import uninterrupted
from provis_fast.kernel_data import FLAG_NOT_FINITE, PropertyBatch
from provis_fast.properties import Property, resolve
from provis_fast.statistics import HeadStatistics, PropertySpec

if TYPE_CHECKING:
    from provis_fast.arc_lists import ArcList


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
        return cls(
            resolve(properties),
            () if weighting == "attention" else thresholds,
            isinstance(threshold, Real),
            _check_layers(layers, n_layers),
            n_layers,
            n_heads,
            weighting,
            min_arcs,
            bool(entropy),
        )

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
            **provenance,
        )


class BatchStatistics:
    """Accumulators of one batch of S sequences, for all analysed layers.

    Parameters
    ----------
    measures : Measures
    n_sequences : int
    properties : PropertyBatch
        Of the batch's tokens, on `device`.
    device : torch.device
    num_threads : int, optional
        Passed to the kernels.
    arcs : ArcList, optional
        Takes the arcs themselves.
    n_tokens : int, optional
        Tokens of the batch: also measure what each of them receives (`received`).
    """

    def __init__(
        self,
        measures: Measures,
        n_sequences: int,
        properties: PropertyBatch,
        device: torch.device,
        num_threads: int | None = None,
        arcs: ArcList | None = None,
        n_tokens: int | None = None,
    ):
        self.measures, self.properties, self._threads = measures, properties, num_threads
        self.arcs = arcs
        layers, heads = len(measures.layers), measures.n_heads
        channels = properties.channels

        shapes = {}
        if measures.weighting != "attention":
            thetas = len(measures.thresholds)
            shapes["arc_counts"] = (layers, n_sequences, thetas, heads, channels)
        if measures.weighting != "arcs":
            shapes["mass"] = (layers, n_sequences, heads, channels)
        if measures.entropy:
            shapes["entropy"] = (layers, n_sequences, heads)
        if n_tokens is not None:
            shapes["received"] = (layers, heads, n_tokens)
        # One piece of memory, so that one copy brings everything back from a device; the flags,
        # which are int32, stand at its end.
        size = sum(map(math.prod, shapes.values()))
        self._shapes, self._n_sequences = shapes, n_sequences
        self._all = torch.zeros(size + (n_sequences + 1) // 2, dtype=torch.int64, device=device)
        self._views, self._flags = self._split(self._all)
        self._rows = {layer: row for row, layer in enumerate(measures.layers)}

    def _split(self, whole: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Views of the accumulators by name, and of the flags, int32 [S]."""
        views, at = {}, 0
        for name, shape in self._shapes.items():
            views[name] = whole[at : at + math.prod(shape)].view(shape)
            at += math.prod(shape)
        return views, whole[at:].view(torch.int32)[: self._n_sequences]

    @cached_property
    def _host(self) -> tuple[dict[str, Tensor], Tensor]:
        """The finished accumulators in the host's memory: the one wait for the device."""
        return self._split(self._all.cpu())

    def attend(
        self,
        layer: int,
        query: Tensor,  # [T, H, D] packed, or [B, H, L, D]
        key: Tensor,
        value: Tensor | None,
        *,
        scale: float,
        cu_seqlens: Tensor | None = None,  # int32 [S + 1]
        key_mask: Tensor | None = None,  # bool [B, L]
        residues: Tensor | None = None,  # bool [T] or [B, L]
        max_length: int | None = None,
        **terms: Any,
    ) -> Tensor | None:
        """Attention of one layer; adds its statistics if the layer is analysed.

        Parameters
        ----------
        max_length : int, optional
            Tokens of the longest packed sequence; see `ops.attention_statistics_`.
        **terms
            What a family adds to the scores, as `models.Handler` gets it: arguments of
            `ops.attention_statistics_`.

        Returns
        -------
        Tensor or None
            The output in the layout of `query`; None without `value`.
        """
        layout = {
            "cu_seqlens": cu_seqlens,
            "key_mask": key_mask,
            "scale": scale,
            "max_length": max_length,
            "num_threads": self._threads,
            **terms,
        }
        row = self._rows.get(layer)
        if row is None:
            return ops.attention_statistics_(query, key, value, **layout)[0]
        output, _ = ops.attention_statistics_(
            query,
            key,
            value,
            **layout,
            residues=residues,
            properties=self.properties,
            thresholds=self.measures.thresholds,
            **{name: view[row] for name, view in self._views.items()},
            **({} if self.arcs is None else self.arcs.accumulators()),
            flags=self._flags,
        )
        if self.arcs is not None:
            self.arcs.end_layer(row)
        return output

    def not_finite(self) -> list[int]:
        """Sequences with NaN or infinity among their scores: numbers from 0."""
        return torch.nonzero(self._host[1] & FLAG_NOT_FINITE).flatten().tolist()

    def of_each(self, name: str) -> np.ndarray | None:
        """What the kernels have counted, sequence by sequence, in their units.

        Parameters
        ----------
        name : {"arc_counts", "mass", "received"}

        Returns
        -------
        ndarray or None
            int64: arc_counts [S, thetas, layers, heads, K], mass [S, layers, heads, K], received
            [layers, heads, tokens]; None where it was not measured.
        """
        found, _ = self._host
        if name not in found:
            return None
        array = found[name].numpy()
        return array if name == "received" else np.moveaxis(array, 0, 1 if name == "mass" else 2)

    def add_to(
        self,
        statistics: HeadStatistics,
        numerators: np.ndarray,  # int64 [S, C]
        denominators: np.ndarray,  # int64 [S, P]
        n_residues: np.ndarray,  # int64 [S]
        leave_out: Sequence[int] = (),
    ) -> None:
        """Add the batch to a run, wholly or, if this raises, not at all.

        Parameters
        ----------
        leave_out : sequence of int
            Sequences that are not to be added.
        """
        kept = np.setdiff1d(np.arange(len(n_residues)), leave_out)
        if not len(kept):
            return

        found, _ = self._host

        def taken(name: str, layer_axis: int) -> np.ndarray | None:
            if name not in found:
                return None
            array = found[name].numpy()
            return np.moveaxis(array[:, kept] if len(leave_out) else array, 0, layer_axis)

        with uninterrupted():
            statistics.add(
                taken("arc_counts", 2),
                taken("mass", 1),
                taken("entropy", 1),
                numerators[kept],
                denominators[kept],
                int(n_residues[kept].sum()),
            )


def move_properties(properties: PropertyBatch, device: torch.device) -> PropertyBatch:
    """The same properties with their tensors on `device`; pinned ones travel while others work."""
    return PropertyBatch._make(
        x.to(device, non_blocking=True) if isinstance(x, Tensor) else x for x in properties
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
