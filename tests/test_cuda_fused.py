"""The fused kernel on a GPU, and the choice among ways (pytest -m cuda)."""

from __future__ import annotations

import math

import pytest
import torch
from error_rule import assert_flips_explained, assert_within_rule
from kernel_cases import arc_bounds, assert_replays_add, assert_same, packed_case
from test_cuda import TOLERANCES, on_cpu, on_gpu

from provis_fast import _kernels, gpu_paths, ops, reference

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
    pytest.mark.skipif(_kernels.FUSED is None, reason="there is no fused kernel in this build"),
]
HALVES = [torch.bfloat16, torch.float16]
ARCS = dict(weighting="arcs", thresholds=(0.1, 0.3), max_arcs=20000, return_lse=True)
LENGTHS = [1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 129, 0, 200]


@pytest.fixture(autouse=True)
def fused(monkeypatch):
    """Everything here goes through the fused kernel, unless a test says otherwise."""
    monkeypatch.setenv(gpu_paths.VARIABLE, "fused")


@pytest.fixture(autouse=True)
def poisoned(monkeypatch):
    """Outputs and LSE hold NaN before a call: what is not written shows."""

    def poison(function):
        def made(*arguments):
            return function(*arguments).fill_(math.nan)

        return made

    monkeypatch.setattr(_kernels, "_new_output", poison(_kernels._new_output))
    monkeypatch.setattr(_kernels, "_new_lse", poison(_kernels._new_lse))


def compare(case: dict, **options: object) -> int:
    """Counts, lists and LSE against the reference, which gets the same inputs in float64."""
    arguments = {**ARCS, **options, **case}
    got = on_cpu(ops.attention_statistics(**on_gpu(arguments)))
    wide = {
        name: x.double() if name in ("query", "key", "value") else x
        for name, x in arguments.items()
    }
    want = reference.attention_statistics(**wide)
    least, most = arc_bounds(wide, 1e-5)
    assert ((least <= got.arcs) & (got.arcs <= most)).all()
    tolerance = TOLERANCES[case["query"].dtype]
    return assert_same(got, want, counts_exact=True, tolerance=tolerance, sure=least == most)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("head_size", [16, 20, 32, 33, 64, 80, 128])
def test_ragged_packs(dtype, head_size):
    assert compare(packed_case(LENGTHS, 3, head_size, dtype=dtype, seed=head_size)) > 1000


@pytest.mark.parametrize("dtype", HALVES)
def test_long_sequences(dtype):
    assert compare(packed_case([1022, 2048], 2, 64, dtype=dtype, seed=1)) > 1000


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("weighting", ["arcs", "both"])  # in one pass, and followed by a second
def test_masks_and_bias(dtype, weighting):
    case = packed_case([70, 33, 1], 3, 16, dtype=dtype, seed=2)
    mask = torch.randn(104, generator=torch.Generator().manual_seed(3))
    mask[60:70] = -math.inf
    bias = torch.randn(3, 151, generator=torch.Generator().manual_seed(4))
    bias[1, (torch.arange(-75, 76)).abs() >= 16] = -math.inf
    assert compare({**case, "key_mask": mask}, weighting=weighting) > 100
    both = {**case, "key_mask": mask > -1, "relative_bias": bias}
    assert compare(both, weighting=weighting) > 100
    assert compare({**case, "relative_bias": bias}, weighting=weighting) > 100


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("thresholds", [(1 / 16,), (0.05, 0.5)])  # the most candidates; too many
def test_small_thresholds(dtype, thresholds):
    case = packed_case([100, 65, 7], 3, 32, dtype=dtype, seed=3)
    assert compare(case, thresholds=thresholds, max_arcs=60000) > 1000


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("head_size", [16, 20, 64, 128])
@pytest.mark.parametrize("masked", [False, True])
def test_error_rule(dtype, head_size, masked):
    case = packed_case([200, 1, 65, 128], 4, head_size, dtype=dtype, seed=head_size)
    mask = None
    if masked:
        mask = torch.rand(394, generator=torch.Generator().manual_seed(5)) < 0.8
        mask[[0, 200, 201, 266]] = True
    for options in (ARCS, {**ARCS, "weighting": "both"}):
        found = ops.attention_statistics(**on_gpu({**case, "key_mask": mask, **options}))
        assert_within_rule(found.output, found.lse, case, mask)


