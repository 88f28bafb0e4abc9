"""The first of the two passes on a GPU: what of it is plain PyTorch, on the CPU."""

from __future__ import annotations

import math

import pytest
import torch
from kernel_cases import packed_case

from provis_fast import reference, vendor_attention
from provis_fast.arguments import key_mask_parts
from provis_fast.vendor_attention import blockwise_attention


def compare(case, key_mask=None, relative_bias=None, window=0, tolerance=1e-5):
    """Output and LSE of rows against the reference."""
    arguments = {name: case[name] for name in ("query", "key", "value", "cu_seqlens")}
    arguments |= {"relative_bias": relative_bias, "window": window}
    want, lse = reference.attention_statistics_(
        **arguments, key_mask=key_mask, scale=0.25, return_lse=True
    )
    allowed, additive = key_mask_parts(key_mask)
    output, found = blockwise_attention(**arguments, scale=0.25, allowed=allowed, additive=additive)
    assert output.shape == want.shape and output.dtype == want.dtype
    torch.testing.assert_close(output, want, rtol=0, atol=tolerance)
    torch.testing.assert_close(found.to(lse.dtype), lse, rtol=0, atol=1e-4)
    nothing, _ = blockwise_attention(**{**arguments, "value": None}, scale=0.25)
    assert nothing is None


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 2e-2)]
)
@pytest.mark.parametrize("scores", [1 << 24, 1])  # all rows at once, and one by one
def test_blockwise_packed(monkeypatch, dtype, tolerance, scores):
    monkeypatch.setattr(vendor_attention, "_BLOCK_SCORES", scores)
    case = packed_case([5, 40, 1, 0, 33], 3, 20, dtype=dtype)
    compare(case, tolerance=tolerance)
    mask = torch.rand(79, generator=torch.Generator().manual_seed(0)) > 0.2
    mask[40:46] = False
    for name in ("key", "value"):  # what is forbidden may be anything
        case[name] = case[name].masked_fill(~mask[:, None, None], math.nan)
    compare(case, key_mask=mask, tolerance=tolerance)


def test_blockwise_batched_with_masks_and_bias():
    generator = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(2, 30, 3, 16, generator=generator).transpose(1, 2) for _ in range(3))
    case = dict(query=q, key=k, value=v, cu_seqlens=None)
    mask = torch.randn(2, 30, generator=generator)
    mask[1, 20:] = -math.inf
    bias = torch.randn(3, 2 * 29 + 1, generator=generator)
    bias[2, : 29 + 1] = -math.inf  # the last row has no key
    compare(case)
    compare(case, key_mask=mask)
    compare(case, key_mask=mask, relative_bias=bias)
    compare(case, key_mask=mask, window=9)


def test_lse_of_sequences_becomes_that_of_tokens():
    cu_seqlens = torch.tensor([0, 3, 3, 8], dtype=torch.int32)
    lse = torch.arange(3 * 2 * 32.0).reshape(3, 2, 32)
    found = vendor_attention._lse_of_tokens(lse, cu_seqlens, 8)
    expected = torch.cat([lse[0, :, :3], lse[2, :, :5]], 1)
    assert torch.equal(found, expected)
