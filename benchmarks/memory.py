"""Peak memory of the kernel with key-class statistics against sequence length.

    python benchmarks/memory.py [--lengths 512,2048,8192] [--out FILE]

Each length runs in a process of its own. "extra" is the growth of the peak resident set over the
inputs and the output, which any attention holds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HEADS, HEAD_SIZE = 20, 64

CHILD = """
import resource, sys, torch
from provis_fast import ops
from provis_fast.benchmark import properties
n, heads, size = {n}, {heads}, {size}
torch.set_num_threads(2)
q, k, v = (torch.randn(1, n, heads, size).transpose(1, 2) for _ in range(3))
held = torch.ones(1, n, heads, size)  # the room that the output will take
labels = properties(n, "key_class")
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
ops.attention_statistics(q[:, :, :8], k[:, :, :8], v[:, :, :8])  # load everything
before = peak()
del held
if {which!r} == "kernel":
    ops.attention_statistics(q, k, v, properties=labels, weighting="both")
else:
    torch.nn.functional.scaled_dot_product_attention(q, k, v)
print(peak() - before)
"""


def extra(which: str, n: int) -> float:
    """MiB that a call needs beyond its inputs and output."""
    code = CHILD.format(n=n, heads=HEADS, size=HEAD_SIZE, which=which)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", default="512,1024,2048,4096,8192")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    print(f"MiB beyond inputs and output; {HEADS} heads of size {HEAD_SIZE}, 2 threads")
    print("  length    kernel      sdpa    one L x L matrix per head")
    for n in map(int, arguments.lengths.split(",")):
        row = {"length": n, "kernel": extra("kernel", n), "sdpa": extra("sdpa", n)}
        row["matrices"] = HEADS * n * n * 4 / 2**20
        rows.append(row)
        print(f"  {n:6d} {row['kernel']:9.1f} {row['sdpa']:9.1f} {row['matrices']:14.1f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
