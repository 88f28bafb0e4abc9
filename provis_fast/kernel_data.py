"""What goes into the kernels and what comes out of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from provis_fast.errors import ArgumentError, NumericalError

#: Numbers of `PropertyKind` in csrc/include/provis/attention_statistics.h.
KIND = {
    "key_class": 0,
    "query_class": 1,
    "class_pair": 2,
    "key_value": 3,
    "pair": 4,
    "separation": 5,
}
#: Attention weights are accumulated in integer multiples of 1 / FIXED_POINT.
FIXED_POINT = 1 << 32
#: Values of key-value properties are rounded to multiples of 1 / VALUE_FIXED_POINT.
VALUE_FIXED_POINT = 1 << 16
#: Largest absolute value of a key value.
MAX_VALUE = 1 << 20
#: Most that residues x largest absolute key value of a sequence may be. Values weighted by
#: attention are added in multiples of 2**-32, of which 63 bits hold 2**31; the rest is room for
#: rounding. Sums over arcs, 1 / threshold in a row at most, fit too for thresholds from 2e-5.
MAX_VALUE_SUM = 2_000_000_000
#: Marks an unknown value in `PropertyBatch.values`.
UNKNOWN_VALUE = -(1 << 63)

FLAG_NOT_FINITE = 1
FLAG_ARC_OVERFLOW = 2


class PropertyBatch(NamedTuple):
    """Properties of the tokens of one batch, as the kernels read them.

    Tokens are counted over the batch: packed tokens as they stand, batched ones as b * L + t.

    Attributes
    ----------
    kinds : tuple of int, one per property
        See `KIND`.
    rows : tuple of int
        The property's row in `labels` (classes), `values` (key values) or `pair_offsets` (pairs).
    classes : tuple of int
        Number of classes C: key and query class C; class pair K * K; key value and pair 1;
        separation the number of bins.
    labels : Tensor, int16 [R, tokens]
        Class ids. Negative is unknown; C (K for class pairs) or more is known, of no class.
    values : Tensor, int64 [V, tokens]
        round(value * 2**16), or `UNKNOWN_VALUE`; see `MAX_VALUE` and `MAX_VALUE_SUM`.
    pairs : Tensor, int32 [words]
        Bitmaps; see `pair_offsets`.
    pair_offsets : Tensor, int64 [N, S]
        Where the bitmaps of a sequence of n tokens begin: n rows of W = ceil(n / 32) words that
        say which pairs have the property, then n rows that say which are valid. Row = query; bit
        j % 32 of word j // 32 = key j.
    bin_starts : tuple of int
        Least |i - j| of each separation bin, ascending from 0; the last bin is open.
    """

    kinds: tuple[int, ...]
    rows: tuple[int, ...]
    classes: tuple[int, ...]
    labels: Tensor
    values: Tensor
    pairs: Tensor
    pair_offsets: Tensor
    bin_starts: tuple[int, ...] = ()

    @staticmethod
    def empty(device: torch.device | str = "cpu") -> PropertyBatch:
        """No property at all: arcs and mass alone."""
        return PropertyBatch(
            (),
            (),
            (),
            torch.empty((0, 0), dtype=torch.int16, device=device),
            torch.empty((0, 0), dtype=torch.int64, device=device),
            torch.empty((0,), dtype=torch.int32, device=device),
            torch.empty((0, 0), dtype=torch.int64, device=device),
        )

    @property
    def channels(self) -> int:
        """Accumulator channels: 1 for arcs, then 1 + C for each property."""
        return 1 + len(self.classes) + sum(self.classes)

    def eligible_channels(self) -> list[int]:
        """Channel of each property's eligible arcs; its classes follow it."""
        starts, channel = [], 1
        for classes in self.classes:
            starts.append(channel)
            channel += 1 + classes
        return starts

    def class_channels(self) -> list[int]:
        """Channels of all classes of all properties, in order."""
        return [
            start + 1 + c
            for start, classes in zip(self.eligible_channels(), self.classes, strict=True)
            for c in range(classes)
        ]


class Accumulators(NamedTuple):
    """What the kernel adds into; see `provis_fast.ops.attention_statistics_` for the shapes."""

    arc_counts: Tensor | None = None
    mass: Tensor | None = None
    received: Tensor | None = None
    entropy: Tensor | None = None
    arc_index: Tensor | None = None
    arc_weight: Tensor | None = None
    arc_total: Tensor | None = None
    flags: Tensor | None = None


