"""``provis-fast report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from provis_fast.cli import OK, output


def run(arguments: argparse.Namespace) -> int:
    """Write the report, and say where it is."""
    from provis_fast.reporting import report

    path = report(
        arguments.result,
        arguments.out,
        other=arguments.other,
        matched=False if arguments.unmatched else None,
        clusters=arguments.clusters,
        views=arguments.views,
        confidence=arguments.confidence,
        allow_partial=arguments.allow_partial,
        overwrite=arguments.overwrite,
    )
    output.say(line(path), path)
    return OK


def line(path: Path) -> str:
    """Where a report is, and how one reads it."""
    return f"Report: {path} ({path.stat().st_size / 1e6:.1f} MB; open it in a browser)"