@pytest.mark.parametrize("dtype", HALVES)
def test_batched_strided_views_and_poisoned_pads(dtype):
    generator = torch.Generator().manual_seed(5)
    joined = torch.randn(3, 70, 4, 3 * 24, generator=generator).to(dtype)
    q, k, v = ((3 * x).transpose(1, 2) for x in joined.split(24, dim=-1))
    mask = torch.arange(70)[None] < torch.tensor([70, 33, 64])[:, None]
    pads = ~mask[:, None, :, None]

    def run(filler: float):
        case = dict(query=q, key=k.masked_fill(pads, filler), value=v.masked_fill(pads, filler))
        return on_cpu(ops.attention_statistics(**on_gpu({**ARCS, **case, "key_mask": mask})))

    got, want = run(math.nan), run(0.0)
    assert want.arcs.sum() > 100 and torch.equal(got.arcs, want.arcs) and not got.flags.any()
    assert torch.equal(got.output, want.output) and torch.equal(got.lse, want.lse)
    assert torch.isfinite(got.output).all()


def test_rows_without_keys():
    case = packed_case([40, 20], 2, 16, dtype=torch.bfloat16)
    mask = torch.arange(60) < 40  # the second sequence has none
    found = on_cpu(ops.attention_statistics(**on_gpu({**ARCS, **case, "key_mask": mask})))
    assert torch.isneginf(found.lse[:, 40:]).all() and not found.output[40:].any()
    assert not found.arcs[1].any() and not found.flags.any()


@pytest.mark.parametrize("way", ["fused", "flash"])
@pytest.mark.parametrize("weighting", ["arcs", "both"])
def test_a_thousand_runs_are_the_same_bits(monkeypatch, way, weighting):
    monkeypatch.setenv(gpu_paths.VARIABLE, way)
    case = packed_case([100, 33, 257], 4, 64, dtype=torch.bfloat16)
    options = dict(thresholds=(0.1, 0.3), weighting=weighting, return_lse=True, max_length=257)
    arguments = on_gpu({**case, **options})
    first = ops.attention_statistics(**arguments)
    assert first.arcs.sum() > 1000
    for _ in range(1000):
        again = ops.attention_statistics(**arguments)
        for name in ("output", "lse", "arcs", "eligible", "counts", "mass", "mass_sums"):
            a, b = getattr(again, name), getattr(first, name)
            assert a is b is None or torch.equal(a, b), name


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("lengths", [[128] * 4, [100, 65, 200]])
@pytest.mark.parametrize("way", gpu_paths.PATHS)
def test_every_way_counts_the_same(monkeypatch, dtype, lengths, way):
    monkeypatch.setenv(gpu_paths.VARIABLE, way)
    case = packed_case(lengths, 4, 64, dtype=dtype, seed=6)
    options = dict(thresholds=(0.3,), return_lse=True, max_length=max(lengths))
    found = ops.attention_statistics(**on_gpu({**case, **options}))
    assert_within_rule(found.output, found.lse, case)
    # Weights are exp(score - lse): they err as much as the LSE does, relatively.
    want = reference.attention_statistics(
        **{
            name: x.double() if name in ("query", "key", "value") else x for name, x in case.items()
        },
        return_lse=True,
    )
    error = 0.3 * (found.lse.cpu().double() - want.lse).abs().max().item() + 1e-5
    assert error < 1e-3
    assert assert_flips_explained(found.arcs[:, 0], case, 0.3, error) > 500


def test_a_call_can_be_captured_in_a_graph():
    case = on_gpu(packed_case([64, 33], 2, 64, dtype=torch.bfloat16))
    mask = torch.ones(97, dtype=torch.bool).cuda()
    arc_counts = torch.zeros(2, 1, 2, case["properties"].channels, dtype=torch.int64).cuda()
    flags = torch.zeros(2, dtype=torch.int32).cuda()

    def call():
        ops.attention_statistics_(
            **case,
            key_mask=mask,
            thresholds=(0.3,),
            arc_counts=arc_counts,
            flags=flags,
            max_length=64,
        )

    assert_replays_add(call, arc_counts)
