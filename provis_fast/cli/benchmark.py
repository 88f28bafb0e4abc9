"""``provis-fast benchmark``."""

from __future__ import annotations

import argparse

from provis_fast.cli import OK
from provis_fast.errors import ArgumentError

_DTYPES = ("float32", "bfloat16", "float16", "float64")
_CAPTION = """\
Median time of torch's scaled_dot_product_attention (sdpa, no statistics), and of the others as
ratios to it: eager attention with threshold statistics, the kernel without statistics, with
threshold statistics, and with all of them. Below 1 is faster than sdpa."""


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print the table row by row."""
    import torch

    from provis_fast.benchmark import cases, kernel_table

    for name in arguments.dtypes:
        if name not in _DTYPES:
            raise ArgumentError(f"--dtypes: expected some of {', '.join(_DTYPES)}; got {name}")
    dtypes = [getattr(torch, name) for name in arguments.dtypes]
    which = cases(arguments.head_sizes, arguments.lengths, dtypes, arguments.threads)
    width = max(len(case.name) for case in which)
    print(f"{_CAPTION}\n")
    headings: list[str] = []
    for row in kernel_table(which, arguments.seconds):
        name = str(row.pop("case"))
        if not headings:
            headings = list(row)
            print("  ".join(["case".ljust(width), *(heading.rjust(9) for heading in headings)]))
        cells = [f"{row[heading]:9.2f}" for heading in headings]
        print("  ".join([name.ljust(width), *cells]), flush=True)
    return OK
