"""Options of ``provis-fast analyze``."""

from __future__ import annotations

import argparse

from provis_fast.cli.argument_types import (
    interval,
    layers,
    names,
    not_negative,
    positive,
    shard,
    tables,
    thresholds,
)
from provis_fast.cli.shared_arguments import (
    INPUTS,
    add_contact,
    add_out,
    add_reading,
    add_running,
)


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    analyze = commands.add_parser(
        "analyze",
        help="statistics of every attention head over a set of proteins",
        description="Statistics of every attention head of a model over a set of proteins.",
        epilog="Exit status: 0 all analysed or skipped by a stated option; 2 bad usage, "
        "nothing analysed, or a result that could not be written to DIR (the message says where "
        "it is instead); 3 finished, some proteins failed; 130 interrupted, DIR.partial written. "
        "A run that was interrupted or killed goes on from its checkpoint in DIR.partial when the "
        "same command is given again, and ends with the same files. DIR/failed.tsv lists every "
        "record that was not analysed.",
    )
    analyze.add_argument("model", metavar="MODEL", help="short name, hub name or folder")
    analyze.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help=INPUTS,
    )
    add_out(analyze)
    what = analyze.add_argument_group("what is computed")
    what.add_argument(
        "--properties",
        type=names,
        default=("amino_acid",),
        metavar="NAME,...",
        help="such as amino_acid,secondary_structure,contact,binding_site,modification, or columns "
        "of a table: label:NAME (1, 0), label:NAME:HEC, label:NAME:helix/coil, value:NAME "
        "(default: amino_acid)",
    )
    what.add_argument(
        "--threshold",
        type=thresholds,
        default=0.3,
        metavar="THETA[,...]",
        help="least attention of an arc (default: %(default)s)",
    )
    what.add_argument(
        "--weighting",
        choices=("arcs", "attention", "both"),
        default="arcs",
        help="count arcs, weigh by attention, or both (default: %(default)s)",
    )
    what.add_argument(
        "--entropy", action="store_true", help="also measure the entropy of the rows of attention"
    )
    what.add_argument(
        "--per-protein",
        type=tables,
        default=(),
        metavar="TABLE[,...]",
        help="also keep tables of every single protein in DIR/per_protein: counts; received, the "
        "attention that each residue receives; arcs, every "
        "arc of the least threshold (not with --weighting attention)",
    )
    what.add_argument("--arcs", action="store_true", help="the same as --per-protein arcs")
    what.add_argument(
        "--layers", type=layers, metavar="1-3,6", help="layers to analyse, from 1 (default: all)"
    )
    what.add_argument(
        "--min-arcs",
        type=not_negative,
        default=100,
        metavar="N",
        help="proportions of fewer eligible arcs are left undefined (default: %(default)s)",
    )
    what.add_argument(
        "--compat", choices=("provis",), help="count exactly as the original provis does"
    )
    what.add_argument(
        "--background",
        nargs="+",
        metavar="INPUT",
        help="with --compat: files or folders of the corpus whose background is taken (default: "
        "the analysed proteins)",
    )
    what.add_argument(
        "--bootstrap",
        type=not_negative,
        default=0,
        metavar="N",
        help="also count N replicates of a Poisson bootstrap over proteins (default: none)",
    )
    what.add_argument(
        "--permutations",
        type=not_negative,
        default=0,
        metavar="N",
        help="also count N permutations, in which labels are shifted along each protein (default: "
        "none)",
    )
    add_contact(analyze.add_argument_group("contacts"))
    reading = analyze.add_argument_group("input")
    reading.add_argument(
        "--max-length",
        type=positive,
        metavar="N",
        help="cut longer proteins after N residues (default: those too long for the model are "
        "skipped)",
    )
    add_reading(reading)
    reading.add_argument(
        "--readers",
        type=not_negative,
        metavar="N",
        help="processes that read the input (default: none, or for many structures one for every "
        "four cores)",
    )
    running = add_running(analyze)
    running.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="worker processes (default: none, or one for each of several devices); results do "
        "not depend on their number",
    )
    running.add_argument(
        "--engine",
        choices=("serial", "processes", "ray"),
        help="where workers run: in processes of this machine (default), or as actors of Ray, in "
        "the cluster that RAY_ADDRESS names or on this machine",
    )
    running.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help="analyse the I-th of N shares of the input (from 1), each with a DIR of its own; "
        "provis-fast merge makes the whole of them",
    )
    running.add_argument(
        "--checkpoint-seconds",
        type=interval,
        default=60.0,
        metavar="S",
        help="how often the state is kept in DIR.partial; 0: after every pass (default: 60)",
    )
    running.add_argument(
        "--no-resume",
        action="store_true",
        help="start anew, whatever an earlier run has left in DIR.partial",
    )
    _add_watching(analyze)


def _add_watching(command: argparse.ArgumentParser) -> None:
    watching = command.add_argument_group("watching")
    watching.add_argument(
        "--log-json",
        metavar="FILE",
        help="write what happens as JSON lines, as it happens; - for stderr, in place of the bar",
    )
    watching.add_argument(
        "--profile",
        metavar="FILE",
        help="write where the time goes as a Chrome trace (chrome://tracing, ui.perfetto.dev)",
    )
