"""Attention on a GPU with the log-sum-exp of its rows, by torch's own kernels.

The first of two passes: the second (csrc/cuda) multiplies queries by keys again and needs the
log-sum-exp. `provis_fast.gpu_paths` decides which backend computes a call. All of them return
natural logarithms, in float32, but in layouts of their own:

===========  ============================================  =======================================
backend      operator of torch                             log-sum-exp as it comes
===========  ============================================  =======================================
flash        _flash_attention_forward (packed)             [H, T]; +inf for a row without keys
             _scaled_dot_product_flash_attention           [B, H, L]; the same
efficient    _efficient_attention_forward (packed)         [S, H, padded length]; +inf beyond
             _scaled_dot_product_efficient_attention       [B, H, padded length]
cudnn        _scaled_dot_product_cudnn_attention           [B, H, L, 1] or [B, H, L], any strides:
                                                           max + log(sum), as its "stats" say
blockwise    none                                          [H, T] or [B, H, L]; -inf without keys
===========  ============================================  =======================================

A row without keys needs a mask, which only blockwise takes here. cuDNN's operator for sequences of
different lengths (_cudnn_attention_forward with cum_seq) is not used: it prepares a graph and
offsets for each new set of lengths on the host, and torch itself keeps it switched off in
``torch.nn.attention.varlen``. Packed sequences of one length are a dense batch seen otherwise.

`blockwise_attention` is plain PyTorch on any device: a few queries at a time against all keys, so
that no attention matrix is whole in memory. It is slower than the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

#: Scores that `blockwise_attention` holds at a time, over all heads and sequences of a batch.
_BLOCK_SCORES = 1 << 24
#: Flash attention and cuDNN take head sizes that are multiples of this.
_SIZE_UNIT = 8


def attention_and_lse(
    query: Tensor,  # [T, H, D] packed, or [B, H, L, D]
    key: Tensor,
    value: Tensor | None,
    *,
    scale: float,
    cu_seqlens: Tensor | None = None,  # int32 [S + 1]
    longest: int = 0,
    allowed: Tensor | None = None,  # bool [T] or [B, L]
    additive: Tensor | None = None,  # float32 [T] or [B, L]
    relative_bias: Tensor | None = None,  # float32 [H, 2 R + 1]
    window: int = 0,
    backend: str | None = None,
) -> tuple[Tensor | None, Tensor]:
    """Softmax attention and the log-sum-exp of its rows, on a GPU.

    Parameters
    ----------
    query, key, value, scale, cu_seqlens, relative_bias, window
        As in `provis_fast.ops.attention_statistics_`. Without `value` there is no output.
    longest : int
        Tokens of the longest packed sequence; 0 where not known: then it is read from the device,
        which waits for it.
    allowed, additive : Tensor, optional
        The parts of a key mask; see `provis_fast.arguments.key_mask_parts`.
    backend : {"flash", "cudnn", "efficient", "blockwise"}, optional
        Has to be able to serve the call. Default: blockwise with a mask or in float64; efficient
        for float32, flash for 16 bits.

    Returns
    -------
    output : Tensor or None
        [T, H, D], or [B, H, L, D] with the storage of [B, L, H, D].
    lse : Tensor
        float32 [H, T] or [B, H, L], natural log, any strides.
    """
    if backend is None:
        masked = bool(window) or any(x is not None for x in (allowed, additive, relative_bias))
        unmasked = {torch.float32: "efficient", torch.float64: "blockwise"}
        backend = "blockwise" if masked else unmasked.get(query.dtype, "flash")
    if backend == "blockwise":
        return blockwise_attention(
            query,
            key,
            value,
            scale=scale,
            cu_seqlens=cu_seqlens,
            allowed=allowed,
            additive=additive,
            relative_bias=relative_bias,
            window=window,
        )
    wanted, value = value is not None, key if value is None else value
    if cu_seqlens is None:
        output, lse = _vendor_batched(query, key, value, scale, backend)
    else:
        if not longest:
            longest = int((cu_seqlens[1:] - cu_seqlens[:-1]).max())
        output, lse = _vendor_packed(query, key, value, cu_seqlens, longest, scale, backend)
    return (output if wanted else None), lse


def _vendor_batched(
    query: Tensor,  # [B, H, L, D]
    key: Tensor,
    value: Tensor,
    scale: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    if backend == "efficient":
        found = torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, False, scale=scale
        )
        return found[0], found[1][..., : query.shape[2]]
    size = query.shape[-1]
    q, k, v = (_to_unit(x) for x in (query, key, value))
    if backend == "cudnn":
        found = torch.ops.aten._scaled_dot_product_cudnn_attention(
            q, k, v, None, True, 0.0, False, False, scale=scale
        )
        lse = found[1][..., 0] if found[1].dim() == 4 else found[1]
        return found[0][..., :size], lse
    found = torch.ops.aten._scaled_dot_product_flash_attention(
        q, k, v, 0.0, False, False, scale=scale
    )
    return found[0][..., :size], found[1]


def _vendor_packed(
    query: Tensor,  # [T, H, D]
    key: Tensor,
    value: Tensor,
    cu_seqlens: Tensor,
    longest: int,
    scale: float,
    backend: str,
) -> tuple[Tensor, Tensor]:
    if backend == "efficient":
        found = torch.ops.aten._efficient_attention_forward(
            *(x[None] for x in (query, key, value)),
            None,
            cu_seqlens,
            cu_seqlens,
            longest,
            longest,
            0.0,
            0,
            True,
            scale=scale,
        )
        return found[0][0], _lse_of_tokens(found[1], cu_seqlens, len(query))
    if backend == "cudnn":
        dense = (as_batch(x, longest) for x in (query, key, value))
        output, lse = _vendor_batched(*dense, scale, backend)
        return output.transpose(1, 2).flatten(0, 1), lse.transpose(0, 1).flatten(1)
    size = query.shape[-1]
    q, k, v = (_to_unit(x) for x in (query, key, value))
    found = torch.ops.aten._flash_attention_forward(
        q, k, v, cu_seqlens, cu_seqlens, longest, longest, 0.0, False, False, scale=scale
    )
    return found[0][..., :size], found[1]


def as_batch(x: Tensor, length: int) -> Tensor:
    """Packed sequences of one length [S * L, H, D] as a batch [S, H, L, D]: a view."""
    return x.unflatten(0, (-1, length)).transpose(1, 2)


def _to_unit(x: Tensor) -> Tensor:
    """Zeros behind the head size, where a kernel wants more numbers; they change nothing."""
    missing = -x.shape[-1] % _SIZE_UNIT
    return F.pad(x, (0, missing)) if missing else x


def _lse_of_tokens(
    lse: Tensor,  # [S, H, padded length]
    cu_seqlens: Tensor,  # int32 [S + 1]
    tokens: int,
) -> Tensor:  # [H, tokens]
    """Memory-efficient attention keeps a row of its own for each sequence."""
    token = torch.arange(tokens, device=lse.device)
    sequence = torch.bucketize(token, cu_seqlens[1:].long(), right=True)
    return lse[sequence, :, token - cu_seqlens.long()[sequence]].transpose(0, 1)


def blockwise_attention(
    query: Tensor,  # [T, H, D] packed, or [B, H, L, D]
    key: Tensor,
    value: Tensor | None,
    *,
    scale: float,
    cu_seqlens: Tensor | None = None,
    allowed: Tensor | None = None,
    additive: Tensor | None = None,
    relative_bias: Tensor | None = None,
    window: int = 0,
) -> tuple[Tensor | None, Tensor]:
    """As `attention_and_lse`, in plain PyTorch on any device.

    Products of bfloat16 and float16 are summed in float32, as on tensor cores. Rows without a key
    that may be attended have output 0 and a log-sum-exp of -inf.
    """
    work = torch.float64 if query.dtype == torch.float64 else torch.float32
    if cu_seqlens is None:
        batch, heads, length, size = query.shape
        output = None
        if value is not None:
            output = query.new_empty((batch, length, heads, size)).transpose(1, 2)
        lse = query.new_empty((batch, heads, length), dtype=work)
        parts = [(query, key, value, allowed, additive, output, lse)]
    else:
        output = None if value is None else torch.empty_like(query)
        lse = query.new_empty((query.shape[1], query.shape[0]), dtype=work)
        parts = list(_sequences(query, key, value, cu_seqlens, allowed, additive, output, lse))
    for part in parts:
        _attend(*part, scale, relative_bias, window, work)
    return output, lse


def _sequences(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    cu_seqlens: Tensor,
    allowed: Tensor | None,
    additive: Tensor | None,
    output: Tensor | None,
    lse: Tensor,
) -> Iterator[tuple[Tensor | None, ...]]:
    """Views of each packed sequence as a batch of one."""

    def batched(x: Tensor | None, tokens: slice) -> Tensor | None:
        return None if x is None else x[tokens].transpose(0, 1)[None]

    def masked(x: Tensor | None, tokens: slice) -> Tensor | None:
        return None if x is None else x[tokens][None]

    for begin, end in pairwise(cu_seqlens.tolist()):
        tokens = slice(begin, end)
        yield (
            *(batched(x, tokens) for x in (query, key, value)),
            *(masked(x, tokens) for x in (allowed, additive)),
            batched(output, tokens),
            lse[None, :, tokens],
        )


def _attend(
    query: Tensor,  # [B, H, L, D]
    key: Tensor,
    value: Tensor | None,
    allowed: Tensor | None,  # [B, L]
    additive: Tensor | None,  # [B, L]
    output: Tensor | None,  # [B, H, L, D]
    lse: Tensor,  # [B, H, L]
    scale: float,
    relative_bias: Tensor | None,  # [H, 2 R + 1]
    window: int,
    work: torch.dtype,
) -> None:
    batch, heads, length, _ = query.shape
    if not length:
        return
    forbidden = None if allowed is None else ~allowed
    if forbidden is not None:  # what stands there may be no number, and 0 * NaN is not 0
        key = key.masked_fill(forbidden[:, None, :, None], 0.0)
        value = None if value is None else value.masked_fill(forbidden[:, None, :, None], 0.0)
    keys = key.to(work).transpose(-1, -2)
    values = None if value is None else value.to(work)
    step = max(1, _BLOCK_SCORES // (batch * heads * length))
    for begin in range(0, length, step):
        rows = slice(begin, min(begin + step, length))
        scores = scale * (query[:, :, rows].to(work) @ keys)
        if additive is not None:
            scores += additive[:, None, None, :]
        if relative_bias is not None or window:
            i = torch.arange(length, device=query.device)[rows, None]
            offset = torch.arange(length, device=query.device)[None, :] - i
        if relative_bias is not None:
            scores += relative_bias[:, offset + relative_bias.shape[1] // 2]
        if window:
            scores.masked_fill_(offset.abs() >= window, -math.inf)
        if forbidden is not None:
            scores.masked_fill_(forbidden[:, None, None, :], -math.inf)
        total = torch.logsumexp(scores, -1)
        lse[:, :, rows] = total
        if output is not None:
            nothing = torch.isneginf(total)
            weights = torch.exp(scores - total.masked_fill(nothing, 0.0)[..., None])
            output[:, :, rows] = (weights @ values).to(output.dtype)
