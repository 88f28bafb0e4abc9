"""Options of ``provis-fast report``."""

from __future__ import annotations

import argparse

from provis_fast.cli.argument_types import confidence


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    report = commands.add_parser(
        "report",
        help="one HTML file of what an analysis found, or of how two differ",
        description="Write one HTML file of what an analysis found: findings in sentences, a table "
        "of all heads, figures, methods. It opens anywhere, without a network. With a second "
        "result, the report compares the two.",
        epilog="Exit status: 0 written; 2 bad usage, no result there, or a file that could not be "
        "written.",
    )
    report.add_argument("result", metavar="DIR", help="folder that analyze or merge wrote")
    report.add_argument(
        "other", metavar="DIR_B", nargs="?", help="second result, to compare with the first"
    )
    report.add_argument(
        "--out",
        metavar="FILE",
        help="default: report.html in DIR, of a comparison comparison.html there",
    )
    report.add_argument(
        "--unmatched",
        action="store_true",
        help="with DIR_B: heads do not correspond though both models have one shape, as where they "
        "were trained independently",
    )
    report.add_argument(
        "--overwrite", action="store_true", help="replace FILE even if it is no earlier report"
    )
    report.add_argument(
        "--clusters",
        metavar="FILE",
        help="which proteins are similar, as MMseqs2 writes it (lines of cluster, tab, protein): "
        "clusters become the unit of tests and intervals; needs analyze --per-protein counts",
    )
    report.add_argument(
        "--views",
        metavar="FILE",
        nargs="+",
        default=[],
        help="3-D views (provis-fast view) to link to; view.html beside the report is linked to "
        "anyway",
    )
    report.add_argument(
        "--confidence",
        type=confidence,
        default=0.95,
        metavar="P",
        help="of the intervals (default: %(default)s)",
    )
    report.add_argument(
        "--allow-partial",
        action="store_true",
        help="also of an interrupted analysis, or of shards without the others; the page says so",
    )
