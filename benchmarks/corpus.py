"""A whole analysis beside its peers, in one run: the same proteins, model and threads.

    python benchmarks/corpus.py MODEL PROTEINS [--limit 200] [--loop-proteins 6] [--out FILE]

(a) the model's plain forward with torch's attention, in the best of several batchings;
(b) attention matrices from transformers, vectorised statistics;
(c) the nested loop of the paper's code, on a few proteins; its peer runs on the same few.
Also apart: what packing, the kernel, faster linear layers and activations, and leaving out the end
of the last layer gain.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
from pathlib import Path

import contenders
import machine
import numpy as np
import torch
import torch.nn.functional as F

import provis_fast as pf
from provis_fast import ops
from provis_fast.analysis_plan import CPU_BATCH_TOKENS
from provis_fast.benchmark import interleaved
from provis_fast.models import activations, linear
from provis_fast.models.routing import routed
from provis_fast.plan import PackPlanner
from provis_fast.properties import resolve

BATCHINGS = (0, 1024, 2048, 4096)
FOUR = ("amino_acid", "binding_site", "hydrophobicity", "separation")


def kernel_attention(pack):
    """Attention of a pack by our kernel, no statistics."""

    def attend(layer, query, key, value, mask, scale):
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        return ops.attention_statistics_(q, k, v, cu_seqlens=pack.cu_seqlens, scale=scale)[0][None]

    return attend


def torch_attention(pack):
    """Attention of a pack by torch, protein by protein: what packing alone gains."""
    bounds = list(itertools.pairwise(pack.cu_seqlens.tolist()))

    def attend(layer, query, key, value, mask, scale):
        parts = [
            F.scaled_dot_product_attention(
                *(x[:, :, begin:end] for x in (query, key, value)), scale=scale
            )
            for begin, end in bounds
        ]
        return torch.cat(parts, 2).transpose(1, 2)

    return attend


def packed_forward(model, proteins, attention, faster_layers: bool):
    """Our packs, nothing left out."""
    packs = list(PackPlanner(model, (), batch_tokens=CPU_BATCH_TOKENS).packs(proteins))

    def run() -> None:
        with contextlib.ExitStack() as changed:
            changed.enter_context(torch.inference_mode())
            if faster_layers:
                changed.enter_context(linear.faster(model.module))
                changed.enter_context(activations.in_place(model.module))
            for pack in packs:
                with routed(model.module, attention(pack)):
                    model.module(**pack.inputs)

    return run


def kernel_calls(model, proteins, properties):
    """The kernel alone, on the queries, keys and values of every layer."""
    layers, resolved = [], resolve(properties)
    for pack in PackPlanner(model, resolved, batch_tokens=CPU_BATCH_TOKENS).packs(proteins):

        def attend(layer, query, key, value, mask, scale, pack=pack):
            q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
            layers.append((pack, q, k, v, scale))
            return ops.attention_statistics_(q, k, v, cu_seqlens=pack.cu_seqlens, scale=scale)[0][
                None
            ]

        with torch.inference_mode(), routed(model.module, attend):
            model.module(**pack.inputs)

    def run() -> None:
        for pack, q, k, v, scale in layers:
            options = {}
            if resolved:
                sequences = len(pack.entries)
                shape = (sequences, 1, q.shape[1], pack.properties.channels)
                options = dict(
                    residues=pack.residues,
                    properties=pack.properties,
                    thresholds=(contenders.THETA,),
                    arc_counts=torch.zeros(shape, dtype=torch.int64),
                    flags=torch.zeros(sequences, dtype=torch.int32),
                )
            with torch.inference_mode():
                ops.attention_statistics_(
                    q, k, v, cu_seqlens=pack.cu_seqlens, scale=scale, **options
                )

    return run


def check_peers(model, few) -> None:
    """Peers compute what the analysis does, but for weights that another forward pass moves."""
    result = pf.analyze(model, few, ("amino_acid", "separation"))
    arcs, (by_key, by_pair) = contenders.eager_statistics(
        model, few, ("amino_acid", "separation")
    )()
    loop = contenders.nested_loop(model, few[:1], ("amino_acid",))()
    alone = pf.analyze(model, few[:1], ("amino_acid",)).counts["amino_acid"]
    looped = [loop.get(f"amino_acid_{c}", torch.zeros(())).numpy() for c in range(20)]
    for name, theirs, ours in (
        ("arcs", arcs, result.arcs),
        ("amino acids", by_key[..., :20], result.counts["amino_acid"][..., :20]),
        ("separation", by_pair, result.counts["separation"]),
        ("nested loop", looped, np.moveaxis(alone, -1, 0)[:20]),
    ):
        wrong = np.abs(np.asarray(theirs) - ours).sum() / ours.sum()
        if wrong > 1e-3:
            raise SystemExit(f"{name}: a peer and the analysis differ by {wrong:.2%} of the arcs")


def measure(model, proteins, few, seconds: float) -> dict:
    """Median seconds of everything, and the ratios that matter."""
    plain = {
        f"plain sdpa forward, {'one by one' if not n else f'padded, {n} tokens'}": (
            contenders.plain_forward(model, proteins, n)
        )
        for n in BATCHINGS
    }
    whole = {
        **plain,
        "packed forward, torch's attention": packed_forward(
            model, proteins, torch_attention, False
        ),
        "packed forward, our kernel": packed_forward(model, proteins, kernel_attention, False),
        "the same, faster layers": packed_forward(model, proteins, kernel_attention, True),
        "analysis, no property": lambda: pf.analyze(model, proteins, ()),
        "analysis, amino_acid": lambda: pf.analyze(model, proteins, ("amino_acid",)),
        "analysis, four properties": lambda: pf.analyze(model, proteins, FOUR),
        "eager + vectorised statistics, four": contenders.eager_statistics(model, proteins, FOUR),
    }
    medians = interleaved(whole, seconds, least=3)
    some = {
        "analysis of the few, one": lambda: pf.analyze(model, few, ("amino_acid",)),
        "analysis of the few, four": lambda: pf.analyze(model, few, FOUR),
        "nested loop on the few, one": contenders.nested_loop(model, few, ("amino_acid",)),
        "nested loop on the few, four": contenders.nested_loop(model, few, FOUR),
    }
    medians |= interleaved(some, seconds, least=3)
    # Statistics alone: what a forward pass takes is left out on both sides.
    alone = {
        "eager forward of the few": contenders.eager_statistics(model, few, ()),
        "kernel on the few, no statistics": kernel_calls(model, few, ()),
        "kernel on the few, four": kernel_calls(model, few, FOUR),
    }
    medians |= interleaved(alone, seconds / 4, least=20)
    loop = medians["nested loop on the few, four"] - medians["eager forward of the few"]
    ours = medians["kernel on the few, four"] - medians["kernel on the few, no statistics"]
    best = min(medians[name] for name in plain)
    four = medians["analysis, four properties"]
    ratios = {
        "analysis (amino_acid) / best plain forward": medians["analysis, amino_acid"] / best,
        "analysis (four) / best plain forward": four / best,
        "packing: packed forward, torch's attention / best plain forward": medians[
            "packed forward, torch's attention"
        ]
        / best,
        "kernel: packed forward, our kernel / torch's attention": medians[
            "packed forward, our kernel"
        ]
        / medians["packed forward, torch's attention"],
        "layers: faster / torch's": medians["the same, faster layers"]
        / medians["packed forward, our kernel"],
        "tail left out: analysis without properties / packed forward": medians[
            "analysis, no property"
        ]
        / medians["the same, faster layers"],
        "statistics: four properties / no property": four / medians["analysis, no property"],
        "eager (four) / analysis (four)": medians["eager + vectorised statistics, four"] / four,
        "nested loop / analysis, one property": medians["nested loop on the few, one"]
        / medians["analysis of the few, one"],
        "nested loop / analysis, four properties": medians["nested loop on the few, four"]
        / medians["analysis of the few, four"],
        "statistics alone: nested loop / kernel, four properties": loop / ours,
    }
    return {"seconds": medians, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("proteins")
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--loop-proteins", type=int, default=6)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = pf.load_model(arguments.model)
    proteins = list(itertools.islice(pf.load_proteins(arguments.proteins), arguments.limit))
    few = proteins[: arguments.loop_proteins]
    check_peers(model, few)
    report = {
        "machine": {**machine.describe(), "threads": arguments.threads},
        "linear": linear.library(),
        "model": {"layers": model.n_layers, "heads": model.n_heads, "head_size": model.head_size},
        "corpus": {"proteins": len(proteins), "residues": sum(map(len, proteins))},
        "few": {"proteins": len(few), "residues": sum(map(len, few))},
        **measure(model, proteins, few, arguments.seconds),
    }
    for part in ("seconds", "ratios"):
        print(f"\n{part}")
        for name, number in report[part].items():
            print(f"  {name:62s} {number:10.3f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
