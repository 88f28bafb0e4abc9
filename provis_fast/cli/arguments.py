"""Subcommands and options of the command line."""

from __future__ import annotations

import argparse
import math
import re
from typing import NoReturn

from provis_fast import __version__
from provis_fast.threads import MAX_THREADS


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in two lines; the whole usage would push the message off the screen."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\nTry: {self.prog} --help\n")


INPUTS = (
    'files, folders or patterns ("data/**/*.fa"): FASTA, A3M, PDB, mmCIF, BinaryCIF, UniProt\'s '
    "downloads, GFF3, ProteinNet, CSV, TSV (all also .gz, .zst), Parquet, Arrow, TAPE LMDB, and "
    "what prepare has written; @FILE: a list of them; -: standard input (with --format)"
)
#: Made by ``provis-fast demo`` and its own: what stands there is replaced.
DEMO_FOLDER = "provis_fast_demo"
REPRODUCTION_FOLDER = "provis_fast_reproduction"


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
    _add_analyze(commands)
    _add_prepare(commands)
    _add_merge(commands)
    _add_reproduce(commands)
    _add_doctor(commands)
    _add_benchmark(commands)
    return parser


def thresholds(text: str) -> float | tuple[float, ...]:
    """One number, or several separated by commas; each in (0, 1]."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number <= 1 for number in numbers):
        raise argparse.ArgumentTypeError(
            f"expected numbers above 0 and at most 1, separated by commas, got {text!r}"
        )
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"expected different thresholds, got {text!r}")
    return numbers if "," in text else numbers[0]


def layers(text: str) -> tuple[int, ...]:
    """Layers as "1-3,6", counted from 1; returned 0-based and sorted."""
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first = int(match[1]) if match else 0
        last = int(match[2] or match[1]) if match else 0
        if not 1 <= first <= last:
            raise argparse.ArgumentTypeError(
                f"expected layers counted from 1, like 1-3,6, got {text!r}"
            )
        chosen.update(range(first - 1, last))
    return tuple(sorted(chosen))


def tables(text: str) -> tuple[str, ...]:
    """Tables of single proteins, separated by commas."""
    found = tuple(part.strip() for part in text.split(","))
    known = ("counts", "received", "arcs")  # `provis_fast.per_protein.schemas.REQUESTABLE`
    if unknown := [name for name in found if name not in known]:
        raise argparse.ArgumentTypeError(
            f"expected some of {', '.join(known)}, separated by commas, got {unknown[0]!r}"
        )
    return found


def names(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"expected names separated by commas, got {text!r}")
    return found


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _at_least(text, 1)


def not_negative(text: str) -> int:
    """A whole number of at least 0."""
    return _at_least(text, 0)


def threads(text: str) -> int:
    """A number of threads."""
    return _at_least(text, 1, MAX_THREADS)


def distance(text: str) -> float:
    """A positive number of Angstrom."""
    return _positive_number(text, "distance in Angstrom")


def seconds(text: str) -> float:
    """A positive time."""
    return _positive_number(text, "time in seconds")


def plddt(text: str) -> float:
    """A confidence from 0 to 100."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected a pLDDT from 0 to 100, got {text!r}")
    return value


def folder(text: str) -> str:
    """The name of a folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected the name of a folder, got ''")
    return text


def model(text: str) -> str:
    """The name of a model."""
    if not text:
        raise argparse.ArgumentTypeError("expected the name or folder of a model, got ''")
    return text


def interval(text: str) -> float:
    """A time that may be 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of seconds from 0 on, got {text!r}")
    return number


