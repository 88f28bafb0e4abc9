"""Options of ``provis-fast view``."""

from __future__ import annotations

import argparse

from provis_fast.cli.argument_types import (
    model,
    names,
    not_negative,
    positive,
    threads,
    thresholds,
)
from provis_fast.cli.shared_arguments import add_contact

#: Made by ``provis-fast view`` where nothing else is said.
VIEW = "view.html"


def add(commands: argparse._SubParsersAction) -> None:
    """The subcommand."""
    view = commands.add_parser(
        "view",
        help="the attention of a model's heads on a structure, as a page with a 3-D view",
        description="Write one HTML file that shows a structure and the attention of a model's "
        "heads on it. All heads are in it, ranked by how often they join residues in contact; "
        "layer, head and threshold are chosen in the page, which needs no network.",
        epilog="Exit status: 0 written; 2 bad usage, no structure, a model without that head, or a "
        "page that could not be written.",
    )
    view.add_argument(
        "structure", metavar="STRUCTURE", help="PDB, mmCIF or BinaryCIF file, also .gz or .zst"
    )
    view.add_argument(
        "--model", type=model, required=True, metavar="MODEL", help="as MODEL of analyze"
    )
    view.add_argument(
        "--layer",
        type=positive,
        metavar="N",
        help="the page opens with this layer, counted from 1 (default: that of the best head)",
    )
    view.add_argument(
        "--head",
        type=positive,
        metavar="N",
        help="and this head (default: the best for this structure)",
    )
    view.add_argument(
        "--threshold",
        type=_threshold,
        default=0.1,
        metavar="X",
        help="arcs of at least this attention are kept (default: %(default)s)",
    )
    view.add_argument(
        "--chain",
        type=names,
        metavar="NAME,...",
        help="chains to show, by the author's names (default: all)",
    )
    view.add_argument(
        "--directed",
        action="store_true",
        help="open with both directions apart (default: the stronger one of each pair)",
    )
    view.add_argument("--title", metavar="TEXT", help="of the page (default: the entry's id)")
    view.add_argument(
        "--min-arcs",
        type=not_negative,
        metavar="N",
        help="eligible arcs that a head needs to be ranked by its share of contacts (default: 20)",
    )
    view.add_argument(
        "-o",
        "--out",
        type=_file,
        default=VIEW,
        metavar="FILE",
        help="the page (default: %(default)s); an earlier one is replaced",
    )
    view.add_argument(
        "--overwrite", action="store_true", help="replace FILE even if it is something else"
    )
    add_contact(view.add_argument_group("what a contact is"))
    running = view.add_argument_group("running")
    running.add_argument(
        "--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:N, or auto: the CPU"
    )
    running.add_argument(
        "--dtype",
        default="float32",
        metavar="NAME",
        help="float32, bfloat16, float16, float64, or auto: the checkpoint's (default: float32)",
    )
    running.add_argument("--revision", metavar="NAME", help="revision of a model on the hub")
    running.add_argument(
        "--threads", type=threads, metavar="N", help="of the model (default: as torch chooses)"
    )


def _threshold(text: str) -> float:
    """One number in (0, 1]."""
    found = thresholds(text)
    if isinstance(found, tuple):
        raise argparse.ArgumentTypeError(f"expected one number, got {text!r}")
    return found


def _file(text: str) -> str:
    """The name of a file."""
    if not text:
        raise argparse.ArgumentTypeError("expected the name of a file, got ''")
    return text
