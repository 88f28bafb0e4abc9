"""Time of a report: 30 layers x 16 heads, 30 properties, 150 classes, and of its parts.

    python benchmarks/report.py [--layers 30] [--heads 16] [--repeats 3] [--out FILE]

Numbers are random. Parts are measured in the same run: reading is not among them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import machine
from report_cases import drawn_result, large_specs

from provis_fast.inference.table import infer
from provis_fast.reporting import report
from provis_fast.reporting.findings import best_classes, findings
from provis_fast.reporting.focus import focus
from provis_fast.reporting.head_table import head_table
from provis_fast.reporting.pictures import draw_all


def main() -> None:
    """Print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="also write it there")
    arguments = parser.parse_args()
    specs = large_specs()
    result = drawn_result(specs, arguments.layers, arguments.heads)
    times: dict[str, list[float]] = {}

    def timed(name, make, *given):
        started, used = time.perf_counter(), time.process_time()
        made = make(*given)
        times.setdefault(f"{name}, s", []).append(time.perf_counter() - started)
        times.setdefault(f"{name}, s of CPU", []).append(time.process_time() - used)
        return made

    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.repeats):
            table = timed("inference", infer, result)
            about = focus(result, "protein", 0.95)
            found = timed("findings", findings, result, table, about)
            timed("table", head_table, result, table, about)
            timed("figures", draw_all, result, about, table, best_classes(found))
            page = timed("whole", report, result, Path(folder) / "report.html")
        size = page.stat().st_size
    medians = {name: round(statistics.median(each), 3) for name, each in times.items()}
    found = {"machine": machine.describe(), "rows": len(table), "bytes": size} | medians
    print(json.dumps(found, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
