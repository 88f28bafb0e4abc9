"""Structures: contact maps, reading of mmCIF and BinaryCIF, solvent exposure, beside peers.

    OMP_NUM_THREADS=1 python benchmarks/structures.py [FILE.cif ...] [--rounds 15] [--out FILE]

Without files, the bundled mmCIF entries are read. Everything runs on one thread; the contenders
take turns, and medians are compared. One that cannot read a file is left out. Contact maps are of
chains whose C-alpha atoms are as dense as in proteins, encoded for the kernels with their
background:

    provis_fast   the compiled neighbour search
    product       blocks of |x|^2 - 2 x.y + |y|^2 in float64 NumPy, packed a few rows at a time
    kd_tree       scipy's cKDTree.query_pairs, a matrix of bytes, numpy.packbits

Files are read from disk into what each library calls a structure:

    gemmi         gemmi.cif.read_string and make_structure_from_block
    provis_fast   the records of proteins, as far as they are made before a label is asked for
    all_labels    the same, and every label (secondary structure, sites, modifications)
    biopython     MMCIFParser, and FastMMCIFParser
    biotite       CIFFile and get_structure; BinaryCIFFile and get_structure
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import biotite.structure.io.pdbx as pdbx
import gemmi
import machine
import numpy as np
from Bio.PDB.MMCIFParser import FastMMCIFParser, MMCIFParser
from scipy.spatial import cKDTree

from provis_fast.benchmark import interleaved
from provis_fast.properties import Contact, encode_protein
from provis_fast.properties.pairs import pack_rows
from provis_fast.proteins import Protein, load_proteins

BUNDLED = Path(load_proteins.__code__.co_filename).parents[1] / "data"
SPACING = 5.1  # Angstrom: one C-alpha atom in 133 cubic Angstrom


def medians(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each, which take turns."""
    able = {}
    for name, run in contenders.items():
        try:
            run()
        except Exception as error:  # a peer's: Biopython's fast parser knows one order of tables
            print(f"  {name} cannot: {type(error).__name__}: {error}")
        else:
            able[name] = run
    found = interleaved(able, seconds=0, least=rounds)
    return {name: seconds * 1e3 for name, seconds in found.items()}


def chain(n: int) -> Protein:
    """A chain that fills a cube line by line, each C-alpha moved a little."""
    side = int(np.ceil(n ** (1 / 3)))
    places = []
    for z in range(side):
        rows = range(side) if z % 2 == 0 else range(side)[::-1]
        for y in rows:
            line = range(side) if (y + z) % 2 == 0 else range(side)[::-1]
            places += [(x, y, z) for x in line]
    moved = np.random.default_rng(0).normal(scale=0.7, size=(n, 3))
    return Protein("chain", "A" * n, ca=SPACING * np.array(places[:n]) + moved)


