"""The kernels on a GPU, against the reference in float64 on the CPU (pytest -m cuda)."""

from __future__ import annotations

import math

import analysis_cases
import numpy as np
import pytest
import torch
from kernel_cases import arc_bounds, assert_replays_add, assert_same, packed_case

import provis_fast as pf
from provis_fast import ops, reference
from provis_fast._kernels import CUDA_BUILT

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
    pytest.mark.skipif(not CUDA_BUILT, reason="the CUDA part is not built"),
]
EVERYTHING = dict(
    weighting="both",
    thresholds=(0.1, 0.3),
    received=True,
    entropy=True,
    max_arcs=20000,
    return_lse=True,
)
TOLERANCES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def on_gpu(case: dict) -> dict:
    """The same arguments with their tensors on the GPU."""

    def moved(x):
        if isinstance(x, torch.Tensor):
            return x.cuda()
        return x._make(map(moved, x)) if hasattr(x, "_make") else x

    return {name: moved(x) for name, x in case.items()}


def on_cpu(statistics):
    return statistics._make(x.cpu() if isinstance(x, torch.Tensor) else x for x in statistics)


def compare(case: dict, dtype: torch.dtype) -> int:
    """Everything against the reference, which gets the same rounded inputs in float64."""
    arguments = {**EVERYTHING, **case}
    got = on_cpu(ops.attention_statistics(**on_gpu(arguments)))
    wide = {
        name: x.double() if name in ("query", "key", "value") else x
        for name, x in arguments.items()
    }
    want = reference.attention_statistics(**wide)
    least, most = arc_bounds(wide, 1e-5)
    assert ((least <= got.arcs) & (got.arcs <= most)).all()
    tolerance = TOLERANCES[dtype]
    return assert_same(got, want, counts_exact=True, tolerance=tolerance, sure=least == most)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("head_size", [16, 20, 32, 33, 64, 80, 128, 256])
def test_ragged_packs(dtype, head_size):
    lengths = [1, 2, 3, 31, 32, 33, 63, 64, 65, 127, 129, 0, 200]
    case = packed_case(lengths, 3, head_size, dtype=dtype, seed=head_size)
    assert compare(case, dtype) > 1000


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_long_sequences(dtype):
    assert compare(packed_case([1022, 2048], 2, 64, dtype=dtype, seed=1), dtype) > 1000


def test_heads_more_than_two_to_the_31_elements_apart():
    case = packed_case([70, 30], 2, 64, dtype=torch.bfloat16)
    apart = 1 << 31

    def far(x):
        memory = torch.empty(apart + x[:, 0].numel(), dtype=x.dtype, device="cuda")
        view = memory.as_strided(x.shape, (x.shape[2], apart, 1))
        return view.copy_(x)

    if torch.cuda.mem_get_info()[0] < 4 * 2 * apart:
        pytest.skip("needs 16 GiB of free GPU memory")
    options = dict(thresholds=(0.3,), weighting="both", max_length=70)
    near = ops.attention_statistics(**on_gpu(case), **options)
    moved = {name: far(case[name]) for name in ("query", "key", "value")}
    found = ops.attention_statistics(**{**on_gpu(case), **moved}, **options)
    assert near.arcs.sum() > 0 and torch.equal(near.arcs, found.arcs)
    assert torch.equal(near.mass, found.mass)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_masks_and_bias(dtype):
    case = packed_case([70, 33, 1], 3, 16, dtype=dtype, seed=2)
    mask = torch.randn(104, generator=torch.Generator().manual_seed(3))
    mask[60:70] = -math.inf
    bias = torch.randn(3, 151, generator=torch.Generator().manual_seed(4))
    bias[1, (torch.arange(-75, 76)).abs() >= 16] = -math.inf
    assert compare({**case, "key_mask": mask}, dtype) > 100
    assert compare({**case, "key_mask": mask > -1, "relative_bias": bias}, dtype) > 100


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_batched_strided_views_and_poisoned_pads(dtype):
    generator = torch.Generator().manual_seed(5)
    fused = torch.randn(3, 70, 4, 3 * 24, generator=generator).to(dtype)
    q, k, v = ((3 * x).transpose(1, 2) for x in fused.split(24, dim=-1))
    lengths = torch.tensor([70, 33, 64])
    mask = torch.arange(70)[None] < lengths[:, None]
    pads = ~mask[:, None, :, None]
    case = dict(query=q, key=k.masked_fill(pads, math.nan), value=v.masked_fill(pads, math.nan))
    clean = dict(query=q, key=k.masked_fill(pads, 0), value=v.masked_fill(pads, 0))
    got = on_cpu(ops.attention_statistics(**on_gpu({**EVERYTHING, **case, "key_mask": mask})))
    want = on_cpu(ops.attention_statistics(**on_gpu({**EVERYTHING, **clean, "key_mask": mask})))
    assert want.arcs.sum() > 100 and torch.equal(got.arcs, want.arcs)
    assert torch.equal(got.mass, want.mass) and not got.flags.any()


def test_a_thousand_runs_are_the_same_bits():
    case = on_gpu({**EVERYTHING, **packed_case([100, 33, 257], 4, 64, dtype=torch.bfloat16)})
    first = ops.attention_statistics(**case)
    for _ in range(1000):
        again = ops.attention_statistics(**case)
        for name in ("arcs", "counts", "mass", "mass_sums", "received", "entropy"):
            assert torch.equal(getattr(again, name), getattr(first, name)), name


def test_nan_is_a_flag():
    case = packed_case([40, 30], 2, 16)
    case["query"][50, 1, 3] = math.nan
    with pytest.raises(pf.ProvisError, match="NaN"):
        ops.attention_statistics(**on_gpu({**EVERYTHING, **case}))


def test_a_call_can_be_captured_in_a_graph():
    case = on_gpu(packed_case([64, 33], 2, 64, dtype=torch.bfloat16))
    arc_counts = torch.zeros(2, 1, 2, case["properties"].channels, dtype=torch.int64).cuda()
    flags = torch.zeros(2, dtype=torch.int32).cuda()

    def call():
        ops.attention_statistics_(
            **case, thresholds=(0.3,), arc_counts=arc_counts, flags=flags, max_length=64
        )

    assert_replays_add(call, arc_counts)


def test_whole_analysis_equals_that_of_the_cpu(tmp_path):
    folder = analysis_cases.save_bert(tmp_path, positions=400)
    proteins = analysis_cases.random_proteins([20, 300, 90, 33, 1])
    names = ["amino_acid", "contact", "binding_site", "separation", "amino_acid_pair"]
    options = dict(weighting="both", entropy=True)
    cpu = pf.analyze(pf.load_model(folder, device="cpu"), proteins, names, **options)
    gpu = pf.analyze(pf.load_model(folder, device="cuda"), proteins, names, **options)
    assert cpu.arcs.sum() > 1000
    # Another forward pass: weights may differ by 1e-4, and few lie as near to the threshold.
    assert np.abs(gpu.arcs - cpu.arcs).sum() <= 0.002 * cpu.arcs.sum()
    np.testing.assert_allclose(gpu.mass, cpu.mass, rtol=1e-4)
    np.testing.assert_allclose(gpu.entropy, cpu.entropy, rtol=1e-3)
