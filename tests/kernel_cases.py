"""Random inputs for the kernels: packed or batched, with every kind of property."""

from __future__ import annotations

import numpy as np
import torch

from provis_fast import reference
from provis_fast.kernel_data import KIND, UNKNOWN_VALUE, PropertyBatch

BIN_STARTS = (0, 1, 2, 3, 4, 5, 6, 12, 24)
#: Arguments of a call that computes everything there is.
EVERYTHING = dict(
    thresholds=(0.1, 0.3, 0.5),
    weighting="both",
    received=True,
    entropy=True,
    return_lse=True,
    max_arcs=1 << 20,
)


def pack_bitmaps(maps: list[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(set, valid) boolean maps of each sequence as words and offsets."""
    words, offsets, at = [], [], 0
    for pair in maps:
        n = pair[0].shape[0]
        offsets.append(at)
        for bits in pair:
            row = np.zeros((n, (n + 31) // 32 * 32), dtype=bool)
            row[:, :n] = bits
            words.append(np.packbits(row, axis=1, bitorder="little").reshape(-1).view(np.int32))
            at += words[-1].size
    return torch.from_numpy(np.concatenate(words)), torch.tensor([offsets], dtype=torch.int64)


def random_properties(
    lengths: list[int], rng: np.random.Generator, *, classes: int = 5, side: int = 4
) -> PropertyBatch:
    """One property of each kind over sequences of the given lengths."""
    tokens = sum(lengths)
    labels = np.stack(
        [
            rng.integers(-1, classes + 1, tokens),
            rng.integers(-1, 3, tokens),
            rng.integers(-1, side + 1, tokens),
        ]
    ).astype(np.int16)
    values = np.round(rng.normal(0, 3, tokens) * 65536).astype(np.int64)
    values[rng.random(tokens) < 0.1] = UNKNOWN_VALUE
    maps = []
    for n in lengths:
        valid = rng.random((n, n)) < 0.8
        maps.append((valid & (rng.random((n, n)) < 0.3), valid))
    pairs, offsets = (
        pack_bitmaps(maps) if lengths else (torch.zeros(0, dtype=torch.int32), torch.zeros(1, 0))
    )
    return PropertyBatch(
        kinds=tuple(KIND.values()),
        rows=(0, 1, 2, 0, 0, 0),
        classes=(classes, 2, side * side, 1, 1, len(BIN_STARTS)),
        labels=torch.from_numpy(labels),
        values=torch.from_numpy(values)[None],
        pairs=pairs,
        pair_offsets=offsets.to(torch.int64),
        bin_starts=BIN_STARTS,
    )


def packed_case(
    lengths: list[int],
    heads: int,
    head_size: int,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    sharpness: float = 3.0,
) -> dict:
    """Arguments of a packed call. `sharpness` is the standard deviation of the scores."""
    generator = torch.Generator().manual_seed(seed)
    tokens = sum(lengths)
    q, k, v = (
        torch.randn(tokens, heads, head_size, generator=generator, dtype=torch.float64)
        for _ in range(3)
    )
    residues = torch.rand(tokens, generator=generator) < 0.9
    return dict(
        query=(q * sharpness).to(dtype),
        key=k.to(dtype),
        value=v.to(dtype),
        cu_seqlens=torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32),
        residues=residues,
        properties=random_properties(lengths, np.random.default_rng(seed)),
    )


def arc_bounds(arguments: dict, margin: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Arcs [S, thresholds, H] of the reference, with and without those closer than `margin`."""

    def arcs(shift: float) -> torch.Tensor:
        thresholds = [min(1.0, theta + shift) for theta in arguments["thresholds"]]
        changed = dict(thresholds=thresholds, max_arcs=0, weighting="arcs")
        return reference.attention_statistics(**{**arguments, **changed}).arcs

    return arcs(margin), arcs(-margin)


def assert_same(
    got, want, *, counts_exact: bool, tolerance: float, sure: torch.Tensor | None = None
) -> int:
    """Compare two AttentionStatistics; return the number of arcs of the smallest threshold.

    `tolerance` is that of the output, which is rounded to its dtype; statistics are held to 1e-5 at
    least. With `sure`, bool [S, thresholds, H], counts are compared only there.
    """
    assert torch.equal(got.flags, want.flags)
    for name in ("arcs", "eligible", "counts"):
        a, b = getattr(got, name), getattr(want, name)
        assert (a is None) == (b is None), name
        if a is not None and counts_exact:
            a, b = (a, b) if sure is None else (a[sure], b[sure])
            assert torch.equal(a, b), f"{name} differ: {(a - b).abs().max()}"
    for name in ("output", "lse", "mass", "mass_known", "mass_sums", "received", "entropy"):
        a, b = getattr(got, name), getattr(want, name)
        assert (a is None) == (b is None), name
        if a is not None:
            a, b = a.double(), b.double()
            finite = torch.isfinite(b)
            assert torch.equal(a[~finite], b[~finite]), name
            scale = b[finite].abs().max().clamp(min=1.0) if finite.any() else 1.0
            worst = ((a - b)[finite].abs().max() / scale).item() if finite.any() else 0.0
            allowed = tolerance if name == "output" else min(tolerance, 1e-5)
            assert worst <= allowed, f"{name} differ by {worst}"
    if got.arc_index is not None and counts_exact and (sure is None or sure.all()):
        assert torch.equal(got.arc_index, want.arc_index)
        assert torch.allclose(got.arc_weight, want.arc_weight, rtol=0.0, atol=min(tolerance, 1e-5))
    return 0 if got.arcs is None else int(got.arcs.sum())


def assert_replays_add(call, counts):
    """Capture a call on a GPU in a graph; three replays add what three calls would add.

    `call()` adds to `counts`, int64 zeros on the GPU.
    """
    call()
    once = counts.clone()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    counts.zero_()
    for _ in range(3):
        graph.replay()
    assert once.sum() > 0 and torch.equal(counts, 3 * once)