class AttentionStatistics(NamedTuple):
    """What `provis_fast.ops.attention_statistics` returns. Fields not asked for are None.

    S sequences, H heads, P properties, C classes of all properties one after the other.

    Attributes
    ----------
    output : Tensor, [T, H, D] or [B, H, L, D], dtype of the query
    lse : Tensor, float32 [H, T] or [B, H, L]
    arcs : Tensor, int64 [S, thresholds, H]
    eligible : Tensor, int64 [S, thresholds, H, P]
    counts : Tensor, int64 [S, thresholds, H, C]
        Arcs of each class. Of a key value: the sum over arcs of round(value * 2**16), an exact
        integer; divide it by `VALUE_FIXED_POINT` (2**16) to have it in the value's own unit.
    mass : Tensor, float64 [S, H]
    mass_known : Tensor, float64 [S, H, P]
    mass_sums : Tensor, float64 [S, H, C]
        Attention on each class. Of a key value: the weighted sum in the value's own unit.
    received : Tensor, float64 [H, tokens]
    entropy : Tensor, float64 [S, H]
        Nats, summed over the residues of a sequence.
    arc_index : Tensor, int32 [N, 4]
        (sequence, head, query, key), sorted; tokens are counted within the sequence.
    arc_weight : Tensor, float32 [N]
    arc_total : Tensor, int64 [1]
    flags : Tensor, int32 [S]
        Bit 0: NaN or infinity among the scores. Bit 1: more arcs than there was room for.
    """

    output: Tensor | None
    lse: Tensor | None
    arcs: Tensor | None
    eligible: Tensor | None
    counts: Tensor | None
    mass: Tensor | None
    mass_known: Tensor | None
    mass_sums: Tensor | None
    received: Tensor | None
    entropy: Tensor | None
    arc_index: Tensor | None
    arc_weight: Tensor | None
    arc_total: Tensor | None
    flags: Tensor

    def check(self) -> None:
        """Raise NumericalError or ArgumentError if `flags` says that something went wrong."""
        raised = self.flags.cpu()
        if bad := torch.nonzero(raised & FLAG_NOT_FINITE).flatten().tolist():
            raise NumericalError(
                "query, key: NaN or infinity among the attention scores of sequence(s) "
                f"{_some(bad)}; expected finite numbers. Look for NaN in the inputs, or use a "
                "dtype with a wider range"
            )
        if torch.any(raised & FLAG_ARC_OVERFLOW):
            raise ArgumentError(
                f"max_arcs: there are {int(self.arc_total)} arcs, but room for "
                f"{self.arc_index.shape[0]}; pass max_arcs={int(self.arc_total)} or more"
            )

    def sorted_arcs(self) -> AttentionStatistics:
        """Cut the list of arcs to its length and sort it by (sequence, head, query, key)."""
        if self.arc_index is None:
            return self
        n = min(int(self.arc_total), self.arc_index.shape[0])
        index, weight = self.arc_index[:n], self.arc_weight[:n]
        order = torch.arange(n, device=index.device)
        for column in (3, 2, 1, 0):
            order = order[torch.sort(index[order, column], stable=True).indices]
        return self._replace(arc_index=index[order], arc_weight=weight[order])


def unpack_accumulators(
    output: Tensor | None,
    lse: Tensor | None,
    accumulators: Accumulators,
    properties: PropertyBatch,
) -> AttentionStatistics:
    """Split the channels of the accumulators and turn fixed point into float64."""
    known, classes = properties.eligible_channels(), properties.class_channels()
    arc_counts = accumulators.arc_counts
    mass = None if accumulators.mass is None else accumulators.mass.double() / FIXED_POINT

    def real(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.double() / FIXED_POINT

    return AttentionStatistics(
        output=output,
        lse=lse,
        arcs=None if arc_counts is None else arc_counts[..., 0],
        eligible=None if arc_counts is None else arc_counts[..., known],
        counts=None if arc_counts is None else arc_counts[..., classes],
        mass=None if mass is None else mass[..., 0],
        mass_known=None if mass is None else mass[..., known],
        mass_sums=None if mass is None else mass[..., classes],
        received=real(accumulators.received),
        entropy=real(accumulators.entropy),
        arc_index=accumulators.arc_index,
        arc_weight=accumulators.arc_weight,
        arc_total=accumulators.arc_total,
        flags=accumulators.flags,
    )


def _some(numbers: list[int]) -> str:
    shown = ", ".join(str(n) for n in numbers[:5])
    return shown if len(numbers) <= 5 else f"{shown}, ... ({len(numbers)} in all)"
