"""Options that several subcommands have in common."""

from __future__ import annotations

import argparse

from provis_fast.cli.argument_types import distance, folder, not_negative, plddt, positive, threads

INPUTS = (
    'files, folders or patterns ("data/**/*.fa"): FASTA, A3M, PDB, mmCIF, BinaryCIF, UniProt\'s '
    "downloads, GFF3, ProteinNet, CSV, TSV (all also .gz, .zst), Parquet, Arrow, TAPE LMDB, and "
    "what prepare has written; @FILE: a list of them; -: standard input (with --format)"
)


def add_out(
    command: argparse.ArgumentParser,
    default: str | None = None,
    replaced: bool = True,
    what: str = "result",
) -> None:
    """--out and --overwrite; `replaced`: whether what stands in the default folder always is."""
    command.add_argument(
        "--out",
        type=folder,
        required=default is None,
        default=default,
        metavar="DIR",
        help=f"folder for the {what}" + (f" (default: {default})" if default else ""),
    )
    command.add_argument(
        "--overwrite",
        action="store_true",
        help=f"replace an earlier {what} in DIR"
        + (f" (always done in {default})" if default and replaced else ""),
    )


def add_contact(contact: argparse._ArgumentGroup) -> None:
    """Options that define a contact."""
    contact.add_argument(
        "--contact-atom", choices=("CA", "CB"), help="atom whose distance counts (default: CA)"
    )
    contact.add_argument(
        "--contact-cutoff",
        type=distance,
        metavar="ANGSTROM",
        help="closer residues are in contact (default: 8)",
    )
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
        help="also the inputs that FILE names, one a line, relative to its folder (as @FILE); may "
        "be given several times",
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
        help="skip identical sequences within a file: auto: of structures alone (default); "
        "sequence: of every format; none: keep all",
    )
    reading.add_argument(
        "--format",
        metavar="NAME",
        help="read the inputs as this format (default: told by the name of each file, or by how it "
        "begins)",
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
        help="which structures are predicted ones: auto: those that say so (default); b_factor: "
        "all but experimental ones; none: none",
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


def add_running(command: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    running = command.add_argument_group("running")
    running.add_argument(
        "--device",
        default="auto",
        metavar="NAME[,...]",
        help="cpu, cuda, cuda:N, or auto: the CPU (default); several GPUs: cuda:0,cuda:1",
    )
    running.add_argument(
        "--dtype",
        default="float32",
        metavar="NAME",
        help="float32, bfloat16, float16, float64, or auto: the checkpoint's (default: float32)",
    )
    running.add_argument("--revision", metavar="NAME", help="revision of a model on the hub")
    running.add_argument(
        "--threads",
        type=threads,
        metavar="N",
        help="threads of the model and the kernels (default: as torch chooses; of each of several "
        "workers: its share of the cores)",
    )
    running.add_argument(
        "--batch-tokens",
        type=positive,
        metavar="N",
        help="tokens in one forward pass (default: what suits the device)",
    )
    return running
