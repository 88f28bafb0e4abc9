"""The kernels against `provis_fast.reference` (float64), over awkward shapes and inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import EVERYTHING, arc_bounds, assert_same, packed_case, random_properties

from provis_fast import _C, ops, reference
from provis_fast.errors import ArgumentError, NumericalError
from provis_fast.kernel_data import PropertyBatch

INSTRUCTION_SETS = _C.cpu_info()["available"]
LENGTHS = [1, 2, 3, 31, 32, 33, 127, 129, 510, 1022, 2048]


@pytest.fixture(params=INSTRUCTION_SETS)
def instruction_set(request, monkeypatch):
    """Every instruction set that this machine has, the portable one included."""
    monkeypatch.setenv("PROVIS_FAST_CPU", request.param)
    return request.param


def compare(case: dict, *, tolerance: float = 1e-5, **options) -> int:
    arguments = {**EVERYTHING, **case, **options}
    got = ops.attention_statistics(**arguments)
    want = reference.attention_statistics(**arguments)
    # Equal counts mean something only if no attention weight lies at a threshold.
    assert torch.equal(*arc_bounds(arguments, 1e-6)), "a weight at a threshold: take another seed"
    return assert_same(got, want, counts_exact=True, tolerance=tolerance)


@pytest.mark.parametrize("head_size", [1, 7, 16, 20, 24, 32, 36, 40, 64, 80, 128, 256])
def test_head_sizes(instruction_set, head_size):
    case = packed_case([1, 2, 31, 32, 33, 70], 2, head_size, sharpness=24 / head_size**0.5)
    assert compare(case) > 100


@pytest.mark.parametrize("length", LENGTHS)
def test_lengths(length):
    heads = 2 if length < 1000 else 1
    case = packed_case([length], heads, 16, seed=length, sharpness=4.0)
    arcs = compare(case, max_arcs=1 << 14 if length < 1000 else 0)
    assert arcs >= length // 4


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-7), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)],
)
def test_dtypes(instruction_set, dtype, tolerance):
    """Rounded inputs are exact inputs: statistics are as good as those of float32."""
    near = 0
    for head_size in (16, 33, 64):
        case = packed_case([5, 64, 77], 3, head_size, dtype=dtype, sharpness=3.0)
        arguments = {**EVERYTHING, **case}
        got = ops.attention_statistics(**arguments)
        want = reference.attention_statistics(**arguments)
        least, most = arc_bounds(arguments, 1e-5)
        assert ((least <= got.arcs) & (got.arcs <= most)).all()
        same = dict(counts_exact=True, tolerance=tolerance, sure=least == most)
        assert assert_same(got, want, **same) > 1000
        near += int((most - least).sum())
    assert near <= 2, "too many weights close to a threshold: take another seed"


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 70), min_size=1, max_size=6),
    heads=st.integers(1, 3),
    head_size=st.sampled_from([4, 16, 20, 64]),
    seed=st.integers(0, 2**16),
    thetas=st.lists(st.floats(0.02, 0.99), min_size=1, max_size=4),
    weighting=st.sampled_from(["arcs", "attention", "both"]),
)
def test_ragged_packs(lengths, heads, head_size, seed, thetas, weighting):
    case = packed_case(lengths, heads, head_size, seed=seed)
    arguments = {
        **EVERYTHING,
        **case,
        "thresholds": thetas,
        "weighting": weighting,
        "max_arcs": 1 << 20,
    }
    if sum(lengths) == 0:
        arguments["max_arcs"] = 0
    got = ops.attention_statistics(**arguments)
    want = reference.attention_statistics(**arguments)
    # Arcs within 1e-5 of a threshold may fall on either side; what is left must agree.
    low, high = arc_bounds(arguments, 1e-5)
    if got.arcs is not None:
        assert ((low <= got.arcs) & (got.arcs <= high)).all()
    exact = weighting != "attention" and torch.equal(low, high)
    if not exact:
        got, want = got._replace(arc_index=None), want._replace(arc_index=None)
    assert_same(got, want, counts_exact=exact, tolerance=1e-5)


def batched_case(dtype: torch.dtype = torch.float32) -> dict:
    heads, length, head_size, seed = 3, 45, 16, 0
    lengths = [length, 1, 17, 32]
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), length, heads, head_size)
    q, k, v = (torch.randn(shape, generator=generator).transpose(1, 2) for _ in range(3))
    mask = torch.arange(length)[None, :] < torch.tensor(lengths)[:, None]
    tokens = [length] * len(lengths)
    return dict(
        query=(q * 4).to(dtype),
        key=k.to(dtype),
        value=v.to(dtype),
        key_mask=mask,
        properties=random_properties(tokens, np.random.default_rng(seed)),
    )


@pytest.mark.parametrize("side", ["right", "left", "holes"])
def test_padding(instruction_set, side):
    case = batched_case()
    if side == "left":
        case["key_mask"] = case["key_mask"].flip(1)
    elif side == "holes":
        case["key_mask"] = torch.rand(4, 45, generator=torch.Generator().manual_seed(3)) < 0.7
        case["key_mask"][:, 0] = True
    assert compare(case) > 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_poisoned_padding_leaks_nowhere(instruction_set, dtype):
    case = batched_case(dtype)
    clean = ops.attention_statistics(**{**EVERYTHING, **case})
    pads = ~case["key_mask"][:, None, :, None]
    for poison in (math.nan, math.inf, -math.inf, 3e38):
        dirty = {
            **case,
            **{name: case[name].masked_fill(pads, poison) for name in ("query", "key", "value")},
        }
        got = ops.attention_statistics(**{**EVERYTHING, **dirty})
        assert torch.equal(got.flags, torch.zeros(4, dtype=torch.int32))
        for name in ("arcs", "eligible", "counts", "mass", "mass_sums", "received", "entropy"):
            assert torch.equal(getattr(got, name), getattr(clean, name)), (name, poison)
        kept = case["key_mask"][:, None, :, None].expand_as(got.output)
        assert torch.equal(got.output[kept], clean.output[kept])


def test_additive_mask():
    case = batched_case()
    mask = torch.randn(4, 45, generator=torch.Generator().manual_seed(5))
    allowed = case["key_mask"]
    case["key_mask"] = mask.masked_fill(~allowed, -math.inf)
    assert compare(case) > 100


@pytest.mark.parametrize(
    ("dtype", "padding"),
    [
        *((dtype, torch.finfo(dtype).min) for dtype in (torch.float32, torch.bfloat16)),
        *((dtype, torch.finfo(dtype).min) for dtype in (torch.float16, torch.float64)),
        (torch.float32, -1e30),
    ],
)
def test_padding_marked_by_a_very_low_number_is_forbidden(instruction_set, dtype, padding):
    """Most pipelines write the least number of a dtype where they mean -inf."""
    case = batched_case()
    allowed = case["key_mask"]
    pads = ~allowed[:, None, :, None]
    clean = ops.attention_statistics(**{**EVERYTHING, **case})
    case["key_mask"] = torch.zeros(4, 45, dtype=dtype).masked_fill(~allowed, padding)
    for name in ("key", "value"):
        case[name] = case[name].masked_fill(pads, math.nan)
    assert compare(case) > 100
    got = ops.attention_statistics(**{**EVERYTHING, **case})
    for name in ("arcs", "eligible", "counts", "mass", "received", "entropy", "flags"):
        assert torch.equal(getattr(got, name), getattr(clean, name)), name
    kept = allowed[:, None, :, None].expand_as(got.output)
    assert torch.equal(got.output[kept], clean.output[kept])


def test_relative_bias_and_window(instruction_set):
    case = packed_case([70, 33, 1], 3, 16, seed=2)
    reach = 75
    bias = torch.randn(3, 2 * reach + 1, generator=torch.Generator().manual_seed(1))
    bias[1, (torch.arange(-reach, reach + 1)).abs() >= 16] = -math.inf  # a sliding window
    assert compare(case, relative_bias=bias) > 100


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.float64, 1e-7), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)],
)
def test_a_bias_that_forbids_all_pairs_of_a_row(instruction_set, dtype, tolerance):
    case = packed_case([70, 33, 1], 3, 16, dtype=dtype, seed=2)
    bias = torch.zeros(3, 151)
    bias[2, 75 + 20 :] = bias[2, : 75 + 1] = -math.inf  # keys 1 to 19 after the query, no others
    arguments = {**EVERYTHING, **case, "relative_bias": bias}
    got, want = ops.attention_statistics(**arguments), reference.attention_statistics(**arguments)
    least, most = arc_bounds(arguments, 1e-5)
    assert torch.isinf(want.lse).sum() == 3  # the last row of each sequence, in one head
    same = dict(counts_exact=True, tolerance=tolerance, sure=least == most)
    assert assert_same(got, want, **same) > 100


@pytest.mark.parametrize("theta", [1e-50, 1e-39, 1e-37])
def test_thresholds_that_float_cannot_hold(instruction_set, theta):
    """Zero weights, of padding and of keys that are no residues, are never arcs."""
    case = packed_case([37, 5], 2, 16, sharpness=1.0)
    arguments = {**EVERYTHING, **case, "thresholds": (theta,)}
    got, want = ops.attention_statistics(**arguments), reference.attention_statistics(**arguments)
    assert want.arcs.sum() > 1000
    assert torch.equal(got.arcs, want.arcs) and torch.equal(got.counts, want.counts)
    assert torch.equal(got.arc_index, want.arc_index)


def test_strided_views():
    """Slices of a fused projection, and views with heads outside."""
    tokens, heads, size = 97, 4, 24
    fused = torch.randn(tokens, heads, 3 * size, generator=torch.Generator().manual_seed(0))
    q, k, v = fused.split(size, dim=-1)
    case = packed_case([64, 33], heads, size)
    assert compare({**case, "query": q * 4, "key": k, "value": v}) > 100
    swapped = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in (q * 4, k, v)]
    a = ops.attention_statistics(
        **{**case, **dict(zip(("query", "key", "value"), swapped, strict=True))}
    )
    b = ops.attention_statistics(**{**case, "query": q * 4, "key": k, "value": v})
    assert torch.equal(a.counts, b.counts)
    assert torch.equal(a.output, b.output)


def test_packed_equals_one_by_one_and_batched():
    lengths = [40, 3, 29]
    case = packed_case(lengths, 2, 16)
    whole = ops.attention_statistics(**{**case, "weighting": "both"})
    begin = 0
    for s, n in enumerate(lengths):
        window = slice(begin, begin + n)
        alone = {name: case[name][window] for name in ("query", "key", "value", "residues")}
        labels = case["properties"].labels[:1, window].contiguous()
        properties = PropertyBatch.empty()._replace(
            kinds=(0,), rows=(0,), classes=(5,), labels=labels
        )
        single = ops.attention_statistics(
            **alone,
            cu_seqlens=torch.tensor([0, n], dtype=torch.int32),
            properties=properties,
            weighting="both",
        )
        assert torch.equal(single.output, whole.output[window])
        assert torch.equal(single.counts[0], whole.counts[s, ..., :5])
        assert torch.equal(single.mass[0], whole.mass[s])
        dense = {name: alone[name].transpose(0, 1)[None] for name in ("query", "key", "value")}
        batched = ops.attention_statistics(
            **dense, residues=alone["residues"][None], properties=properties, weighting="both"
        )
        assert torch.equal(batched.output[0].transpose(0, 1), single.output)
        assert torch.equal(batched.counts, single.counts)
        begin += n


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lengths", [[40, 3, 29, 100], [1500, 20]])
def test_threads_do_not_change_a_bit(instruction_set, lengths, dtype):
    case = packed_case(lengths, 3, 16, sharpness=5.0, dtype=dtype)
    one, two = (
        ops.attention_statistics(**{**EVERYTHING, **case, "num_threads": n}) for n in (1, 2)
    )
    for name, a, b in zip(one._fields, one, two, strict=True):
        assert torch.equal(a, b), name


def test_accumulates_in_place():
    case = packed_case([40, 29], 2, 16)
    channels = case["properties"].channels
    counts = torch.zeros(2, 1, 2, channels, dtype=torch.int64)
    mass = torch.zeros(2, 2, channels, dtype=torch.int64)
    into = dict(arc_counts=counts, mass=mass, flags=torch.zeros(2, dtype=torch.int32))
    for _ in range(2):
        ops.attention_statistics_(**case, thresholds=(0.3,), **into)
    once = ops.attention_statistics(**case, thresholds=0.3, weighting="both")
    assert torch.equal(counts[..., 0], 2 * once.arcs)
    assert torch.equal(mass[..., 0].double() / 2**32, 2 * once.mass)


def test_ties_and_thresholds_hit_exactly(instruction_set):
    """n equal keys give a = 1 / n: with theta = 1 / n every pair is an arc."""
    for n in (1, 2, 4, 8):
        q = torch.zeros(n, 1, 16)
        cu = torch.tensor([0, n], dtype=torch.int32)
        at = ops.attention_statistics(q, q, cu_seqlens=cu, thresholds=1 / n)
        assert at.arcs.item() == n * n
        if n > 1:
            above = ops.attention_statistics(q, q, cu_seqlens=cu, thresholds=1 / n + 1e-4)
            assert above.arcs.item() == 0


def test_everything_masked_is_not_an_error():
    q = torch.randn(1, 1, 5, 16)
    mask = torch.zeros(1, 5, dtype=torch.bool)
    got = ops.attention_statistics(q, q, q, key_mask=mask, return_lse=True, weighting="both")
    assert got.arcs.item() == 0
    assert got.mass.item() == 0.0
    assert torch.equal(got.output, torch.zeros_like(got.output))
    assert torch.equal(got.lse, torch.full((1, 1, 5), -math.inf))


def test_empty_input():
    q = torch.zeros(0, 2, 16)
    got = ops.attention_statistics(q, q, q, cu_seqlens=torch.zeros(1, dtype=torch.int32))
    assert got.arcs.shape == (0, 1, 2)
    assert got.output.shape == (0, 2, 16)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["query", "key"])
def test_not_finite_is_flagged(instruction_set, bad, where):
    case = packed_case([20, 30, 10], 2, 16)
    case[where][25, 1, 3] = bad
    with pytest.raises(NumericalError, match=r"sequence\(s\) 1"):
        ops.attention_statistics(**case)


def test_too_many_arcs_for_the_list():
    case = packed_case([50], 2, 16)
    with pytest.raises(ArgumentError, match=r"max_arcs: there are (\d+) arcs, but room for 3"):
        ops.attention_statistics(**case, max_arcs=3)
