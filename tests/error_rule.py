"""Whether a kernel's attention is as exact as its precision allows, and which arcs may flip."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

#: A kernel may err this many times as much as plain PyTorch in the same precision, and a little
#: more where that happens to be exact.
FACTOR = 2.0
EPSILON = {torch.bfloat16: 2**-9, torch.float16: 2**-12, torch.float32: 2**-20}
LSE_EPSILON = 2e-5


def sequences(case: dict) -> list[tuple[int, slice]]:
    """Sequence and tokens of each, of packed arguments."""
    bounds = pairwise(case["cu_seqlens"].tolist())
    return [(s, slice(begin, end)) for s, (begin, end) in enumerate(bounds) if end > begin]


def plain_attention(case: dict, dtype: torch.dtype, mask: Tensor | None = None):
    """Output [T, H, D], LSE [H, T] and attention by sequence, [H, n, n], with `dtype` in between.

    In float64 this is the reference; in 16 bits scores and weights are rounded as a plain model's
    are. `mask` is bool [T]; every sequence needs a key.
    """
    q, k, v = (case[name].to(dtype) for name in ("query", "key", "value"))
    scale = q.shape[-1] ** -0.5
    output = torch.zeros(q.shape, dtype=torch.float64)
    lse = torch.zeros(q.shape[1], q.shape[0], dtype=torch.float64)
    weights = {}
    for s, window in sequences(case):
        scores = scale * torch.einsum("ihd,jhd->hij", q[window], k[window])
        if mask is not None:
            scores = scores.masked_fill(~mask[window], -torch.inf)
        a = torch.softmax(scores, -1)
        output[window] = torch.einsum("hij,jhd->ihd", a, v[window]).double()
        lse[:, window] = torch.logsumexp(scores.double(), -1)
        weights[s] = a.double()
    return output, lse, weights


def assert_within_rule(output: Tensor, lse: Tensor, case: dict, mask: Tensor | None = None) -> None:
    """The largest error of output and LSE is at most `FACTOR` times that of plain PyTorch."""
    dtype = case["query"].dtype
    exact, exact_lse, _ = plain_attention(case, torch.float64, mask)
    plain, plain_lse, _ = plain_attention(case, dtype, mask)
    for name, got, rough, want, epsilon in (
        ("output", output, plain, exact, EPSILON[dtype]),
        ("lse", lse, plain_lse, exact_lse, LSE_EPSILON),
    ):
        got = got.double().cpu()
        assert torch.isfinite(got).all(), name
        worst = (got - want).abs().max().item()
        allowed = FACTOR * (rough - want).abs().max().item() + epsilon
        assert worst <= allowed, f"{name}: error {worst:.2e}, allowed {allowed:.2e}"


def assert_flips_explained(
    got: Tensor,  # int [S, H] arcs
    case: dict,
    threshold: float,
    error: float,
    mask: Tensor | None = None,
) -> int:
    """Arcs differ from the exact ones by no more than lie within `error` of the threshold.

    Returns how many arcs there are.
    """
    counted = case["residues"] if mask is None else case["residues"] & mask
    _, _, weights = plain_attention(case, torch.float64, mask)
    total = 0
    for s, window in sequences(case):
        pairs = counted[window][:, None] & counted[window][None, :]
        least = ((weights[s] >= threshold + error) & pairs).sum((1, 2))
        most = ((weights[s] >= threshold - error) & pairs).sum((1, 2))
        found = got[s].cpu()
        assert ((least <= found) & (found <= most)).all(), f"sequence {s}: {found} not in range"
        total += int(found.sum())
    return total
