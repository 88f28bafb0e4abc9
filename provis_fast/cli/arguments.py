"""The parser of the command line: its subcommands, and the options of the smaller ones."""

from __future__ import annotations

import argparse
from typing import NoReturn

from provis_fast import __version__
from provis_fast.cli import (
    analyze_arguments,
    figures_arguments,
    prepare_arguments,
    report_arguments,
    view_arguments,
)
from provis_fast.cli.argument_types import model, names, not_negative, positive, seconds, threads
from provis_fast.cli.shared_arguments import add_out, add_running

#: Made by ``provis-fast demo`` and its own: what stands there is replaced.
DEMO_FOLDER = "provis_fast_demo"
REPRODUCTION_FOLDER = "provis_fast_reproduction"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in two lines; the whole usage would push the message off the screen."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\nTry: {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of ``provis-fast``; the chosen subcommand is `command`."""
    parser = _Parser(
        prog="provis-fast",
        description="What the attention heads of protein language models look at.",
        epilog="Layers and heads are counted from 1 on the command line and in files.",
    )
    parser.add_argument("--version", action="version", version=f"provis-fast {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    analyze_arguments.add(commands)
    prepare_arguments.add(commands)
    figures_arguments.add(commands)
    report_arguments.add(commands)
    view_arguments.add(commands)
    _add_merge(commands)
    _add_reproduce(commands)
    _add_doctor(commands)
    _add_benchmark(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction) -> None:
    demo = commands.add_parser(
        "demo",
        help="analyse bundled structures and show what comes out",
        description="Analyse bundled structures for amino acids, secondary structure and contacts, "
        "and write a report and a view of one of them.",
    )
    demo.add_argument("--model", default="antiberty", help="default: %(default)s")
    add_out(demo, DEMO_FOLDER)
    demo.add_argument("--threads", type=threads, metavar="N")


def _add_merge(commands: argparse._SubParsersAction) -> None:
    merge = commands.add_parser(
        "merge",
        help="pool results of one analysis over different proteins",
        description="Pool results of one analysis over different proteins, exactly. All shards of "
        "an input (analyze --shard) give the result of the whole, tables of single proteins "
        "(analyze --per-protein) included.",
        epilog="Exit status: 0 merged; 2 bad usage, results that do not belong together (the "
        "message says where they differ), or a result that could not be written.",
    )
    merge.add_argument(
        "results", metavar="RESULT", nargs="+", help="folders that analyze or merge wrote"
    )
    add_out(merge)
    taken = merge.add_argument_group("what is taken")
    taken.add_argument(
        "--allow-partial",
        action="store_true",
        help="also results of interrupted analyses, and shards without the others",
    )
    taken.add_argument(
        "--allow-overlap",
        action="store_true",
        help="also results that hold the same proteins, which then count twice (never shards)",
    )
    taken.add_argument(
        "--no-per-protein",
        action="store_true",
        help="leave tables of single proteins where they are",
    )


def _add_reproduce(commands: argparse._SubParsersAction) -> None:
    reproduce = commands.add_parser(
        "reproduce",
        help="the experiment of the paper, beside its published numbers",
        description='The experiment of "BERTology Meets Biology" for a model, each property on the '
        "paper's data set for it, beside the published numbers.",
        epilog="Exit status: 0 all of it done; 2 bad usage, or nothing could be measured; 3 a part "
        "could not be measured, or some proteins failed; 130 interrupted, DIR.partial written.",
    )
    reproduce.add_argument("model", metavar="MODEL", help="as for analyze")
    reproduce.add_argument(
        "data",
        metavar="DATA",
        help="folder with the data sets of TAPE and provis: proteinnet, secondary_structure, "
        "binding_sites, protein_modifications",
    )
    add_out(reproduce, REPRODUCTION_FOLDER, replaced=False)
    reproduce.add_argument(
        "--proteins",
        type=positive,
        default=5000,
        metavar="N",
        help="drawn from each data set (default: %(default)s)",
    )
    reproduce.add_argument(
        "--seed",
        type=not_negative,
        default=123,
        metavar="N",
        help="of the draw (default: %(default)s)",
    )
    reproduce.add_argument(
        "--properties",
        type=names,
        metavar="NAME,...",
        help="of contact,amino_acid,secondary_structure,binding_site,modification (default: all)",
    )
    reproduce.add_argument(
        "--model-name",
        choices=("tape-bert", "prot_bert", "prot_bert_bfd", "prot_albert", "prot_xlnet"),
        help="the published model to compare with (default: told by MODEL)",
    )
    add_running(reproduce)


def _add_doctor(commands: argparse._SubParsersAction) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="versions, instruction set, threads, parts built; one model",
        description="Say what is installed here, what was built and what will be used.",
    )
    doctor.add_argument(
        "--model", type=model, metavar="MODEL", help="instead, load this model and describe it"
    )
    doctor.add_argument("--revision", help="revision of a model on the hub")


def _add_benchmark(commands: argparse._SubParsersAction) -> None:
    benchmark = commands.add_parser(
        "benchmark",
        help="time the kernel beside torch's attention on this machine",
        description="Time the kernel beside torch's attention on this machine, shape by shape.",
    )
    sizes = {"type": positive, "nargs": "+", "metavar": "N"}
    benchmark.add_argument("--head-sizes", **sizes, default=[16, 32, 64, 128])
    benchmark.add_argument("--lengths", **sizes, default=[128, 512, 1024, 2048])
    benchmark.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    benchmark.add_argument("--threads", **sizes | {"type": threads}, default=[1, 2])
    benchmark.add_argument(
        "--seconds", type=seconds, default=1.0, metavar="S", help="for each shape (default: 1)"
    )
