"""Write the table by which a GPU's calls choose their way, from a benchmark's result.

    python benchmarks/choices.py RESULTS/gpu.json [--out FILE]

Takes the rows under "paths" of what `benchmarks/gpu.py` has written. Rows of GPUs, dtypes, head
sizes, lengths and statistics that were measured anew replace those of the table; the others stay.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import provis_fast
from provis_fast.gpu_table import TableError, parse_row, parse_table, table_text

TABLE = Path(provis_fast.__file__).parent / "data" / "gpu_paths.json"


def updated(table: str, results: str, name: str) -> str:
    """The text of a table with the measurements of a result in it.

    Raises
    ------
    TableError
        No rows under "paths", or one that does not fit.
    """
    found = json.loads(results)
    measured = found.get("paths") if isinstance(found, dict) else None
    if not isinstance(measured, list) or not measured:
        raise TableError(
            f"{name}: expected rows under 'paths', got {measured!r}; run benchmarks/gpu"
        )
    rows = {row[:6]: row for row in parse_table(table, str(TABLE))}
    for number, row in enumerate(measured, 1):
        parsed = parse_row(row, f"{name}: paths: row {number}")
        rows[parsed[:6]] = parsed
    return table_text(list(rows.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, default=TABLE, help="default: the package's own table")
    arguments = parser.parse_args()
    before = TABLE.read_text(encoding="utf-8")
    text = updated(before, arguments.results.read_text(encoding="utf-8"), str(arguments.results))
    arguments.out.write_text(text, encoding="utf-8")
    print(f"{arguments.out}: {len(parse_table(text, str(arguments.out)))} rows")


if __name__ == "__main__":
    main()
