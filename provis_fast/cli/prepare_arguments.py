"""Options of ``provis-fast prepare``."""

from __future__ import annotations

import argparse
from typing import Literal

from provis_fast.cli.argument_types import names, positive
from provis_fast.cli.shared_arguments import INPUTS, add_contact, add_out, add_reading


def labels(text: str) -> Literal["all"] | tuple[str, ...]:
    """Names separated by commas, or "all"."""
    return "all" if text == "all" else names(text)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    prepare = commands.add_parser(
        "prepare",
        help="read and label proteins once, into a data set that is read fast",
        description="Read proteins of any format and write a data set with their labels and "
        "contacts. Analyses of it give what those of the input give.",
        epilog="Exit status: 0 all kept or skipped by a stated option; 2 bad usage, nothing kept, "
        "or a data set that could not be written; 3 some records failed (failed.tsv lists them).",
    )
    prepare.add_argument("inputs", metavar="INPUT", nargs="*", help=INPUTS)
    add_out(prepare, what="data set")
    what = prepare.add_argument_group("what is kept")
    what.add_argument(
        "--labels",
        type=labels,
        default="all",
        metavar="all|NAME,...",
        help="labels, values and columns (default: all that there are)",
    )
    what.add_argument(
        "--coordinates",
        action="store_true",
        help="also C-alpha and C-beta coordinates, for other definitions of contacts",
    )
    what.add_argument("--compress", action="store_true", help="smaller, and slower to read")
    what.add_argument(
        "--records-per-part",
        type=positive,
        metavar="N",
        help="proteins in one file (default: 16,384)",
    )
    contact = prepare.add_argument_group("contacts")
    contact.add_argument("--no-contacts", action="store_true", help="keep no contacts")
    add_contact(contact)
    add_reading(prepare.add_argument_group("input"))
