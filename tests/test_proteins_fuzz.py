"""Damaged files of every format: each is read, set aside or refused, and nothing else happens."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest
import uniprot_files
from damage import check_damage, read_all
from structure_text import chain, cif_text, pdb_text, seqres
from test_proteins_proteinnet import record_text
from test_proteins_tape import site_record, write_lmdb
from uniprot_files import FILES as UNIPROT

FASTA = b">one first\nMKVLAAGWC\nMKVXBZ\n>two\nACDEFGHIKLMNPQRSTVWY\n>three\nMMM\n"
RECORD = pickle.dumps(
    site_record(
        contacts=np.zeros((5, 5)), valid_mask=np.ones(5, bool), ss3=np.array([0, 1, 2, 2, 1])
    )
)


NAMES = "MET LYS VAL LEU ALA GLY TRP CYS SER THR"
GAP = [1, 2, 3, 5, 6, 7, 8, 9, 10]
PDB = pdb_text(
    chain(NAMES), chain(NAMES[4:], GAP, name="B", y=20.0), head=seqres("A", NAMES)
).encode()
CIF = cif_text(chain(NAMES), sequence=NAMES).encode()


WHOLE = {
    "fasta": FASTA,
    "gzip": gzip.compress(FASTA),
    "pdb": PDB,
    "mmcif": CIF,
    "tape": RECORD,
    "proteinnet": "".join(
        record_text(name, secondary="HHELT") for name in ("one", "two", "three")
    ).encode(),
    **{name: text(uniprot_files.ENTRIES[1:]).encode() for name, (_, text) in UNIPROT.items()},
    "json-lines": uniprot_files.json_lines(uniprot_files.ENTRIES[1:]).encode(),
}
FORMATS = {"gzip": "fasta", "json-lines": "uniprot-json"}


def write(folder, kind: str, data: bytes):
    if kind == "tape":
        return write_lmdb(folder / "a.lmdb", [data, site_record(id="whole")])
    names = {"fasta": "a.fa", "gzip": "a.fa.gz", "pdb": "a.pdb", "mmcif": "a.cif"}
    path = folder / names.get(kind, f"a.{kind}")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("cases", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damage_is_told_and_nothing_else_happens(tmp_path, kind, cases):
    def read(data: bytes) -> tuple[int, int]:
        if kind == "tape":
            for file in (tmp_path / "a.lmdb").glob("*"):
                file.unlink()
        return read_all(write(tmp_path, kind, data), FORMATS.get(kind, kind))

    check_damage(WHOLE[kind], cases, read)
