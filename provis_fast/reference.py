"""The functions of `provis_fast.ops` in plain PyTorch: slow, float64, and obviously right.

Every attention matrix is materialised, one (sequence, head) at a time. The tests hold the kernels
against this file; read it to learn exactly what a number means.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from provis_fast.arguments import (
    check_accumulators,
    check_attention,
    check_integer,
    check_positions,
    check_properties,
    check_scale,
    check_thresholds,
    check_value_sums,
    check_weighting,
    given_properties,
    key_mask_parts,
)
from provis_fast.kernel_data import (
    FIXED_POINT,
    FLAG_ARC_OVERFLOW,
    FLAG_NOT_FINITE,
    KIND,
    UNKNOWN_VALUE,
    VALUE_FIXED_POINT,
    Accumulators,
    AttentionStatistics,
    PropertyBatch,
    unpack_accumulators,
)


def attention_statistics_(
    query: Tensor,
    key: Tensor,
    value: Tensor | None = None,
    *,
    cu_seqlens: Tensor | None = None,
    key_mask: Tensor | None = None,
    residues: Tensor | None = None,
    properties: PropertyBatch | None = None,
    thresholds: Sequence[float] = (),
    scale: float | None = None,
    relative_bias: Tensor | None = None,
    window: int = 0,
    position_query: Tensor | None = None,
    position_key: Tensor | None = None,
    arc_counts: Tensor | None = None,
    mass: Tensor | None = None,
    received: Tensor | None = None,
    entropy: Tensor | None = None,
    arc_index: Tensor | None = None,
    arc_weight: Tensor | None = None,
    arc_total: Tensor | None = None,
    flags: Tensor | None = None,
    return_lse: bool = False,
    max_length: int | None = None,
    num_threads: int | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """Twin of `provis_fast.ops.attention_statistics_`."""
    sequences, tokens, heads, head_size = check_attention(
        query, key, value, cu_seqlens, key_mask, residues, relative_bias
    )
    window = check_integer("window", window, 0)
    check_positions(query, position_query, position_key)
    thresholds = check_thresholds(thresholds)
    properties = given_properties(properties, query.device)
    check_properties(properties, sequences, tokens, query.device)
    check_value_sums(properties, cu_seqlens, key_mask, residues, sequences, tokens)
    check_accumulators(
        Accumulators(arc_counts, mass, received, entropy, arc_index, arc_weight, arc_total, flags),
        sequences,
        tokens,
        heads,
        len(thresholds),
        properties.channels,
        query.device,
    )
    scale = check_scale(scale, head_size)
    allowed, additive = key_mask_parts(key_mask)
    allowed = (
        torch.ones(tokens, dtype=torch.bool) if allowed is None else allowed.reshape(tokens).cpu()
    )
    counted = allowed if residues is None else allowed & residues.reshape(tokens)
    wide = torch.float64 if query.dtype == torch.float64 else torch.float32
    output = None
    if value is not None and cu_seqlens is not None:
        output = torch.zeros(query.shape, dtype=query.dtype)
    elif value is not None:
        batch, _, length, _ = query.shape
        output = torch.zeros(batch, length, heads, head_size, dtype=query.dtype).transpose(1, 2)
    lse_shape = (heads, tokens) if cu_seqlens is not None else query.shape[:3]
    lse = torch.full(lse_shape, -math.inf, dtype=wide)

    for s, (begin, end) in enumerate(_bounds(query, cu_seqlens)):
        here = slice(begin, end)
        for h in range(heads):
            if cu_seqlens is not None:
                q, k = query[here, h].double(), key[here, h].double()
                v = None if value is None else value[here, h].double()
            else:
                q, k = query[s, h].double(), key[s, h].double()
                v = None if value is None else value[s, h].double()
            keys = allowed[here]
            n = end - begin
            offset = torch.arange(n)[None, :] - torch.arange(n)[:, None]  # j - i
            scores = torch.full((n, n), -math.inf, dtype=torch.float64)
            scores[:, keys] = scale * (q @ k[keys].T)
            if additive is not None:
                scores[:, keys] += additive.reshape(tokens)[here][keys].double()
            if relative_bias is not None:
                scores += relative_bias[h].double()[offset + relative_bias.shape[1] // 2]
            if position_query is not None:
                p = position_query[here, h] if cu_seqlens is not None else position_query[s, h]
                products = p.double() @ position_key[:, h].double().T  # [n, P]
                terms = products.gather(1, offset + position_key.shape[0] // 2)
                scores[:, keys] += scale * terms[:, keys]
            if window:
                scores[offset.abs() >= window] = -math.inf
            row_lse = torch.logsumexp(scores, dim=1)
            a = torch.where(scores == -math.inf, 0.0, torch.exp(scores - row_lse[:, None]))
            if output is not None:
                mixed = (a[:, keys] @ v[keys]).to(query.dtype)
                if cu_seqlens is not None:
                    output[here, h] = mixed
                else:
                    output[s, h] = mixed
            if cu_seqlens is not None:
                lse[h, here] = row_lse.to(wide)
            else:
                lse[s, h] = row_lse.to(wide)

            if not torch.isfinite(a[keys]).all():
                if flags is not None:
                    flags[s] |= FLAG_NOT_FINITE
                continue
            rows = counted[here]
            pairs = rows[:, None] & rows[None, :]
            facts = list(_pair_facts(properties, s, begin, n))
            if arc_counts is not None:
                for t, theta in enumerate(thresholds):
                    arcs = ((a >= theta) & pairs).to(torch.int64)
                    arc_counts[s, t, h] += _channels(arcs, facts)
            if mass is not None:
                weights = torch.where(pairs, a, 0.0)
                mass[s, h] += _fixed(_channels(weights, facts))
            if received is not None:
                received[h, here] += _fixed(torch.where(pairs, a, 0.0).sum(0))
            if entropy is not None:
                plogp = torch.where(a > 0, a * torch.log(a), 0.0)
                entropy[s, h] += _fixed(-plogp[rows].sum())
            if arc_index is not None:
                found = torch.nonzero((a >= min(thresholds)) & pairs)
                for i, j in found.tolist():
                    at = int(arc_total)
                    if at < arc_index.shape[0]:
                        arc_index[at] = torch.tensor([s, h, i, j], dtype=torch.int32)
                        arc_weight[at] = float(a[i, j])
                    elif flags is not None:
                        flags[s] |= FLAG_ARC_OVERFLOW
                    arc_total += 1
    return output, (lse if return_lse else None)


def attention_statistics(
    query: Tensor,
    key: Tensor,
    value: Tensor | None = None,
    *,
    cu_seqlens: Tensor | None = None,
    key_mask: Tensor | None = None,
    residues: Tensor | None = None,
    properties: PropertyBatch | None = None,
    thresholds: Sequence[float] | float = (0.3,),
    weighting: str = "arcs",
    scale: float | None = None,
    relative_bias: Tensor | None = None,
    window: int = 0,
    position_query: Tensor | None = None,
    position_key: Tensor | None = None,
    received: bool = False,
    entropy: bool = False,
    max_arcs: int = 0,
    return_lse: bool = False,
    max_length: int | None = None,
    num_threads: int | None = None,
) -> AttentionStatistics:
    """Twin of `provis_fast.ops.attention_statistics`."""
    check_weighting(weighting)
    thresholds = check_thresholds(thresholds)
    max_arcs = check_integer("max_arcs", max_arcs, 0)
    properties = given_properties(properties, query.device)
    sequences, tokens, heads, _ = check_attention(
        query, key, value, cu_seqlens, key_mask, residues, relative_bias
    )
    count = dict(dtype=torch.int64)
    shape = (sequences, len(thresholds), heads, properties.channels)
    accumulators = Accumulators(
        arc_counts=torch.zeros(shape, **count) if weighting != "attention" else None,
        mass=torch.zeros(sequences, heads, properties.channels, **count)
        if weighting != "arcs"
        else None,
        received=torch.zeros(heads, tokens, **count) if received else None,
        entropy=torch.zeros(sequences, heads, **count) if entropy else None,
        arc_index=torch.zeros(max_arcs, 4, dtype=torch.int32) if max_arcs else None,
        arc_weight=torch.zeros(max_arcs) if max_arcs else None,
        arc_total=torch.zeros(1, **count) if max_arcs else None,
        flags=torch.zeros(sequences, dtype=torch.int32),
    )
    output, lse = attention_statistics_(
        query,
        key,
        value,
        cu_seqlens=cu_seqlens,
        key_mask=key_mask,
        residues=residues,
        properties=properties,
        thresholds=thresholds,
        scale=scale,
        relative_bias=relative_bias,
        window=window,
        position_query=position_query,
        position_key=position_key,
        **accumulators._asdict(),
        return_lse=return_lse,
    )
    result = unpack_accumulators(output, lse, accumulators, properties)
    result.check()
    return result.sorted_arcs()


def _bounds(query: Tensor, cu_seqlens: Tensor | None) -> list[tuple[int, int]]:
    """First and last token of each sequence, counted over the batch."""
    if cu_seqlens is None:
        batch, _, length, _ = query.shape
        return [(b * length, (b + 1) * length) for b in range(batch)]
    starts = cu_seqlens.tolist()
    return list(itertools.pairwise(starts))


def _pair_facts(
    properties: PropertyBatch, sequence: int, begin: int, n: int
) -> Iterator[tuple[Tensor, list[Tensor]]]:
    """For each property: which pairs are eligible, and the value of each class on every pair.

    Both are [n, n]; the values are 0 or 1 (multiples of 2**-16 for key values).
    """
    window = slice(begin, begin + n)
    distance = (torch.arange(n)[:, None] - torch.arange(n)[None, :]).abs()
    everywhere = torch.ones(n, n, dtype=torch.int64)
    for kind, row, classes in zip(
        properties.kinds, properties.rows, properties.classes, strict=True
    ):
        if kind in (KIND["key_class"], KIND["query_class"]):
            label = properties.labels[row, window].long()
            of_key = kind == KIND["key_class"]
            label = (label[None, :] if of_key else label[:, None]).expand(n, n)
            yield label >= 0, [label == c for c in range(classes)]
        elif kind == KIND["class_pair"]:
            label, side = properties.labels[row, window].long(), math.isqrt(classes)
            of_query, of_key = label[:, None].expand(n, n), label[None, :].expand(n, n)
            known = (of_query >= 0) & (of_key >= 0)
            yield (
                known,
                [(of_query == r) & (of_key == c) for r in range(side) for c in range(side)],
            )
        elif kind == KIND["key_value"]:
            fixed = properties.values[row, window]
            known = (fixed != UNKNOWN_VALUE)[None, :].expand(n, n)
            yield known, [torch.where(known, fixed[None, :], 0) * everywhere]
        elif kind == KIND["pair"]:
            words = (n + 31) // 32
            at = int(properties.pair_offsets[row, sequence])
            both = properties.pairs[at : at + 2 * n * words].reshape(2, n, words)
            j = torch.arange(n)
            bits = ((both[:, :, j // 32] >> (j % 32).int()) & 1).bool()
            yield bits[1], [bits[0] & bits[1]]
        else:
            starts = torch.tensor(properties.bin_starts)
            bins = torch.bucketize(distance, starts, right=True) - 1
            yield everywhere.bool(), [bins == c for c in range(classes)]


def _channels(weights: Tensor, facts: list[tuple[Tensor, list[Tensor]]]) -> Tensor:
    """Weights [n, n] summed over all pairs, the eligible ones, and each class: [channels].

    int64 weights (arcs) keep key values in units of 2**-16, float64 weights turn them into numbers.
    """
    unit = 1 if weights.dtype == torch.int64 else VALUE_FIXED_POINT
    sums = [weights.sum()]
    for known, classes in facts:
        sums.append((weights * known).sum())
        for value in classes:
            by = 1 if value.dtype == torch.bool else unit
            total = (weights * known * value).sum()
            sums.append(total / by if by > 1 else total)
    return torch.stack(sums)


def _fixed(numbers: Tensor) -> Tensor:
    """float64 to int64 in units of 2**-32."""
    return torch.round(numbers * FIXED_POINT).to(torch.int64)
