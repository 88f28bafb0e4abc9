"""What bootstrap replicates and permutations add to an analysis.

    python benchmarks/replicates.py MODEL PROTEINS... [--bootstrap 200] [--permutations 20]
        [--weighting arcs] [--repeat 1] [--rounds 5] [--out FILE]

Analyses without and with either are run by turns. Seconds are of the processor, of all threads, so
that other work on the machine matters less; what counts are the ratios of the medians. Beside them
stand the bytes of a checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path

import machine
import torch

import provis_fast as pf
from provis_fast.proteins import Protein

PROPERTIES = ("amino_acid", "contact", "secondary_structure")


def corpus(paths: list[str], repeat: int) -> list[Protein]:
    """The proteins of some files, as many times over, under other ids."""
    found = [record for record in pf.load_proteins(paths) if isinstance(record, Protein)]
    return [
        dataclasses.replace(protein, id=f"{k}_{protein.id}")
        for k in range(repeat)
        for protein in found
    ]


def measure(model, proteins, contenders: dict[str, dict], weighting: str, rounds: int) -> dict:
    """Median processor seconds, ratios to the analysis without replicates, and checkpoints."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    sizes = {}
    for number in range(rounds + 1):  # the first one warms up
        for name, options in contenders.items():
            begun = time.process_time()
            pf.analyze(model, proteins, PROPERTIES, weighting=weighting, **options)
            if number:
                seconds[name].append(time.process_time() - begun)
    for name, options in contenders.items():
        with tempfile.TemporaryDirectory() as folder:
            options = options | {"weighting": weighting, "checkpoint": folder}
            pf.analyze(model, proteins[:10], PROPERTIES, **options)
            sizes[name] = (Path(folder) / "checkpoint.safetensors").stat().st_size
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    return {
        "processor_seconds": medians,
        "ratios": {name: found / medians["none"] for name, found in medians.items()},
        "checkpoint_bytes": sizes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("proteins", nargs="+")
    parser.add_argument("--bootstrap", type=int, default=200)
    parser.add_argument("--permutations", type=int, default=20)
    parser.add_argument("--weighting", default="arcs")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = pf.load_model(arguments.model)
    proteins = corpus(arguments.proteins, arguments.repeat)
    drawn, shifted = ({n: getattr(arguments, n)} for n in ("bootstrap", "permutations"))
    contenders = {
        "none": {},
        f"bootstrap {arguments.bootstrap}": drawn,
        f"permutations {arguments.permutations}": shifted,
        "both": drawn | shifted,
    }
    report = {
        "machine": {**machine.describe(), "threads": 1},
        "model": {"layers": model.n_layers, "heads": model.n_heads, "head_size": model.head_size},
        "corpus": {"proteins": len(proteins), "residues": sum(map(len, proteins))},
        "weighting": arguments.weighting,
        **measure(model, proteins, contenders, arguments.weighting, arguments.rounds),
    }
    for part in ("processor_seconds", "ratios", "checkpoint_bytes"):
        print(f"\n{part}")
        for name, number in report[part].items():
            print(f"  {name:30s} {number:14.4f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
