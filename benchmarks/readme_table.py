"""Writes the README's table of what was measured on GPUs, from benchmarks/results/*/gpu.json.

    python benchmarks/readme_table.py [--check]

Of each model of GPU the newest report counts. `--check` writes nothing, and exits with 1 where the
README is not what would be written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import gpu_targets

ROOT = Path(__file__).resolve().parents[1]
BEGIN = "<!-- GPU table: written by benchmarks/readme_table.py -->"
END = "<!-- end of the GPU table -->"
HEADER = ("| GPU | bfloat16, head size 64 | at most | measured | |", "|---|---|---|---|---|")


def newest(results: Path) -> list[dict]:
    """The newest report of each model of GPU, by the GPU's name."""
    found: dict[str, dict] = {}
    for path in sorted(results.glob("*/gpu.json")):
        report = json.loads(path.read_text())
        if report.get("device") != "cuda":
            continue
        name = report["gpu"]["name"]
        if name not in found or report["finished"] > found[name]["finished"]:
            found[name] = report
    return [found[name] for name in sorted(found)]


def table(reports: Iterable[dict]) -> str:
    """The table, with a row per GPU and target."""
    rows = []
    for report in reports:
        for target in gpu_targets.judged(report):
            number, unit, met = target["measured"], target["unit"], target["met"]
            limit = gpu_targets.shown(target["limit"], unit)
            measured = "not measured" if number is None else gpu_targets.shown(number, unit)
            verdict = {None: "", True: "met", False: "missed"}[met]
            rows.append((report["gpu"]["name"], target["name"], limit, measured, verdict))
    if not rows:
        for target in gpu_targets.TARGETS:
            limit = gpu_targets.shown(target.limit, target.unit)
            rows.append(("any", target.name, limit, "not yet measured", ""))
    return "\n".join([*HEADER, *(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)])


def with_table(text: str, reports: Iterable[dict]) -> str:
    """A README's text with the table between its markers.

    Raises
    ------
    SystemExit
        If the markers are not there, once each and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise SystemExit(f"README: expected the lines {BEGIN!r} and {END!r}, once each, in order")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table(reports)}\n\n{END}{rest.split(END)[1]}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    given = parser.parse_args(arguments)
    text = given.readme.read_text()
    wanted = with_table(text, newest(given.results))
    if text == wanted:
        return 0
    if given.check:
        print(f"{given.readme}: the GPU table is out of date; run benchmarks/readme_table.py")
        return 1
    given.readme.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
