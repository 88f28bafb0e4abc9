"""Registers the compiled kernels as torch custom operators.

Torch is imported before the extension: both use OpenMP, and then only torch's runtime is loaded.
"""

from __future__ import annotations

import torch
from torch import Tensor

from provis_fast.errors import ArgumentError, ProvisError
from provis_fast.versions import how_to_load

try:
    from provis_fast import _C
except ImportError as error:  # pragma: no cover - depends on the installation
    raise ProvisError(
        f"the compiled part of provis_fast cannot be loaded ({error}); {how_to_load()}"
    ) from error

#: Whether the extension has kernels for GPUs.
CUDA_BUILT = bool(_C.build_info()["cuda"])

_LIBRARY = torch.library.Library("provis_fast", "DEF")
_LIBRARY.define(
    "attention_statistics_("
    "Tensor query, Tensor key, Tensor? value, Tensor? cu_seqlens, Tensor? allowed, "
    "Tensor? additive, Tensor? residues, Tensor? relative_bias, "
    "int[] kinds, int[] rows, int[] classes, Tensor labels, Tensor values, Tensor pairs, "
    "Tensor pair_offsets, int[] bin_starts, float[] thresholds, float scale, "
    "Tensor(a!)? arc_counts, Tensor(b!)? mass, Tensor(c!)? received, Tensor(d!)? entropy, "
    "Tensor(e!)? arc_index, Tensor(f!)? arc_weight, Tensor(g!)? arc_total, Tensor(h!)? flags, "
    "bool return_lse, int num_threads) -> (Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)


# Numbers of `DType` in csrc/include/provis/attention_statistics.h.
_DTYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}


def _refuse_gradients(*inputs: Tensor | None) -> None:
    # There is no backward pass, and autograd's own fallback would skip attention with no more than
    # a warning. An autograd kernel would cost a short call a quarter of its time.
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs):
        raise ArgumentError(
            "query, key, value, key_mask, relative_bias: expected tensors that do not require "
            "grad, because attention_statistics has no backward pass; call it under "
            "torch.no_grad(), or detach its inputs"
        )


def _new_output(query: Tensor, packed: bool, wanted: bool) -> Tensor:
    if not wanted:
        return query.new_empty((0,))
    if packed:
        return query.new_empty(query.shape)
    _, heads, length, size = query.shape
    strides = (length * heads * size, size, heads * size, 1)  # storage of [B, L, H, D]
    return query.new_empty_strided(query.shape, strides)


def _new_lse(query: Tensor, packed: bool, wanted: bool) -> Tensor:
    dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
    if not wanted:
        return query.new_empty((0,), dtype=dtype)
    shape = (query.shape[1], query.shape[0]) if packed else query.shape[:3]
    return query.new_empty(shape, dtype=dtype)


def _attention_statistics_cpu(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    cu_seqlens: Tensor | None,
    allowed: Tensor | None,
    additive: Tensor | None,
    residues: Tensor | None,
    relative_bias: Tensor | None,
    kinds: list[int],
    rows: list[int],
    classes: list[int],
    labels: Tensor,
    values: Tensor,
    pairs: Tensor,
    pair_offsets: Tensor,
    bin_starts: list[int],
    thresholds: list[float],
    scale: float,
    arc_counts: Tensor | None,
    mass: Tensor | None,
    received: Tensor | None,
    entropy: Tensor | None,
    arc_index: Tensor | None,
    arc_weight: Tensor | None,
    arc_total: Tensor | None,
    flags: Tensor | None,
    return_lse: bool,
    num_threads: int,
) -> tuple[Tensor, Tensor]:
    _refuse_gradients(query, key, value, additive, relative_bias)
    packed = cu_seqlens is not None
    output = _new_output(query, packed, value is not None)
    lse = _new_lse(query, packed, return_lse)
    # Contiguous copies must outlive the call: the extension sees addresses only.
    given = [
        t if t is None else t.contiguous()
        for t in (
            cu_seqlens,
            allowed,
            additive,
            residues,
            relative_bias,
            labels,
            values,
            pairs,
            pair_offsets,
        )
    ]
    strided = (query, key, value, None if value is None else output)
    # In the order of `Slot` in csrc/bindings.cpp.
    tensors = (
        *strided,
        lse if return_lse else None,
        *given,
        arc_counts,
        mass,
        received,
        entropy,
        arc_index,
        arc_weight,
        arc_total,
        flags,
    )
    try:
        _C.attention_statistics(
            _DTYPES[query.dtype],
            query.shape,
            [() if t is None else t.stride() for t in strided],
            [0 if t is None else t.data_ptr() for t in tensors],
            query.shape[0] if cu_seqlens is None else cu_seqlens.shape[0] - 1,
            0 if relative_bias is None else relative_bias.shape[1],
            scale,
            kinds,
            rows,
            classes,
            pairs.numel(),
            bin_starts,
            thresholds,
            0 if arc_index is None else arc_index.shape[0],
            num_threads or torch.get_num_threads(),
        )
    except ValueError as error:
        raise ArgumentError(str(error)) from None
    return output, lse


def _no_kernel_for_cuda(query: Tensor, *rest: object) -> tuple[Tensor, Tensor]:
    raise ArgumentError(
        f"query: expected a tensor on the CPU, for which alone this installation has kernels, got "
        f"one on {query.device}; move the tensors (or the model) to the CPU"
    )


_LIBRARY.impl("attention_statistics_", _attention_statistics_cpu, "CPU")
_LIBRARY.impl("attention_statistics_", _no_kernel_for_cuda, "CUDA")


@torch.library.register_fake("provis_fast::attention_statistics_", lib=_LIBRARY)
def _attention_statistics_fake(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    cu_seqlens: Tensor | None,
    allowed: Tensor | None,
    additive: Tensor | None,
    residues: Tensor | None,
    relative_bias: Tensor | None,
    *rest: object,
) -> tuple[Tensor, Tensor]:
    _refuse_gradients(query, key, value, additive, relative_bias)
    packed, return_lse = cu_seqlens is not None, bool(rest[-2])
    return _new_output(query, packed, value is not None), _new_lse(query, packed, return_lse)
