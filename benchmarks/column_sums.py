"""Peers for received attention: what others compute that is the nearest to it.

A second pass over queries and keys with the log-sum-exp of the rows known, which sums the columns
of the attention matrix, as FlagAttention's ``return_total_attention`` and flash-colreduce do:
`by_torch` in plain PyTorch, sequence by sequence, and `by_triton` as a Triton kernel.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

#: Keys and queries of a block, and warps: the fastest of these is the peer.
BLOCKS = ((128, 64, 4), (128, 128, 8), (64, 64, 4))


def by_torch(
    query: Tensor,  # [T, H, D]
    key: Tensor,
    lse: Tensor,  # float32 [H, T], natural log
    cu_seqlens: Tensor,  # int32 [S + 1]
) -> Tensor:
    """Attention that each key receives, float32 [H, T]; one matrix per sequence is formed."""
    found = torch.empty_like(lse)
    scale = query.shape[-1] ** -0.5
    for begin, end in pairwise(cu_seqlens.tolist()):
        q, k = (x[begin:end].transpose(0, 1).float() for x in (query, key))
        scores = scale * (q @ k.transpose(1, 2))
        found[:, begin:end] = torch.exp(scores - lse[:, begin:end, None]).sum(1)
    return found


if triton is not None:

    @triton.jit
    def _column_sums(
        query,
        key,
        lse,
        sums,
        length,
        heads,
        token_stride,
        head_stride,
        lse_head_stride,
        lse_token_stride,
        scale_log2,
        SIZE: tl.constexpr,
        KEYS: tl.constexpr,
        QUERIES: tl.constexpr,
    ):
        # One block of keys of one sequence and head; keys are rows, so that a sum is over a row.
        sequence, head = tl.program_id(1) // heads, tl.program_id(1) % heads
        first = sequence * length
        keys = tl.program_id(0) * KEYS + tl.arange(0, KEYS)
        dims = tl.arange(0, SIZE)
        at = (first + keys)[:, None] * token_stride + head * head_stride + dims[None, :]
        k = tl.load(key + at, mask=(keys < length)[:, None], other=0.0)
        total = tl.zeros([KEYS], dtype=tl.float32)
        for begin in range(0, length, QUERIES):
            rows = begin + tl.arange(0, QUERIES)
            at = (first + rows)[None, :] * token_stride + head * head_stride + dims[:, None]
            q = tl.load(query + at, mask=(rows < length)[None, :], other=0.0)
            at = head * lse_head_stride + (first + rows) * lse_token_stride
            norm = tl.load(lse + at, mask=rows < length, other=float("inf"))
            scores = tl.dot(k, q) * scale_log2 - norm[None, :] * 1.4426950408889634
            total += tl.sum(tl.exp2(scores), axis=1)
        tokens = tl.num_programs(1) // heads * length
        tl.store(sums + head * tokens + first + keys, total, mask=keys < length)


def by_triton(
    query: Tensor,  # [T, H, D], D a power of two and at least 16
    key: Tensor,
    lse: Tensor,  # float32 [H, T], natural log
    length: int,
    blocks: tuple[int, int, int] = BLOCKS[0],
) -> Tensor:
    """As `by_torch`, for packed sequences of one length."""
    tokens, heads, size = query.shape
    sums = torch.empty((heads, tokens), dtype=torch.float32, device=query.device)
    keys, queries, warps = blocks
    _column_sums[(triton.cdiv(length, keys), tokens // length * heads)](
        query,
        key,
        lse,
        sums,
        length,
        heads,
        query.stride(0),
        query.stride(1),
        lse.stride(0),
        lse.stride(1),
        size**-0.5 * math.log2(math.e),
        SIZE=size,
        KEYS=keys,
        QUERIES=queries,
        num_warps=warps,
    )
    return sums
