"""Bad arguments of the kernels: errors that name the argument and say what was expected."""

from __future__ import annotations

import math

import pytest
import torch
from kernel_cases import packed_case

from provis_fast import ops
from provis_fast.errors import ArgumentError


def bad_calls() -> list:
    q = torch.randn(10, 2, 16)
    cu = torch.tensor([0, 10], dtype=torch.int32)
    properties = packed_case([9], 2, 16)["properties"]
    return [
        (dict(query=q.int(), key=q, cu_seqlens=cu), "query: expected one of float32"),
        (dict(query=q, key=q), r"query: expected \[B, H, L, D\]"),
        (dict(query=q[None], key=q[None], cu_seqlens=cu), r"query: expected \[T, H, D\]"),
        (dict(query=q, key=q[:9], cu_seqlens=cu), r"key: expected shape \[10, 2, 16\]"),
        (dict(query=q, key=q.double(), cu_seqlens=cu), "key: expected float32, got float64"),
        (dict(query=q, key=q, cu_seqlens=cu.long()), "cu_seqlens: expected int32"),
        (dict(query=q, key=q, cu_seqlens=cu - 1), "cu_seqlens: expected to run from 0"),
        (
            dict(query=q, key=q, cu_seqlens=torch.tensor([0, 7, 5, 10], dtype=torch.int32)),
            "cu_seqlens: expected ascending",
        ),
        (
            dict(query=torch.randn(10, 2, 300), key=torch.randn(10, 2, 300), cu_seqlens=cu),
            "head size of 1..256, got 300",
        ),
        (dict(query=q, key=q, cu_seqlens=cu, thresholds=0.0), "threshold: expected a number"),
        (dict(query=q, key=q, cu_seqlens=cu, thresholds=1.5), "threshold: expected a number"),
        (dict(query=q, key=q, cu_seqlens=cu, thresholds=math.nan), "threshold: expected"),
        (dict(query=q, key=q, cu_seqlens=cu, thresholds=()), "thresholds: expected at least"),
        (dict(query=q, key=q, cu_seqlens=cu, weighting="all"), "weighting: expected"),
        (
            dict(query=q, key=q, cu_seqlens=cu, key_mask=torch.ones(9, dtype=torch.bool)),
            r"key_mask: expected shape \[10\], got \[9\]",
        ),
        (dict(query=q, key=q, cu_seqlens=cu, residues=torch.ones(10)), "residues: expected bool"),
        (dict(query=q, key=q, cu_seqlens=cu, properties=properties), "properties.labels"),
        (
            dict(query=q, key=q, cu_seqlens=cu, relative_bias=torch.zeros(2, 11)),
            "relative_bias: expected .* R >= 9",
        ),
        (
            dict(query=q.transpose(0, 2), key=q.transpose(0, 2), cu_seqlens=cu),
            "stride 1",
        ),
        (dict(query=q, key=q, cu_seqlens=cu, scale=-1.0), "scale: expected a positive"),
    ]


@pytest.mark.parametrize(("arguments", "message"), bad_calls())
def test_bad_arguments(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        ops.attention_statistics(**arguments)


def test_bitmap_beyond_its_end_is_refused():
    case = packed_case([20], 1, 16)
    properties = case["properties"]
    short = properties._replace(pairs=properties.pairs[:-1])
    with pytest.raises(ArgumentError, match=r"properties\.pair_offsets"):
        ops.attention_statistics(**{**case, "properties": short})


def test_unknown_instruction_set(monkeypatch):
    monkeypatch.setenv("PROVIS_FAST_CPU", "sse9")
    with pytest.raises(ArgumentError, match=r"PROVIS_FAST_CPU: expected one of .*portable"):
        ops.attention_statistics(**packed_case([5], 1, 16))