class ByProduct(Contact):
    """Contacts from a matrix product, packed a few rows at a time."""

    def rows(self, protein: Protein) -> Callable[[int, int], tuple[np.ndarray, np.ndarray]]:
        """Rows of the map."""
        x = protein.ca.astype(np.float64)
        x -= np.rint(x.mean(axis=0))
        norm, one = np.einsum("ij,ij->i", x, x), np.ones(len(x))
        queries = np.column_stack([x, norm, one])
        keys = np.vstack([-2.0 * x.T, one, norm])
        place = np.arange(len(x))

        def rows(begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
            valid = np.abs(place[begin:end, None] - place) >= self.separation
            return (queries[begin:end] @ keys < self.cutoff**2) & valid, valid

        return rows

    def pack(self, protein, layout):
        """By rows."""
        return pack_rows(self.rows(protein), layout)


def by_tree(protein: Protein, cutoff: float = 8.0, separation: int = 6) -> tuple[np.ndarray, int]:
    """Packed maps (set, valid) and the number of contacts."""
    n = len(protein)
    pairs = cKDTree(protein.ca).query_pairs(cutoff, output_type="ndarray")
    pairs = pairs[np.abs(pairs[:, 0] - pairs[:, 1]) >= separation]
    maps = np.zeros((2, n + 2, -(-(n + 2) // 32) * 32), dtype=bool)
    maps[0, pairs[:, 0] + 1, pairs[:, 1] + 1] = True
    maps[0, pairs[:, 1] + 1, pairs[:, 0] + 1] = True
    place = np.arange(n)
    maps[1, 1 : n + 1, 1 : n + 1] = np.abs(place[:, None] - place) >= separation
    return np.packbits(maps, axis=2, bitorder="little"), 2 * len(pairs)


def contacts(n: int, rounds: int) -> dict[str, object]:
    """Encoding of one chain of n residues."""
    protein = chain(n)

    def encoded(prop: Contact):
        return encode_protein([prop], protein, n + 2, slice(1, None))

    ours, product = encoded(Contact()), encoded(ByProduct())
    packed, n_contacts = by_tree(protein)
    assert np.array_equal(ours.pairs[0], product.pairs[0])
    assert np.array_equal(ours.pairs[0].view(np.uint8), packed.ravel())
    assert ours.numerators[0] == product.numerators[0] == n_contacts
    found = medians(
        {
            "provis_fast": lambda: encoded(Contact()),
            "product": lambda: encoded(ByProduct()),
            "kd_tree": lambda: by_tree(protein),
        },
        rounds,
    )
    return {
        "residues": n,
        "contacts": int(n_contacts),
        "ms": found,
        "chains_per_second": 1e3 / found["provis_fast"],
    }


def as_binary(text: str, target: Path) -> None:
    """Write an entry as compressed BinaryCIF."""
    file = pdbx.CIFFile.read(io.StringIO(text))
    atoms = pdbx.get_structure(file, model=1, extra_fields=["b_factor", "occupancy", "charge"])
    binary = pdbx.BinaryCIFFile()
    pdbx.set_structure(binary, atoms)
    pdbx.compress(binary).write(str(target))


def files(path: Path, rounds: int) -> dict[str, object]:
    """Reading of one mmCIF file, unpacked before, and of its atoms as BinaryCIF."""
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
        text = file.read()
    with tempfile.TemporaryDirectory() as folder:
        cif, bcif = Path(folder, "entry.cif"), Path(folder, "entry.bcif")
        cif.write_text(text)
        as_binary(text, bcif)

        def records(source: Path) -> list[Protein]:
            found = load_proteins(source, unique="none").records()
            return [record for record in found if isinstance(record, Protein)]

        def by_gemmi():
            return gemmi.make_structure_from_block(gemmi.cif.read_string(cif.read_bytes())[0])

        def all_labels():
            return [list(protein.labels.values()) for protein in records(cif)]

        found = medians(
            {
                "gemmi": by_gemmi,
                "provis_fast": lambda: records(cif),
                "all_labels": all_labels,
                "biopython": lambda: MMCIFParser(QUIET=True).get_structure("x", cif),
                "biopython_fast": lambda: FastMMCIFParser(QUIET=True).get_structure("x", cif),
                "biotite": lambda: pdbx.get_structure(pdbx.CIFFile.read(cif), model=1),
                "binarycif_provis_fast": lambda: records(bcif),
                "binarycif_biotite": lambda: pdbx.get_structure(
                    pdbx.BinaryCIFFile.read(bcif), model=1
                ),
            },
            rounds,
        )
        proteins = records(cif)
        begin = time.perf_counter()
        for protein in proteins:
            protein.values["solvent_exposure"]
        exposure = time.perf_counter() - begin
    residues = sum(map(len, proteins))
    return {
        "entry": path.name,
        "bytes": len(text),
        "residues": residues,
        "ms": found,
        "on_top_of_gemmi": found["provis_fast"] / found["gemmi"] - 1,
        "exposure_ms_per_300_residues": exposure * 1e3 * 300 / residues,
    }


def main() -> None:
    """Time, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="*")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    paths = arguments.files or sorted(BUNDLED.glob("*/*.cif.gz"))
    report: dict[str, object] = {"machine": machine.describe(), "contacts": [], "files": []}
    for n in (100, 300, 1000, 5000):
        row = contacts(n, arguments.rounds)
        report["contacts"].append(row)
        shown = ", ".join(f"{name} {ms:.3f} ms" for name, ms in row["ms"].items())
        print(f"contacts of {n} residues: {shown}; {row['chains_per_second']:,.0f} chains/s")
    load_proteins(paths[0]).__iter__().__next__().values["solvent_exposure"]  # imports mdtraj
    for path in paths:
        row = files(path, arguments.rounds)
        report["files"].append(row)
        shown = ", ".join(f"{name} {ms:.1f}" for name, ms in row["ms"].items())
        print(
            f"{row['entry']} ({row['residues']} residues), ms: {shown}; "
            f"{row['on_top_of_gemmi']:+.0%} on top of gemmi; exposure "
            f"{row['exposure_ms_per_300_residues']:.0f} ms per 300 residues"
        )
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
