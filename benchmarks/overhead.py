"""What the engine costs beside the plain loop over the model: accounting, reading, checkpoints.

    python benchmarks/overhead.py MODEL PROTEINS [--limit 500] [--checkpoint-seconds 1] [--out FILE]

The plain loop runs the same packs, prepared beforehand, through the model with the same kernels and
statistics, and adds nothing up. The analysis reads, prepares, adds up and keeps its state on the
disk meanwhile. Both are run by turns; what counts is the ratio of their medians.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import machine
import torch

import provis_fast as pf
from provis_fast.analysis_plan import CPU_BATCH_TOKENS
from provis_fast.benchmark import interleaved
from provis_fast.checkpoint import Checkpoints
from provis_fast.measures import Measures
from provis_fast.plan import PackPlanner
from provis_fast.worker import Worker

PROPERTIES = ("amino_acid", "separation")


def plain_loop(model, proteins):
    """Forward passes with statistics; what comes out of each is thrown away."""
    measures = Measures.checked(PROPERTIES, 0.3, None, model.n_layers, model.n_heads)
    planner = PackPlanner(model, measures.properties, batch_tokens=CPU_BATCH_TOKENS)
    packs = list(planner.packs(proteins))

    def run() -> None:
        with Worker(model, measures, planner) as worker:
            for pack in packs:
                worker._forward(pack, None).not_finite()

    return run, sum(pack.n_tokens for pack in packs)


def timed_checkpoints(seconds: list[float]):
    """Let every checkpoint that is written tell how long it took; returns how to undo that."""
    usual = Checkpoints.write

    def write(self, state) -> None:
        begun = time.perf_counter()
        usual(self, state)
        seconds.append(time.perf_counter() - begun)

    Checkpoints.write = write
    return lambda: setattr(Checkpoints, "write", usual)


def measure(model, proteins, seconds: float, every: float) -> dict:
    """Median seconds, ratios to the plain loop, and what one checkpoint takes."""
    plain, tokens = plain_loop(model, proteins)
    with tempfile.TemporaryDirectory() as folder:
        kept = {"checkpoint": folder, "checkpoint_seconds": every, "resume": False}
        contenders = {
            "plain loop": plain,
            "analysis": lambda: pf.analyze(model, proteins, PROPERTIES),
            f"analysis, checkpoints every {every:g} s": lambda: pf.analyze(
                model, proteins, PROPERTIES, **kept
            ),
        }
        took: list[float] = []
        undo = timed_checkpoints(took)
        try:
            medians = interleaved(contenders, seconds, least=3)
        finally:
            undo()
        size = (Path(folder) / "checkpoint.safetensors").stat().st_size
    loop = medians["plain loop"]
    return {
        "seconds": medians,
        "ratios": {f"{name} / plain loop": s / loop for name, s in medians.items()},
        "checkpoint": {"milliseconds": statistics.median(took) * 1e3, "bytes": size},
        "tokens": tokens,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("proteins")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--checkpoint-seconds", type=float, default=1.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = pf.load_model(arguments.model)
    proteins = list(itertools.islice(pf.load_proteins(arguments.proteins), arguments.limit))
    report = {
        "machine": {**machine.describe(), "threads": arguments.threads},
        "model": {"layers": model.n_layers, "heads": model.n_heads, "head_size": model.head_size},
        "corpus": {"proteins": len(proteins), "residues": sum(map(len, proteins))},
        **measure(model, proteins, arguments.seconds, arguments.checkpoint_seconds),
    }
    for part in ("seconds", "ratios", "checkpoint"):
        print(f"\n{part}")
        for name, number in report[part].items():
            print(f"  {name:62s} {number:12.4f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
