"""A whole analysis beside its peers, in one run: the same proteins, model and threads.

    python benchmarks/corpus.py MODEL PROTEINS [--limit 200] [--loop-proteins 6] [--out FILE]

(a) the model's plain forward with torch's attention, in the best of several batchings;
(b) attention matrices from transformers, vectorised statistics;
(c) the nested loop of the paper's code, on a few proteins; its peer runs on the same few.
Also apart: what packing and the kernel gain, activations in place (ESM), and leaving out the end of
the last layer.
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
import torch

import provis_fast as pf
from provis_fast import ops
from provis_fast.benchmark import interleaved
from provis_fast.engine import CPU_BATCH_TOKENS
from provis_fast.models import activations
from provis_fast.models.routing import routed
from provis_fast.plan import PackPlanner

BATCHINGS = (0, 1024, 2048, 4096)
FOUR = ("amino_acid", "binding_site", "hydrophobicity", "separation")


def packed_forward(model, proteins, in_place: bool):
    """Our packs with our kernel, no statistics, nothing left out."""
    packs = [
        pack
        for pack in PackPlanner(model, (), batch_tokens=CPU_BATCH_TOKENS)(iter(proteins))
        if hasattr(pack, "inputs")
    ]

    def run() -> None:
        changed = activations.in_place(model.module) if in_place else contextlib.nullcontext()
        with torch.inference_mode(), changed:
            for pack in packs:

                def attend(layer, query, key, value, mask, scale, pack=pack):
                    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
                    out, _ = ops.attention_statistics_(
                        q, k, v, cu_seqlens=pack.cu_seqlens, scale=scale
                    )
                    return out[None]

                with routed(model.module, attend):
                    model.module(**pack.inputs)

    return run


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
        "packed forward, our kernel, no statistics": packed_forward(model, proteins, False),
        "the same, activations in place": packed_forward(model, proteins, True),
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
    # The loop's statistics alone: without the forward pass that both need.
    forward = interleaved({"eager forward": contenders.eager_statistics(model, few, ())}, 2.0, 3)
    medians["eager forward of the few"] = forward["eager forward"]
    best = min(medians[name] for name in plain)
    four = medians["analysis, four properties"]
    ratios = {
        "analysis (amino_acid) / best plain forward": medians["analysis, amino_acid"] / best,
        "analysis (four) / best plain forward": four / best,
        "packing and kernel: packed forward / best plain forward": medians[
            "packed forward, our kernel, no statistics"
        ]
        / best,
        "activations in place: with / without": medians["the same, activations in place"]
        / medians["packed forward, our kernel, no statistics"],
        "tail left out: analysis without properties / packed forward": medians[
            "analysis, no property"
        ]
        / medians["the same, activations in place"],
        "statistics: four properties / no property": four / medians["analysis, no property"],
        "eager (four) / analysis (four)": medians["eager + vectorised statistics, four"] / four,
        "nested loop / analysis, one property": medians["nested loop on the few, one"]
        / medians["analysis of the few, one"],
        "nested loop / analysis, four properties": medians["nested loop on the few, four"]
        / medians["analysis of the few, four"],
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
    report = {
        "machine": {**machine.describe(), "threads": arguments.threads},
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
