"""``provis-fast figures``."""

from __future__ import annotations

import argparse
from pathlib import Path

from provis_fast import storage
from provis_fast.cli import OK, output
from provis_fast.cli.figures_arguments import FOLDER


def run(arguments: argparse.Namespace) -> int:
    """Load the result, draw, and say where the files are."""
    from provis_fast.figures import save_all

    result = storage.load(arguments.result, allow_partial=arguments.allow_partial)
    folder = Path(arguments.result) / FOLDER if arguments.out is None else Path(arguments.out)
    written = save_all(
        result,
        folder,
        arguments.formats,
        arguments.properties,
        captions=not arguments.no_captions,
        overwrite=arguments.overwrite,
    )
    number = f"{len(written):,} file{'' if len(written) == 1 else 's'}"
    output.say(f"Figures: {folder}/ ({number}, captions.txt)", folder)
    return OK
