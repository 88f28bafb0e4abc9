"""Windows and terms of relative position: the kernels against `provis_fast.reference`."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import EVERYTHING, arc_bounds, assert_same, packed_case

from provis_fast import _C, ops, reference

TOLERANCES = {
    torch.float32: 1e-5,
    torch.float64: 1e-7,
    torch.float16: 2e-3,
    torch.bfloat16: 2e-2,
}


@pytest.fixture(params=_C.cpu_info()["available"])
def instruction_set(request, monkeypatch):
    """Every instruction set that this machine has, the portable one included."""
    monkeypatch.setenv("PROVIS_FAST_CPU", request.param)
    return request.param


def position_terms(case: dict, reach: int, seed: int = 7, even: bool = False) -> dict:
    """Terms about as large as the other scores, for sequences of up to `reach` + 1 tokens.

    `even` adds a row in front, which no pair has: XLNet computes one.
    """
    generator = torch.Generator().manual_seed(seed)
    query = case["query"]
    _, heads, size = query.shape
    keys = torch.randn(2 * reach + 1 + even, heads, size, generator=generator, dtype=torch.float64)
    if even:
        keys[0] = math.nan
    rows = torch.randn(query.shape, generator=generator, dtype=torch.float64)
    return dict(
        position_query=(2 * rows).to(query.dtype),
        position_key=keys.to(query.dtype),
    )


def batched(case: dict, length: int) -> dict:
    """A packed case of sequences of one length in the batched layout, with the same properties."""
    named = ("query", "key", "value", "position_query")
    result = {name: value for name, value in case.items() if name != "cu_seqlens"}
    for name in named:
        if name in case:
            result[name] = case[name].unflatten(0, (-1, length)).transpose(1, 2)
    result["residues"] = case["residues"].view(-1, length)
    return result


def compare(case: dict, tolerance: float = 1e-5) -> int:
    """Hold the kernel to the reference; return the number of arcs."""
    arguments = {**EVERYTHING, **case}
    got, want = ops.attention_statistics(**arguments), reference.attention_statistics(**arguments)
    least, most = arc_bounds(arguments, 1e-5)
    assert ((least <= got.arcs) & (got.arcs <= most)).all()
    same = dict(counts_exact=True, tolerance=tolerance, sure=least == most)
    return assert_same(got, want, **same)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("window", [1, 2, 17, 64, 65, 1000])
def test_windows(instruction_set, dtype, window):
    case = packed_case([1, 2, 31, 70, 200], 2, 20, dtype=dtype)
    assert compare(case | dict(window=window), TOLERANCES[dtype]) > 200


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("head_size", [5, 16, 64, 80])
def test_terms_of_relative_position(instruction_set, dtype, head_size):
    case = packed_case([1, 2, 31, 32, 70, 97], 2, head_size, dtype=dtype)
    for even in (False, True):
        terms = position_terms(case, 96 if even else 110, even=even)
        assert compare(case | terms, TOLERANCES[dtype]) > 200


def test_all_terms_at_once(instruction_set):
    case = packed_case([40, 40, 40], 3, 16)
    case |= position_terms(case, 39) | dict(window=13)
    generator = torch.Generator().manual_seed(5)
    case["relative_bias"] = torch.randn(3, 2 * 45 + 1, generator=generator)
    case["key_mask"] = torch.randn(120, generator=generator)
    case["key_mask"][torch.rand(120, generator=generator) < 0.3] = -math.inf
    case["key_mask"][75:80] = -math.inf
    assert compare(case) > 100
    dense = batched(case, 40) | dict(key_mask=case["key_mask"].view(3, 40))
    assert compare(dense) > 100


def test_a_window_that_holds_everything_changes_nothing(instruction_set):
    case = packed_case([40, 3, 29], 2, 16)
    plain = ops.attention_statistics(**EVERYTHING, **case)
    for window in (40, 41, 1 << 40):
        got = ops.attention_statistics(**EVERYTHING, **case, window=window)
        for name, a, b in zip(plain._fields, got, plain, strict=True):
            assert torch.equal(a, b), (name, window)


def test_a_window_of_one_is_every_token_by_itself():
    case = packed_case([50, 3], 2, 16)
    got = ops.attention_statistics(**case, thresholds=1.0, window=1, weighting="both")
    assert torch.equal(got.output, case["value"])
    residues = torch.tensor([case["residues"][:50].sum(), case["residues"][50:].sum()])
    assert torch.equal(got.arcs[:, 0], residues[:, None].expand(2, 2))


@pytest.mark.parametrize("side", ["right", "left"])
def test_rows_whose_window_holds_padding_alone(instruction_set, side):
    """Queries far in the padding reach no key: nothing is theirs, and nothing is not finite."""
    case = batched(packed_case([150, 150], 2, 16), 150)
    case["key_mask"] = torch.ones(2, 150, dtype=torch.bool)
    case["key_mask"][0, 20:] = case["key_mask"][1, 100:] = False
    if side == "left":
        case["key_mask"] = case["key_mask"].flip(1)
    case["window"] = 9
    got = ops.attention_statistics(**EVERYTHING, **case)
    assert torch.isinf(got.lse[0, 0]).sum() == 150 - 20 - 8
    assert compare(case) > 50


@pytest.mark.parametrize("terms", ["window", "positions", "both"])
def test_poisoned_padding_leaks_nowhere(instruction_set, terms):
    packed = packed_case([60, 60], 2, 16)
    if terms != "window":
        packed |= position_terms(packed, 59)
    case = batched(packed, 60)
    if terms != "positions":
        case["window"] = 11
    case["key_mask"] = torch.arange(60)[None] < torch.tensor([[44], [60]])
    clean = ops.attention_statistics(**EVERYTHING, **case)
    pads = ~case["key_mask"][:, None, :, None]
    for poison in (math.nan, math.inf, 3e38):
        dirty = dict(case)
        for name in ("query", "key", "value", "position_query"):
            if name in case:
                dirty[name] = case[name].masked_fill(pads, poison)
        got = ops.attention_statistics(**EVERYTHING, **dirty)
        for name in ("arcs", "counts", "mass", "received", "entropy", "flags"):
            assert torch.equal(getattr(got, name), getattr(clean, name)), (name, poison)
        kept = ~pads.expand_as(got.output)
        assert torch.equal(got.output[kept], clean.output[kept])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("lengths", [[40, 3, 29, 100], [1500, 20]])
@pytest.mark.parametrize("window", [0, 30])
def test_threads_do_not_change_a_bit(instruction_set, dtype, lengths, window):
    case = packed_case(lengths, 3, 16, sharpness=5.0, dtype=dtype)
    case |= position_terms(case, max(lengths) - 1) | dict(window=window)
    one, two = (
        ops.attention_statistics(**{**EVERYTHING, **case, "num_threads": n}) for n in (1, 2)
    )
    for name, a, b in zip(one._fields, one, two, strict=True):
        assert torch.equal(a, b), name


def test_bands_of_blocks_and_queries_in_pieces(instruction_set):
    """Long sequences are cut by queries; large heads let several blocks share their keys."""
    for lengths, size, window in (([1300], 8, 40), ([700, 650], 256, 300), ([700], 256, 0)):
        case = packed_case(lengths, 1, size, sharpness=24 / size**0.5)
        case |= position_terms(case, max(lengths) - 1) | dict(window=window)
        assert compare(case | dict(max_arcs=0)) > 500


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 70), min_size=1, max_size=6) | st.just([0, 0]),
    heads=st.integers(1, 3),
    head_size=st.sampled_from([4, 16, 20, 64]),
    seed=st.integers(0, 2**16),
    window=st.integers(0, 80),
    positions=st.booleans(),
    spare=st.integers(0, 40),
)
def test_ragged_packs(lengths, heads, head_size, seed, window, positions, spare):
    case = packed_case(lengths, heads, head_size, seed=seed) | dict(window=window)
    if positions:
        reach = max(0, *lengths, 1) - 1 + spare
        case |= position_terms(case, reach, seed, even=bool(spare % 2))
    if sum(lengths) == 0:
        case["max_arcs"] = 0
    compare(case)


def test_position_queries_and_keys_may_be_strided():
    case = packed_case([50, 30], 2, 16)
    terms = position_terms(case, 49)
    plain = ops.attention_statistics(**EVERYTHING, **case, **terms)
    wide = {name: torch.cat([x, x], -1)[..., :16] for name, x in terms.items()}
    swapped = {name: x.transpose(0, 1).contiguous().transpose(0, 1) for name, x in terms.items()}
    for views in (wide, swapped):
        got = ops.attention_statistics(**EVERYTHING, **case, **views)
        for name, a, b in zip(plain._fields, got, plain, strict=True):
            assert torch.equal(a, b), name


def test_rows_beyond_the_middle_are_for_keys_after_the_query():
    """A single position key that is not zero: every query attends to the next token alone."""
    n = 9
    query = torch.zeros(n, 1, 4)
    keys = torch.zeros(2 * n + 1, 1, 4)
    keys[n + 1] = 100.0
    got = ops.attention_statistics(
        query,
        query,
        cu_seqlens=torch.tensor([0, n], dtype=torch.int32),
        position_query=torch.ones(n, 1, 4),
        position_key=keys,
        max_arcs=99,
    )
    assert got.arc_index[:, 2:].tolist() == [[i, i + 1] for i in range(n - 1)]
