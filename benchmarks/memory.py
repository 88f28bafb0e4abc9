"""Peak memory against length: of an analysis beside the plain forward, and of one kernel call.

    python benchmarks/memory.py [--lengths 512,2048,8192] [--layers 6] [--out FILE]

The model has the shape of ESM-2 650M (20 heads of size 64) with fewer layers and random weights;
every layer is analysed for amino acids. Each number comes from a process of its own and is the
growth of the peak resident set over the loaded model (or the inputs and the output of the call).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import machine
from random_models import HEAD_SIZE, HEADS, save_esm

COMMON = """
import torch
torch.set_num_threads(2)
def peak():  # not getrusage, which begins with the peak of the process that started this one
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
"""
MODEL = """
import provis_fast as pf
from provis_fast.proteins import Protein
model = pf.load_model({folder!r})
letters = "ACDEFGHIKLMNPQRSTVWY"
def protein(n): return Protein("p", "".join(letters[i * 7919 % 20] for i in range(n)))
def plain(n):
    module = model.module
    module.set_attn_implementation("sdpa")
    ids = torch.from_numpy(model.tokens.encode(protein(n).sequence))[None]
    with torch.inference_mode():
        module(input_ids=ids)
def analysis(n):
    pf.analyze(model, [protein(n)], ("amino_acid",), weighting="both")
{which}(8)  # load everything
before = peak()
{which}({n})
print(peak() - before)
"""
CALL = """
from provis_fast import ops
from provis_fast.benchmark import properties
n = {n}
q, k, v = (torch.randn(1, n, {heads}, {size}).transpose(1, 2) for _ in range(3))
held = torch.ones(1, n, {heads}, {size})  # the room that the output will take
labels = properties(n, "key_class")
def kernel(q, k, v): ops.attention_statistics(q, k, v, properties=labels, weighting="both")
sdpa = torch.nn.functional.scaled_dot_product_attention
ops.attention_statistics(q[:, :, :8], k[:, :, :8], v[:, :, :8])  # load everything
sdpa(q[:, :, :8], k[:, :, :8], v[:, :, :8])
before = peak()
del held
{which}(q, k, v)
print(peak() - before)
"""


def grown(code: str, **values: object) -> float:
    """MiB by which the peak of a fresh process grows."""
    code = COMMON + code.format(heads=HEADS, size=HEAD_SIZE, **values)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", default="512,1024,2048,4096,8192")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        save_esm(folder, arguments.layers)
        print(
            f"MiB; {arguments.layers} layers, {HEADS} heads of size {HEAD_SIZE}, float32, 2 threads"
        )
        print(
            "  length   analysis  plain forward     extra  |  kernel    sdpa  |  L x L, all heads"
        )
        for n in map(int, arguments.lengths.split(",")):
            row: dict[str, float] = {"length": n}
            for which in ("analysis", "plain"):
                row[which] = grown(MODEL, folder=folder, which=which, n=n)
            row["extra"] = row["analysis"] - row["plain"]
            for which in ("kernel", "sdpa"):
                row[which] = grown(CALL, which=which, n=n)
            row["matrices"] = HEADS * n * n * 4 / 2**20
            rows.append(row)
            print(
                f"  {n:6d} {row['analysis']:10.1f} {row['plain']:14.1f} {row['extra']:9.1f}  |"
                f" {row['kernel']:7.1f} {row['sdpa']:7.1f}  | {row['matrices']:9.1f}",
                flush=True,
            )
    if arguments.out:
        report = {"machine": machine.describe(), "layers": arguments.layers, "mib": rows}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
