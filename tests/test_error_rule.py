"""The rule by which GPU kernels are judged, tried on the CPU's."""

from __future__ import annotations

import pytest
import torch
from error_rule import assert_flips_explained, assert_within_rule, plain_attention
from kernel_cases import packed_case

from provis_fast import ops, reference


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("masked", [False, True])
def test_the_cpu_kernel_keeps_the_rule(dtype, masked):
    case = packed_case([33, 0, 70, 1], 3, 32, dtype=dtype, seed=1)
    mask = None
    if masked:
        mask = torch.rand(104, generator=torch.Generator().manual_seed(2)) < 0.8
        mask[[0, 40, 103]] = True  # every sequence needs a key
    found = ops.attention_statistics(**case, key_mask=mask, return_lse=True)
    assert_within_rule(found.output, found.lse, case, mask)
    assert assert_flips_explained(found.arcs[:, 0], case, 0.3, 1e-5, mask) > 50


def test_plain_attention_is_the_reference():
    case = packed_case([20, 1, 9], 2, 16, dtype=torch.float64)
    output, lse, _ = plain_attention(case, torch.float64)
    want = reference.attention_statistics(**case, return_lse=True)
    torch.testing.assert_close(output, want.output)
    torch.testing.assert_close(lse, want.lse)


def test_the_rule_can_be_broken():
    case = packed_case([40, 20], 2, 16, dtype=torch.bfloat16)
    found = ops.attention_statistics(**case, return_lse=True)
    worse = found.output.clone()
    worse[7, 1, 3] += 0.1
    with pytest.raises(AssertionError, match="output: error"):
        assert_within_rule(worse, found.lse, case)
    with pytest.raises(AssertionError, match="lse: error"):
        assert_within_rule(found.output, found.lse + 0.1, case)
    with pytest.raises(AssertionError, match="not in range"):
        assert_flips_explained(found.arcs[:, 0] + 1, case, 0.3, 1e-5)
    poisoned = found.output.clone()
    poisoned[0] = torch.nan
    with pytest.raises(AssertionError, match="output"):
        assert_within_rule(poisoned, found.lse, case)
