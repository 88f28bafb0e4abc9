"""The kernel's table, kept: every head size, length, dtype, and thread count.

    python benchmarks/kernel.py [--seconds 2] [--threads 1,2] [--out FILE]

As `provis-fast benchmark`, with the machine beside the numbers, and how torch's attention and the
kernel gain from a second thread.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import machine

from provis_fast.benchmark import cases, kernel_table

#: Head sizes of models that are in use, besides the powers of two.
ODD_HEAD_SIZES = (20, 24, 36, 40, 80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    threads = [int(n) for n in arguments.threads.split(",")]
    rows = []
    odd = cases(ODD_HEAD_SIZES, lengths=[512], threads=threads)
    for case in [*cases(threads=threads), *odd]:
        (row,) = kernel_table([case], arguments.seconds)
        rows.append({name: x if isinstance(x, str) else round(x, 4) for name, x in row.items()})
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
    scaling = {}
    for case in cases(threads=[1]):
        one, two = (
            next((row for row in rows if row["case"] == f"{case.name[:-2]}{n}t"), None)
            for n in (1, 2)
        )
        if one and two:
            sdpa = one["sdpa_ms"] / two["sdpa_ms"]
            scaling[case.name[:-3]] = {"sdpa": round(sdpa, 3)} | {
                name: round(sdpa * one[name] / two[name], 3) for name in ("threshold", "all")
            }
    if arguments.out:
        report = {"machine": machine.describe(), "ratios_to_sdpa": rows, "two_threads": scaling}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
