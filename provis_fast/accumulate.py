"""Statistics of one batch: the accumulators that the kernels add into, layer by layer.

Nothing here outlives a batch. Once its forward pass is over and its flags are clear, the engine
adds it to the run as a whole; otherwise the batch is thrown away, so that nothing is ever counted
twice or half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from provis_fast import ops
from provis_fast.interruptions import uninterrupted
from provis_fast.kernel_data import FLAG_NOT_FINITE, PropertyBatch
from provis_fast.measures import Measures
from provis_fast.statistics import HeadStatistics

if TYPE_CHECKING:
    from provis_fast.arc_lists import ArcList


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
        self._observed = measures.channels.count  # channels; those of permutations follow
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
        """What the kernels have counted, sequence by sequence, in their units; no permutations.

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
        if name == "received":
            return array
        return np.moveaxis(array[..., : self._observed], 0, 1 if name == "mass" else 2)

    def add_to(
        self,
        statistics: HeadStatistics,
        numerators: np.ndarray,  # int64 [S, C]
        denominators: np.ndarray,  # int64 [S, P]
        n_residues: np.ndarray,  # int64 [S]
        digests: np.ndarray | None = None,  # uint64 [S]
        leave_out: Sequence[int] = (),
    ) -> None:
        """Add the batch to a run, wholly or, if this raises, not at all.

        Parameters
        ----------
        digests : ndarray, optional
            Of the proteins; needed with bootstrap replicates.
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
                None if digests is None else digests[kept],
            )


def move_properties(properties: PropertyBatch, device: torch.device) -> PropertyBatch:
    """The same properties with their tensors on `device`; pinned ones travel while others work."""
    return PropertyBatch._make(
        x.to(device, non_blocking=True) if isinstance(x, Tensor) else x for x in properties
    )
