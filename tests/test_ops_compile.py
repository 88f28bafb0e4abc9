"""The custom operator under torch.library.opcheck, torch.compile and autograd."""

from __future__ import annotations

import math

import pytest
import torch
from kernel_cases import packed_case

from provis_fast import ops
from provis_fast.errors import ArgumentError

OPERATOR = torch.ops.provis_fast.attention_statistics_


def op_arguments(*, value: bool = True, rest: bool = False) -> tuple:
    """Positional arguments of the operator itself; `rest` adds arc list, key mask, bias, window and
    terms of relative position."""
    case = packed_case([20, 11], 2, 16)
    p = case["properties"]
    tokens, heads = case["query"].shape[:2]
    sequences = case["cu_seqlens"].shape[0] - 1
    counts = torch.zeros(sequences, 2, heads, p.channels, dtype=torch.int64)
    additive = torch.randn(tokens, generator=torch.Generator().manual_seed(1))
    additive[:3] = -math.inf
    return (
        case["query"],
        case["key"],
        case["value"] if value else None,
        case["cu_seqlens"],
        additive > -math.inf if rest else None,
        additive if rest else None,
        case["residues"],
        torch.linspace(-1, 1, 2 * 41).reshape(2, 41) if rest else None,
        case["query"].flip(0) if rest else None,
        torch.linspace(-1, 1, 41 * 2 * 16).reshape(41, 2, 16) if rest else None,
        list(p.kinds),
        list(p.rows),
        list(p.classes),
        p.labels,
        p.values,
        p.pairs,
        p.pair_offsets,
        list(p.bin_starts),
        [0.3, 0.5],
        0.25,
        9 if rest else 0,
        counts,
        counts[:, 0].clone(),
        torch.zeros(heads, tokens, dtype=torch.int64),
        torch.zeros(sequences, heads, dtype=torch.int64),
        torch.zeros(500, 4, dtype=torch.int32) if rest else None,
        torch.zeros(500) if rest else None,
        torch.zeros(1, dtype=torch.int64) if rest else None,
        torch.zeros(sequences, dtype=torch.int32),
        True,
        0,
        1,
    )


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("rest", [True, False])
def test_opcheck(value, rest):
    arguments = op_arguments(value=value, rest=rest)
    torch.library.opcheck(OPERATOR.default, arguments)


def layer_of(case: dict, **options):
    """A small layer around the kernel, as a function of query, key and value."""

    def layer(query, key, value):
        result = ops.attention_statistics(
            query * 2,
            key,
            value,
            **{name: case[name] for name in ("cu_seqlens", "residues", "properties")},
            **options,
        )
        return result.output * 2, result.arcs, result.counts, result.mass, result.flags

    return layer, (case["query"], case["key"], case["value"])


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiles_fullgraph(backend):
    case = packed_case([20, 11], 2, 16)
    mask = torch.zeros(31)
    mask[5] = torch.finfo(torch.float32).min
    options = dict(thresholds=(0.3,), weighting="both", key_mask=mask, num_threads=2, max_arcs=900)
    layer, tensors = layer_of(case, **options)
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    for got, want in zip(compiled(*tensors), layer(*tensors), strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    "name",
    ["query", "key", "value", "key_mask", "relative_bias", "position_query", "position_key"],
)
def test_gradients_are_refused(name):
    """Without this, backward would run and leave attention out."""
    case = packed_case([20, 11], 2, 16)
    case |= dict(key_mask=torch.zeros(31), relative_bias=torch.zeros(2, 39))
    case |= dict(position_query=torch.ones(31, 2, 16), position_key=torch.ones(39, 2, 16))
    with torch.no_grad():
        expected = ops.attention_statistics(**case)
    case[name].requires_grad_()
    with pytest.raises(ArgumentError, match=r"no backward pass; call it under torch\.no_grad"):
        ops.attention_statistics(**case)
    with torch.no_grad():
        got = ops.attention_statistics(**case)
    assert not got.output.requires_grad
    assert torch.equal(got.output, expected.output)


def test_gradients_are_refused_by_the_operator_and_when_compiled():
    arguments = op_arguments()
    arguments[0].requires_grad_()
    with pytest.raises(ArgumentError, match="no backward pass"):
        OPERATOR(*arguments)
    layer, tensors = layer_of(packed_case([20, 11], 2, 16))
    tensors[1].requires_grad_()
    with pytest.raises(Exception, match="no backward pass"):
        torch.compile(layer, fullgraph=True, backend="aot_eager")(*tensors)