def shard(text: str) -> tuple[int, int]:
    """One of several shares, "i/n", counted from 1."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    index, of = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= of:
        raise argparse.ArgumentTypeError(f"expected i/n with i from 1 to n, like 2/8, got {text!r}")
    return index, of


def _positive_number(text: str, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive {what}, got {text!r}")
    return number


def _at_least(text: str, least: int, most: int | None = None) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least or (most is not None and number > most):
        end = "on" if most is None else f"to {most}"
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {least} {end}, got {text!r}"
        )
    return number


def _add_out(
    command: argparse.ArgumentParser, default: str | None = None, replaced: bool = True
) -> None:
    """--out and --overwrite; `replaced`: whether what stands in the default folder always is."""
    command.add_argument(
        "--out",
        type=folder,
        required=default is None,
        default=default,
        metavar="DIR",
        help="folder for the result" + (f" (default: {default})" if default else ""),
    )
    command.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an earlier result in DIR"
        + (f" (always done in {default})" if default and replaced else ""),
    )


def _add_demo(commands: argparse._SubParsersAction) -> None:
    demo = commands.add_parser(
        "demo",
        help="analyse bundled structures and show what comes out",
        description="Analyse bundled structures for amino acids, secondary structure and contacts.",
    )
    demo.add_argument("--model", default="antiberty", help="default: %(default)s")
    _add_out(demo, DEMO_FOLDER)
    demo.add_argument("--threads", type=threads, metavar="N")


def _add_analyze(commands: argparse._SubParsersAction) -> None:
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
    _add_out(analyze)
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
        "attention that each residue receives; arcs, all of the least threshold",
    )
    what.add_argument("--arcs", action="store_true", help="the same as --per-protein arcs")
    what.add_argument("--layers", type=layers, metavar="1-3,6", help="default: all")
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
    running = _add_running(analyze)
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
        help="how often the state is kept in DIR.partial; 0: after every pass (default: 60; never "
        "with --arcs)",
    )
    running.add_argument(
        "--no-resume",
        action="store_true",
        help="start anew, whatever an earlier run has left in DIR.partial",
    )
    _add_watching(analyze)


def add_contact(contact: argparse._ArgumentGroup) -> None:
    """Options that define a contact."""
    contact.add_argument("--contact-atom", choices=("CA", "CB"), help="default: CA")
    contact.add_argument("--contact-cutoff", type=distance, metavar="ANGSTROM", help="default: 8")
    contact.add_argument(
        "--contact-separation",
        type=not_negative,
        metavar="N",
        help="least distance along the chain (default: 6)",
    )


def add_reading(reading: argparse._ArgumentGroup) -> None:
    """Options of `provis_fast.load_proteins`."""
    reading.add_argument(
        "--inputs-from",
        action="append",
        default=[],
        metavar="FILE",
        help="also the inputs that FILE names, one a line, relative to its folder; as @FILE",
    )
    reading.add_argument(
        "--a3m-rows",
        choices=("query", "all"),
        help="which rows of A3M alignments are proteins (default: query)",
    )
    reading.add_argument(
        "--unique",
        choices=("auto", "sequence", "none"),
        default="auto",
        help="skip identical sequences within an entry: auto does so for structures",
    )
    reading.add_argument(
        "--format",
        metavar="NAME",
        help="default: told by the name of each file",
    )
    reading.add_argument(
        "--site-label",
        choices=("binding_site", "modification"),
        help="what the sites of a TAPE data set are (default: told by its name)",
    )
    reading.add_argument(
        "--plddt",
        choices=("auto", "b_factor", "none"),
        default="auto",
        help="which structures are predicted ones: auto: those that say so; b_factor: all but "
        "experimental ones",
    )
    reading.add_argument(
        "--min-plddt",
        type=plddt,
        default=70.0,
        metavar="N",
        help="residues of predicted structures below it count as unresolved (default: 70)",
    )
    reading.add_argument(
        "--id-column", metavar="NAME", help="column of a table that has the ids (default: id)"
    )
    reading.add_argument(
        "--sequence-column",
        metavar="NAME",
        help="column of a table that has the sequences (default: sequence)",
    )


def _add_prepare(commands: argparse._SubParsersAction) -> None:
    from provis_fast.cli import prepare_arguments

    prepare_arguments.add(commands)


def _add_running(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    running = command.add_argument_group("running")
    running.add_argument(
        "--device",
        default="auto",
        metavar="NAME[,...]",
        help="cpu, cuda, cuda:N, or auto: the CPU (default); several GPUs: cuda:0,cuda:1",
    )
    running.add_argument(
        "--dtype", default="float32", help="auto: the checkpoint's (default: float32)"
    )
    running.add_argument("--revision", help="revision of a model on the hub")
    running.add_argument(
        "--threads",
        type=threads,
        metavar="N",
        help="default: as torch chooses; of each of several workers: its share of the cores",
    )
    running.add_argument(
        "--batch-tokens",
        type=positive,
        metavar="N",
        help="tokens in one forward pass (default: what suits the device)",
    )
    return running


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


def _add_merge(commands: argparse._SubParsersAction) -> None:
    merge = commands.add_parser(
        "merge",
        help="pool results of one analysis over different proteins",
        description="Pool results of one analysis over different proteins, exactly.",
        epilog="Tables of single proteins (analyze --per-protein) of shards go along.",
    )
    merge.add_argument("results", metavar="DIR", nargs="+", help="folders that analyze wrote")
    _add_out(merge)
    merge.add_argument(
        "--allow-partial",
        action="store_true",
        help="also take results of interrupted analyses, and shards without the others",
    )
    merge.add_argument(
        "--allow-overlap",
        action="store_true",
        help="also take results that hold the same proteins, which then count twice",
    )
    merge.add_argument(
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
    _add_out(reproduce, REPRODUCTION_FOLDER, replaced=False)
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
    _add_running(reproduce)


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
