"""Damaged files of every format: each is read, set aside or refused, and nothing else happens."""

from __future__ import annotations

import gzip
import pickle

import numpy as np
import pytest
from structure_text import chain, cif_text, pdb_text, seqres
from test_proteins_proteinnet import record_text
from test_proteins_tape import site_record, write_lmdb

from provis_fast.errors import InputError
from provis_fast.proteins import Protein, SetAside, load_proteins

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
}


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, taken out, put in or doubled, or the end cut off."""
    raw = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        at = int(rng.integers(0, max(1, len(raw))))
        n = int(rng.integers(1, 20))
        match rng.integers(0, 5):
            case 0:
                raw[at : at + 1] = rng.bytes(1)
            case 1:
                del raw[at : at + n]
            case 2:
                raw[at:at] = rng.bytes(n)
            case 3:
                raw[at:at] = raw[at : at + 5 * n]
            case 4 if rng.random() < 0.3:
                del raw[at:]
    return bytes(raw)


def read_all(path) -> tuple[int, int]:
    """Read every record and every label; (proteins, set aside or refused)."""
    good = bad = 0
    try:
        for record in load_proteins(path).records():
            if isinstance(record, SetAside):
                assert record.reason and record.status in ("failed", "skipped")
                bad += 1
                continue
            assert isinstance(record, Protein) and len(record) == len(record.sequence) > 0
            good += 1
            for name in record.labels:
                try:
                    assert len(record.labels[name]) == len(record)
                except InputError as error:
                    assert name in str(error)
    except InputError as error:
        assert str(error)
        bad += 1
    return good, bad


def write(folder, kind: str, data: bytes):
    if kind == "tape":
        return write_lmdb(folder / "a.lmdb", [data, site_record(id="whole")])
    names = {"fasta": "a.fa", "gzip": "a.fa.gz", "pdb": "a.pdb", "mmcif": "a.cif"}
    path = folder / names.get(kind, f"a.{kind}")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("cases", [500, pytest.param(20_000, marks=pytest.mark.slow)])
def test_damage_is_told_and_nothing_else_happens(tmp_path, kind, cases):
    whole = WHOLE[kind]
    rng = np.random.default_rng(0)
    (tmp_path / "whole").mkdir()
    good, bad = read_all(write(tmp_path / "whole", kind, whole))
    assert good >= 1 and bad == 0
    totals = np.zeros(2, int)
    for case in range(cases):
        folder = tmp_path / str(case % 2)
        folder.mkdir(exist_ok=True)
        if kind == "tape":
            for file in (folder / "a.lmdb").glob("*"):
                file.unlink()
        totals += read_all(write(folder, kind, damaged(whole, rng)))
    # Neither is everything refused nor all damage swallowed.
    assert (totals > cases // 20).all(), totals
