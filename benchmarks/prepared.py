"""Reading prepared data sets beside reading what they were made of.

    python benchmarks/prepared.py [--structures DIR] [--proteins 100000] [--repeats 5] [--out FILE]

Two inputs: the structures of a folder (by default those that come with the package), read with
secondary structure and with their contacts encoded, and a FASTA file of random proteins of the
lengths of UniProt. Each is read whole, several times in turn with its prepared data sets, plain and
compressed; times are medians.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from pathlib import Path

import machine
import numpy as np

import provis_fast as pf
from provis_fast.benchmark import interleaved
from provis_fast.properties import resolve
from provis_fast.proteins import Protein, bundled

LETTERS = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", np.uint8)


def write_fasta(path: Path, n: int) -> None:
    """Random proteins, log-normal lengths with a mean of about 350."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(5.65, 0.65, n).astype(int), 20, 35_000)
    with open(path, "wb") as stream:
        for number, length in enumerate(lengths):
            stream.write(b">sp|P%06d|%06d_TEST\n" % (number, number))
            sequence = LETTERS[rng.integers(0, 20, length)].tobytes()
            lines = (sequence[at : at + 60] for at in range(0, length, 60))
            stream.write(b"\n".join(lines) + b"\n")


def read(source: object, names: tuple[str, ...]) -> tuple[int, int]:
    """Read all proteins and encode properties of each; proteins and residues."""
    properties = resolve(names)
    proteins = residues = 0
    for record in pf.load_proteins(source).records():
        if isinstance(record, Protein):
            proteins += 1
            residues += len(record)
            for prop in properties:
                prop.encode(record)
    return proteins, residues


def size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def compare(
    name: str, source: Path, folder: Path, names: tuple[str, ...], repeats: int
) -> dict[str, object]:
    """Prepare an input, and read it and what was made of it."""
    begin = time.perf_counter()
    plain = pf.prepare(source, folder / f"{name}.plain")
    preparing = time.perf_counter() - begin
    pf.prepare(source, folder / f"{name}.compressed", compress=True)
    inputs = {
        "input": source,
        "prepared": folder / f"{name}.plain",
        "compressed": folder / f"{name}.compressed",
    }
    labelled = {key: lambda p=path: read(p, names) for key, path in inputs.items()}
    whole = interleaved(labelled, seconds=0, least=repeats)
    alone = {key: lambda p=path: read(p, ()) for key, path in inputs.items()}
    bare = interleaved(alone, seconds=0, least=repeats)
    row = {
        "input": name,
        "proteins": plain.kept,
        "residues": plain.residues,
        "properties": list(names),
        "seconds_preparing": preparing,
        "seconds_reading": bare,
        "seconds_reading_and_encoding": whole,
        "proteins_per_second": {key: plain.kept / each for key, each in bare.items()},
        "bytes_per_residue": {key: size(path) / plain.residues for key, path in inputs.items()},
    }
    print(
        f"{name}: {plain.kept:,} proteins, {plain.residues:,} residues, prepared in "
        f"{preparing:.2f} s"
    )
    for key in inputs:
        print(
            f"  {key:10s} {bare[key]:8.3f} s reading ({plain.kept / bare[key]:10,.0f} proteins/s), "
            f"{whole[key]:8.3f} s with {', '.join(names) or 'nothing'} encoded, "
            f"{row['bytes_per_residue'][key]:7.2f} bytes per residue",
            flush=True,
        )
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=Path)
    parser.add_argument("--proteins", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    structures = arguments.structures or Path(os.fspath(bundled.__file__)).parents[1] / "data"
    names = ("secondary_structure", "binding_site", "contact")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fasta = folder / "random.fasta"
        write_fasta(fasta, arguments.proteins)
        rows = [
            compare("structures", structures, folder, names, arguments.repeats),
            compare("fasta", fasta, folder, ("amino_acid",), arguments.repeats),
        ]
    if arguments.out:
        report = {"machine": machine.describe(), "repeats": arguments.repeats, "inputs": rows}
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
