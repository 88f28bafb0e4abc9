"""Options of ``provis-fast figures``."""

from __future__ import annotations

import argparse

from provis_fast.cli.argument_types import folder, names

#: Inside the result's folder, where --out is left out.
FOLDER = "figures"


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    figures = commands.add_parser(
        "figures",
        help="the paper's figures of a result, as PNG, SVG and PDF",
        description="Draw the figures of a result: heads and layers by property, best heads with "
        "intervals, amino acids and BLOSUM62, separations, thresholds, arcs. No model is needed.",
        epilog="Exit status: 0 drawn (what too few arcs leave out is told); 2 bad usage, no result "
        "there, nothing to draw, or files that could not be written.",
    )
    figures.add_argument("result", metavar="DIR", help="folder that analyze or merge wrote")
    figures.add_argument(
        "--out", type=folder, metavar="FOLDER", help=f"folder for them (default: DIR/{FOLDER})"
    )
    figures.add_argument(
        "--formats",
        type=names,
        default=("png",),
        metavar="png|svg|pdf,...",
        help="file formats (default: png)",
    )
    figures.add_argument(
        "--properties", type=names, metavar="NAME,...", help="only of these (default: all)"
    )
    figures.add_argument(
        "--no-captions",
        action="store_true",
        help="do not draw captions below the figures (captions.txt has them anyway)",
    )
    figures.add_argument(
        "--overwrite", action="store_true", help="replace earlier figures in FOLDER"
    )
    figures.add_argument(
        "--allow-partial",
        action="store_true",
        help="also of an interrupted analysis, or of shards without the others; captions say so",
    )
