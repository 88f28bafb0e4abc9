"""The kernels as functions of tensors.

`attention_statistics_` adds the statistics of one attention layer into accumulators that the caller
owns; the engine uses it. `attention_statistics` allocates them and returns plain numbers; it is the
kernel for everybody else. Both compute softmax(scale * Q K^T + masks) V on the way and never store
an attention tensor. `provis_fast.reference` holds their twins in plain PyTorch.

Both are built on the custom operator ``torch.ops.provis_fast.attention_statistics_``, which has a
fake implementation and passes `torch.library.opcheck`, so they can stand inside
``torch.compile(fullgraph=True)``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from provis_fast import _kernels  # noqa: F401  (registers torch.ops.provis_fast.*)
from provis_fast.arguments import (
    NO_PROPERTIES,
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
from provis_fast.errors import ArgumentError
from provis_fast.kernel_data import (
    FIXED_POINT,
    KIND,
    VALUE_FIXED_POINT,
    Accumulators,
    AttentionStatistics,
    PropertyBatch,
    unpack_accumulators,
)

__all__ = [
    "FIXED_POINT",
    "KIND",
    "VALUE_FIXED_POINT",
    "Accumulators",
    "AttentionStatistics",
    "PropertyBatch",
    "attention_statistics",
    "attention_statistics_",
]


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
    """Attention whose statistics are added into the caller's accumulators.

    Let a[i, j] be the softmax probability with which query i attends to key j of the same
    sequence. Statistics run over pairs of `residues`; the softmax runs over all tokens that
    `key_mask` allows.

    Parameters
    ----------
    query, key, value : Tensor
        Packed [T, H, D] with `cu_seqlens`, or batched [B, H, L, D]; any strides with a last
        stride of 1. float32, bfloat16, float16 or float64; D <= 256. Without `value` no output
        is computed.
    cu_seqlens : Tensor, int32 [S + 1], optional
        First token of each packed sequence, and T at the end. None means the batched layout.
    key_mask : Tensor, optional
        [T] or [B, L]. bool: True where the key may be attended. Floating: added to the scores
        (natural log units); -inf forbids the key, and so does -1e30 or less, or the least number
        of the dtype (``torch.finfo(dtype).min``). Forbidden tokens take no part in statistics.
    residues : Tensor, bool [T] or [B, L], optional
        Tokens that stand for residues. Default: all that `key_mask` allows.
    properties : PropertyBatch, optional
        Labels, values and bitmaps of the tokens; see `PropertyBatch`.
    thresholds : sequence of float in (0, 1]
        A pair with a[i, j] >= threshold is an arc. Needed with `arc_counts`; the smallest decides
        what enters the arc list.
    scale : float > 0, optional
        Default D ** -0.5.
    relative_bias : Tensor, float32 [H, 2 R + 1], optional
        Added to the score of (i, j) as ``relative_bias[h, j - i + R]``; R >= longest sequence - 1.
        -inf forbids the pair.
    window : int
        A query i attends to the keys j with |i - j| < window alone; 0, the default, is no window.
        On a CPU the cost is O(L * window).
    position_query, position_key : Tensor, optional
        Terms of relative position, as Transformer-XL and XLNet have them (arXiv 1901.02860): the
        score of (i, j) becomes ``scale * (q_i . k_j + position_query_i . position_key[c + j - i])``
        with c = P // 2, so that rows beyond c are for keys after the query. `position_query` has
        layout and shape of `query`; `position_key` is [P, H, D] in both layouts and serves all
        sequences, P >= 2 * longest sequence - 1. Both have the dtype of `query` and a last stride
        of 1.
    arc_counts : Tensor, int64 [S, n_thresholds, H, channels], optional
        Channel 0 counts arcs; then for each property the eligible arcs and one channel per class
        (key values: sums in units of 2**-16). See `PropertyBatch.channels`.
    mass : Tensor, int64 [S, H, channels], optional
        The same, weighted by attention, in units of 2**-32.
    received : Tensor, int64 [H, tokens], optional
        Attention that each residue receives from residues, in units of 2**-32.
    entropy : Tensor, int64 [S, H], optional
        Entropy of the rows (over all tokens, in nats), summed over residues; units of 2**-32.
    arc_index, arc_weight, arc_total : Tensor, int32 [N, 4], float32 [N], int64 [1], optional
        Arcs as (sequence, head, query, key), tokens counted within the sequence; in no
        particular order. `arc_total` counts all arcs, also those beyond N.
    flags : Tensor, int32 [S], optional
        Bit 0: NaN or infinity among the scores of a sequence. Bit 1: `arc_index` was too small.
        What is in the other accumulators is then not to be used; needed with any of them.
    return_lse : bool
        Also return the log-sum-exp of the rows.
    max_length : int, optional
        Tokens of the longest packed sequence. On a GPU, telling it saves a call from waiting for
        the device to look it up; no result depends on it.
    num_threads : int, optional
        At least 1; default `torch.get_num_threads()`.

    Returns
    -------
    output : Tensor or None
        [T, H, D], or [B, H, L, D] with the storage of [B, L, H, D]; dtype of `query`.
    lse : Tensor or None
        float32 (float64 for float64 input) [H, T] or [B, H, L]; natural log.

    Raises
    ------
    ArgumentError
        Shapes, dtypes or devices that do not fit together; a threshold outside (0, 1]; key values
        whose sums would leave 64 bits; NaN in `key_mask`; an input that requires grad while
        gradients are recorded. There is no backward pass: call under ``torch.no_grad()``.
    """
    layout = check_attention(query, key, value, cu_seqlens, key_mask, residues, relative_bias)
    window = check_integer("window", window, 0)
    check_positions(query, position_query, position_key)
    thresholds = check_thresholds(thresholds)
    scale = check_scale(scale, layout[3])
    num_threads = 0 if num_threads is None else check_integer("num_threads", num_threads, 1)
    max_length = 0 if max_length is None else check_integer("max_length", max_length, 1)
    properties = given_properties(properties, query.device)
    if properties is not NO_PROPERTIES:
        check_properties(properties, *layout[:2], query.device)
        check_value_sums(properties, cu_seqlens, key_mask, residues, *layout[:2])
    accumulators = Accumulators(
        arc_counts, mass, received, entropy, arc_index, arc_weight, arc_total, flags
    )
    check_accumulators(
        accumulators, *layout[:3], len(thresholds), properties.channels, query.device
    )
    allowed, additive = key_mask_parts(key_mask)
    output, lse = torch.ops.provis_fast.attention_statistics_(
        query,
        key,
        value,
        cu_seqlens,
        allowed,
        additive,
        residues,
        relative_bias,
        position_query,
        position_key,
        list(properties.kinds),
        list(properties.rows),
        list(properties.classes),
        properties.labels,
        properties.values,
        properties.pairs,
        properties.pair_offsets,
        list(properties.bin_starts),
        list(thresholds),
        scale,
        window,
        *accumulators,
        return_lse,
        max_length,
        num_threads,
    )
    return (output if value is not None else None), (lse if return_lse else None)


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
    """Attention together with its property-weighted statistics.

    Parameters are those of `attention_statistics_`, but for the accumulators:

    Parameters
    ----------
    thresholds : float or sequence of float in (0, 1]
        Thresholds of the arc statistics.
    weighting : {"arcs", "attention", "both"}
        Count arcs, weigh by attention, or both.
    received, entropy : bool
        Also return received attention per token, and row entropies.
    max_arcs : int
        Room for the list of arcs at the smallest threshold; 0 returns no list. A longer list is
        an error that says how much room it takes.

    Returns
    -------
    AttentionStatistics

    Raises
    ------
    ArgumentError
        As in `attention_statistics_`, or more arcs than `max_arcs`.
    NumericalError
        NaN or infinity among the scores. Inside `torch.compile` neither this nor an overflow of the
        list is raised; read `flags`, or call `check()` on what comes back.
    """
    check_weighting(weighting)
    thresholds = check_thresholds(thresholds)
    max_arcs = check_integer("max_arcs", max_arcs, 0)
    sequences, tokens, heads, _ = check_attention(
        query, key, value, cu_seqlens, key_mask, residues, relative_bias
    )
    properties = given_properties(properties, query.device)
    if weighting != "attention" and not thresholds:
        raise ArgumentError("thresholds: expected at least one threshold in (0, 1], got none")

    def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=query.device)

    channels = properties.channels
    accumulators = Accumulators(
        arc_counts=zeros(sequences, len(thresholds), heads, channels)
        if weighting != "attention"
        else None,
        mass=zeros(sequences, heads, channels) if weighting != "arcs" else None,
        received=zeros(heads, tokens) if received else None,
        entropy=zeros(sequences, heads) if entropy else None,
        arc_index=zeros(max_arcs, 4, dtype=torch.int32) if max_arcs else None,
        arc_weight=zeros(max_arcs, dtype=torch.float32) if max_arcs else None,
        arc_total=zeros(1) if max_arcs else None,
        flags=zeros(sequences, dtype=torch.int32),
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
        max_length=max_length,
        num_threads=num_threads,
    )
    result = unpack_accumulators(output, lse, accumulators, properties)
    if not torch.compiler.is_compiling():
        result.check()
        result = result.sorted_arcs()
    return result
