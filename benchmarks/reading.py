"""How fast proteins are read: FASTA beside other readers, what tells duplicates, and packing.

    python benchmarks/reading.py [--records 200000] [--rounds 5] [--out FILE]

The text is made here: records of about 350 residues in lines of 60, headers of about 90 characters.
Speeds are in 10^6 bytes of text (decompressed) a second of processor time, all on one thread and
with the files in the page cache; contenders take turns, and medians over the rounds are kept. Other
readers (Biopython's SimpleFastaParser, pyfastx, pysam) hand out strings and check nothing; those
that are not installed are left out.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import machine
import torch
import zstandard
from random_models import save_esm

import provis_fast as pf
from provis_fast.plan import PackPlanner
from provis_fast.properties import resolve
from provis_fast.proteins import fasta, load_proteins
from provis_fast.proteins.duplicates import Duplicates
from provis_fast.proteins.formats import Reading
from provis_fast.proteins.record import Protein

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
BATCH_TOKENS = 4096


def records(n: int) -> Iterator[str]:
    """FASTA records like those of UniRef."""
    rng = random.Random(1)
    for number in range(n):
        length = max(30, int(rng.gauss(350, 150)))
        sequence = "".join(rng.choices(LETTERS, k=length))
        lines = "\n".join(sequence[at : at + 60] for at in range(0, length, 60))
        yield (
            f">UniRef50_A0A{number:09d} Putative uncharacterized protein n=3 Tax=Bacteria TaxID=2 "
            f"RepID=A0A{number % 1000:05d}_9BA\n{lines}\n"
        )


def count(things: Iterable[object]) -> int:
    """Go through all of them."""
    return sum(1 for _ in things)


def columns(path: Path) -> int:
    """The compiled part alone: ids, sequences and lines of a chunk of the file at a time."""
    return sum(len(ids) for ids, _, _ in fasta.chunks(path, path.name))


def readers() -> dict[str, Callable[[Path], int]]:
    """Everything that reads FASTA here, by name."""
    from Bio.SeqIO.FastaIO import SimpleFastaParser

    def biopython(path: Path) -> int:
        opened = {".gz": gzip.open, ".zst": zstandard.open}.get(path.suffix, open)
        with opened(path, "rt") as stream:
            return count(SimpleFastaParser(stream))

    found: dict[str, Callable[[Path], int]] = {
        "columns": columns,
        "proteins": lambda path: count(fasta.read(path, path.name, Reading())),
        "records": lambda path: count(load_proteins(path).records()),
        "biopython": biopython,
    }
    try:
        import pyfastx
    except ImportError:
        pass
    else:
        found["pyfastx"] = lambda path: count(pyfastx.Fastx(str(path)))
    try:
        import pysam
    except ImportError:
        pass
    else:
        found["pysam"] = lambda path: count(pysam.FastxFile(str(path)))
    return found


def reading(folder: Path, n: int, rounds: int) -> dict[str, dict[str, float]]:
    """MB/s of each reader for each kind of file."""
    text = "".join(records(n)).encode()
    files = {
        "plain": folder / "a.fasta",
        "gzip": folder / "a.fasta.gz",
        "zstd": folder / "a.fasta.zst",
    }
    files["plain"].write_bytes(text)
    files["gzip"].write_bytes(gzip.compress(text, 6))
    files["zstd"].write_bytes(zstandard.ZstdCompressor(3).compress(text))
    speeds = {}
    for kind, path in files.items():
        seconds: dict[str, list[float]] = {}
        chosen = readers()
        if kind == "zstd":  # these two know gzip alone
            chosen = {name: one for name, one in chosen.items() if not name.startswith("py")}
        for _ in range(rounds):
            for name, read in chosen.items():
                begin = time.process_time()
                seen = read(path)
                seconds.setdefault(name, []).append(time.process_time() - begin)
                if seen != n:
                    raise SystemExit(f"{name}: {n} records in {path.name}, {seen} read")
        speeds[kind] = {
            name: len(text) / statistics.median(times) / 1e6 for name, times in seconds.items()
        }
        shown = "  ".join(f"{name} {speed:.0f}" for name, speed in speeds[kind].items())
        print(f"{kind:6s} MB/s: {shown}", flush=True)
    return speeds


def duplicates(sizes: list[int]) -> list[dict[str, float]]:
    """Time and memory for each protein of telling whether it was there before."""
    sequence = "".join(random.Random(1).choices(LETTERS, k=350))
    rows = []
    for n in sizes:
        before = Duplicates()
        before.begin_entry(False)
        spent = 0.0
        for first in range(0, n, 10_000):  # the proteins themselves are not measured
            proteins = [
                Protein(f"UniRef50_A0A{k:09d}", sequence) for k in range(first, first + 10_000)
            ]
            begin = time.process_time()
            for protein in proteins:
                before.once(protein)
            spent += time.process_time() - begin
        rows.append(
            {"proteins": n, "microseconds": spent / n * 1e6, "bytes": before.nbytes / len(before)}
        )
        print(
            f"duplicates, {n:9,d} proteins: {rows[-1]['microseconds']:.2f} us and "
            f"{rows[-1]['bytes']:.1f} bytes for each",
            flush=True,
        )
    return rows


def packing(folder: Path, n: int, rounds: int) -> float:
    """Residues a second from a FASTA file to packs, with one property: reading, tokens, labels."""
    save_esm(folder / "model", layers=1, heads=2, head_size=16)
    model = pf.load_model(str(folder / "model"))
    speeds = []
    for _ in range(rounds):
        planner = PackPlanner(model, resolve("amino_acid"), batch_tokens=BATCH_TOKENS)
        proteins = itertools.islice(load_proteins(folder / "a.fasta").records(), n)
        begin = time.process_time()
        residues = sum(int(pack.n_residues.sum()) for pack in planner.packs(proteins))
        speeds.append(residues / (time.process_time() - begin))
    print(f"packing: {statistics.median(speeds) / 1e6:.2f} million residues/s", flush=True)
    return statistics.median(speeds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duplicates", default="100000,1000000,3000000")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model").mkdir()
        report = {
            "machine": machine.describe(),
            "records": arguments.records,
            "fasta_mb_per_second": reading(folder, arguments.records, arguments.rounds),
            "duplicates": duplicates([int(n) for n in arguments.duplicates.split(",")]),
            "packing_residues_per_second": packing(folder, arguments.records, arguments.rounds),
        }
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
