"""A small corpus with all that may happen to a record, and results compared byte by byte."""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path

import numpy as np

from provis_fast import storage

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
STRUCTURES = ("1A8O.cif.gz", "1AHS.pdb.gz", "1PDO.pdb.gz")


def write_corpus(folder: Path, n: int = 600, longest: int = 100, seed: int = 0) -> Path:
    """FASTA files of `n` records altogether, and structures; a model is to know 128 residues.

    Some records are damaged, too long, of a letter that no model knows, repeated, or have a gap.
    """
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    texts = ["", ""]
    for number in range(n):
        sequence = "".join(rng.choice(list(LETTERS), rng.integers(5, longest)))
        kind = rng.choice(["good"] * 12 + ["bad", "long", "letter", "twice", "gap"])
        record = {
            "bad": f">b{number}\nAC*1{sequence}\n",
            "long": f">l{number}\n{sequence * 30}\n",
            "letter": f">j{number}\nJ{sequence}\n",
            "twice": f">t{number}\n{sequence}\n" * 2,
            "gap": f">g{number}\n{sequence}--A\n",
        }.get(kind, f">p{number}\n{sequence}\n")
        texts[number % 2] += record
    (folder / "a.fasta").write_text(texts[0])
    (folder / "c.fasta").write_text(texts[1])
    (folder / "b").mkdir()
    data = resources.files("provis_fast") / "data" / "general"
    for name in STRUCTURES:
        with resources.as_file(data / name) as path:
            shutil.copy(path, folder / "b" / name)
    return folder


def without_run(manifest: str | bytes) -> dict:
    """A manifest, less what differs from run to run."""
    content = json.loads(manifest)
    del content["run"]
    return content


def assert_same_files(folder: Path, expected: Path) -> None:
    """All files of two results are the same bytes; of the manifest all but "run"."""
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in expected.iterdir())
    for name in storage.FILES[:-1]:
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    mine, theirs = ((p / "manifest.json").read_text() for p in (folder, expected))
    assert without_run(mine) == without_run(theirs)
    assert list(json.loads(mine)) == list(json.loads(theirs))
