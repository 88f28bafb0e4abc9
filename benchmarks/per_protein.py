"""What tables of single proteins cost, in time and on the disk, beside the same analysis without.

    python benchmarks/per_protein.py MODEL PROTEINS [--limit 50] [--rounds 5] [--out FILE]

The variants are run in turn, so that all of them see the same machine; medians are given.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

import machine
import torch

import provis_fast as pf

FOUR = ("amino_acid", "contact", "hydrophobicity", "separation")
VARIANTS = ((), ("counts",), ("received",), ("arcs",), ("counts", "received", "arcs"))


def analyse(model, proteins, tables, place: Path) -> tuple[float, dict[str, int]]:
    """Seconds of an analysis, and bytes of each table."""
    options = {"per_protein": tables, "per_protein_folder": place} if tables else {}
    begin = time.perf_counter()
    pf.analyze(model, proteins, FOUR, **options)
    seconds = time.perf_counter() - begin
    files = sorted(place.rglob("*.parquet"))
    return seconds, {path.parts[-3]: path.stat().st_size for path in files}


def measure(model, proteins, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds, overhead and bytes per protein by variant."""
    seconds: dict[tuple[str, ...], list[float]] = {tables: [] for tables in VARIANTS}
    sizes = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for tables in VARIANTS:
                place = Path(folder, "+".join(tables) or "none")
                took, sizes[tables] = analyse(model, proteins, tables, place)
                if number:  # the first round warms up
                    seconds[tables].append(took)
    plain = statistics.median(seconds[()])
    return {
        "+".join(tables) or "none": {
            "seconds": round(statistics.median(seconds[tables]), 4),
            "overhead": round(statistics.median(seconds[tables]) / plain - 1, 4),
            **{
                f"{name}: bytes per protein": round(size / len(proteins))
                for name, size in sizes[tables].items()
            },
        }
        for tables in VARIANTS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("proteins")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = pf.load_model(arguments.model)
    proteins = list(itertools.islice(pf.load_proteins(arguments.proteins), arguments.limit))
    report = {
        "machine": {**machine.describe(), "threads": arguments.threads},
        "model": {"layers": model.n_layers, "heads": model.n_heads},
        "corpus": {"proteins": len(proteins), "residues": sum(map(len, proteins))},
        "variants": measure(model, proteins, arguments.rounds),
    }
    for name, numbers in report["variants"].items():
        print(name)
        for what, number in numbers.items():
            print(f"  {what:36s} {number:>12,}")
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
