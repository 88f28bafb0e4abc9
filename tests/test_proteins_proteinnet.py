"""ProteinNet's text format."""

from __future__ import annotations

import gzip
import operator
from pathlib import Path

import numpy as np
import pytest

from provis_fast.errors import InputError
from provis_fast.proteins import Protein, SetAside, limits, load_proteins
from provis_fast.proteins.proteinnet import count_proteinnet

#: Picometres; N, CA, C of each of five residues along x.
XYZ = np.arange(45, dtype=float).reshape(3, 15) * 100 + 12.5


def record_text(
    name: str = "1ABC_1_A",
    sequence: str = "MKVLA",
    xyz: np.ndarray | None = XYZ,
    mask: str | None = "++-++",
    secondary: str | None = None,
    profile: bool = True,
) -> str:
    """One record as ProteinNet writes it, with the blank line that ends it."""
    lines = ["[ID]", name, "[PRIMARY]", sequence]
    if profile:
        lines += ["[EVOLUTIONARY]", *["\t".join(["0.5"] * len(sequence))] * 21]
    if secondary is not None:
        lines += ["[SECONDARY]", secondary]
    if xyz is not None:
        lines += ["[TERTIARY]", *("\t".join(f"{x:.1f}" for x in axis) for axis in xyz)]
    if mask is not None:
        lines += ["[MASK]", mask]
    return "\n".join([*lines, "", ""])


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_ca_positions_in_angstrom_where_the_mask_allows(tmp_path):
    path = write(tmp_path / "training_30", record_text() + record_text("90#2XYZ_2_B"))
    first, second = load_proteins(path)
    assert (first.id, first.sequence, second.id) == ("1ABC_1_A", "MKVLA", "90#2XYZ_2_B")
    np.testing.assert_array_equal(np.isnan(first.ca[:, 0]), [0, 0, 1, 0, 0])
    known = [0, 1, 3, 4]
    np.testing.assert_allclose(first.ca[known], XYZ[:, 1::3].T[known] / 100, rtol=1e-6)
    assert first.source == "training_30" and not first.labels


def test_contacts_are_those_of_tape_from_the_same_coordinates(tmp_path):
    """TAPE: C-alpha atoms nearer than 8 Angstrom, both known, at least 6 apart."""
    from provis_fast.properties import Contact

    rng = np.random.default_rng(3)
    n = 60
    ca = np.cumsum(rng.normal(size=(n, 3)) * 2, axis=0)
    atoms = np.repeat(ca, 3, axis=0) * 100  # in picometres
    atoms[0::3] += 150
    atoms[2::3] -= 150
    mask = "".join(rng.choice(["+", "-"], n, p=[0.9, 0.1]))
    text = record_text("p", "A" * n, atoms.T, mask)
    (protein,) = load_proteins(write(tmp_path / "p.proteinnet", text))
    contacts, valid = Contact().rows(protein)(0, n)
    distance = np.linalg.norm(ca[:, None] - ca, axis=2)
    known = np.array([letter == "+" for letter in mask])
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) >= 6
    expected_valid = known[:, None] & known & apart
    np.testing.assert_array_equal(valid, expected_valid)
    assert (np.abs(distance - 8) > 1e-3).all()  # written with one decimal of a picometre
    np.testing.assert_array_equal(contacts, (distance < 8) & expected_valid)
    assert contacts.sum() > 50


def test_secondary_structure(tmp_path):
    text = record_text("p", "MKVLATS", None, "+++++--", secondary="HGELTSL")
    (protein,) = load_proteins(write(tmp_path / "a.proteinnet", text))
    assert protein.labels["secondary_structure"].tolist() == [0, 0, 1, 3, 2, -1, -1]
    assert protein.labels["secondary_structure_unmasked"].tolist() == [0, 0, 1, 3, 2, 2, 3]
    assert protein.ca is None
    text = record_text("p", "MKV", None, None, secondary="BIL", profile=False)
    (protein,) = load_proteins(write(tmp_path / "b.proteinnet", text))
    assert {n: a.tolist() for n, a in protein.labels.items()} == {"secondary_structure": [1, 0, 3]}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("[ID]\n[PRIMARY]\nMKV\n", 5, "[ID]: expected one line"),
        ("[ID]\np\n", 5, "[PRIMARY] is missing"),
        ("[ID]\np\n[PRIMARY]\nMK1\n", 8, "one letter per residue"),
        ("[ID]\np\n[PRIMARY]\nMKV\nMKV\n", 7, "expected one line after it, got 2"),
        ("[ID]\np\n[PRIMARY]\nMKV\n[MASK]\n++\n", 10, "expected 3 letters"),
        ("[ID]\np\n[PRIMARY]\nMKV\n[MASK]\n++0\n", 10, "got '0'"),
        ("[ID]\np\n[PRIMARY]\nMKV\n[SECONDARY]\nHHP\n", 10, "got 'P'"),
        ("[ID]\np\n[PRIMARY]\nMKV\n[TERTIARY]\n", 9, "without [MASK]"),
        ("[ID]\np\n[PRIMARY]\nM\n[MASK]\n+\n[TERTIARY]\n1 2 3\n", 11, "three lines"),
        (
            "[ID]\np\n[PRIMARY]\nM\n[MASK]\n+\n[TERTIARY]\n1 2 3\n\n1 2\n1 2 3\n",
            14,
            "expected 3 numb",
        ),
        ("[ID]\np\n[PRIMARY]\nM\n[MASK]\n+\n[TERTIARY]\n1 2 3\n1 2 x\n1 2 3\n", 13, "'x'"),
        ("[ID]\np\n[PRIMARY]\nM\n[MASK]\n+\n[TERTIARY]\n1 2 3\n1 2 3\n1 nan 3\n", 14, "finite"),
        ("[ID]\np\n[PRIMARY]\nMKV\n[PRIMARY]\nMKV\n", 9, "[PRIMARY] comes twice"),
        ("[ID]\np\n[FOLD]\nMKV\n", 7, "got '[FOLD]'"),
        ("[ID]\n\xff\n[PRIMARY]\nMKV\n", 6, "expected text"),
    ],
)
def test_a_damaged_record_is_set_aside_with_its_line(tmp_path, text, line, said):
    whole = "[ID]\n{}\n[PRIMARY]\nMKV\n"
    path = tmp_path / "a.proteinnet"
    path.write_bytes((whole.format("first") + text + whole.format("last")).encode("latin-1"))
    first, bad, last = load_proteins(path).records()
    assert (first.id, last.id) == ("first", "last")
    assert isinstance(bad, SetAside) and bad.status == "failed"
    assert said in bad.reason
    assert (bad.source, bad.line) == ("a.proteinnet", line)


@pytest.mark.parametrize("content", [b"", b"\n\n", b">p\nMKV\n", b"[PRIMARY]\nMKV\n"])
def test_what_is_not_proteinnet_is_refused(tmp_path, content):
    path = tmp_path / "a.proteinnet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.proteinnet"):
        list(load_proteins(path))


def test_told_by_its_first_line_whatever_its_name(tmp_path):
    write(tmp_path / "training_30", record_text("plain"))
    (tmp_path / "validation.gz").write_bytes(gzip.compress(record_text("compressed").encode()))
    write(tmp_path / "notes.txt", "[IDEAS]\nnone\n")
    (tmp_path / "broken.gz").write_bytes(b"\x1f\x8bnothing")
    write(tmp_path / "z.fasta", ">fasta\nMKV\n")
    source = load_proteins(tmp_path)
    assert [p.id for p in source] == ["plain", "compressed", "fasta"]
    assert "2 other file(s) not read: broken.gz, notes.txt" in source.notes[0]
    assert [p.id for p in load_proteins(tmp_path, format="proteinnet")] == ["plain", "compressed"]
    with pytest.raises(InputError, match="unknown kind of file"):
        load_proteins(tmp_path / "notes.txt")


def test_compressed_and_cut_off(tmp_path):
    text = "".join(record_text(f"p{k}", profile=False) for k in range(300)).encode()
    path = tmp_path / "a.proteinnet.gz"
    path.write_bytes(gzip.compress(text)[:-300])
    *good, bad = load_proteins(path).records()
    assert good and all(isinstance(record, Protein) for record in good)
    assert isinstance(bad, SetAside) and "cut off" in bad.reason
    assert count_proteinnet(path) == len(good) + 1
    whole = gzip.compress(text)
    # Its checksum is wrong; then nothing of it can be read.
    for content in (whole[:-8] + bytes(8), whole[:5000]):
        path.write_bytes(content)
        assert count_proteinnet(path) == len(list(load_proteins(path).records())) > 0
    path.write_bytes(whole[:12])
    with pytest.raises(InputError, match="cannot be read"):
        count_proteinnet(path)


def test_records_are_counted(tmp_path):
    text = "".join(record_text(f"p{k}") for k in range(30))
    path = write(tmp_path / "training_30", text + "[ID]\nwithout a sequence\n")
    assert count_proteinnet(path) == 31
    source = load_proteins(path)
    source.digests()
    assert operator.length_hint(source) == 31 == len(list(source.records()))
    with pytest.raises(InputError, match="cannot be read"):
        count_proteinnet(tmp_path / "missing")


def test_limits_of_a_record(tmp_path, monkeypatch):
    small, large = record_text("small"), record_text("large") + "[EXTRA]\n" + "1 2\n" * 2000
    endless = "[ID]\nendless\n[PRIMARY]\n" + "M" * 9000 + "\n"
    path = write(tmp_path / "a.proteinnet", small + large + endless + record_text("last"))
    monkeypatch.setattr(limits, "MAX_RECORD_BYTES", 4000)
    first, second, third, last = load_proteins(path).records()
    assert (first.id, second.id, third.id, last.id) == ("small", "large", "endless", "last")
    for record in (second, third):
        assert record.status == "failed"
    assert "EXTRA" in second.reason or "at most 4,000 bytes" in second.reason
    monkeypatch.setattr(limits, "MAX_RESIDUES", len(first) - 1)
    found = next(load_proteins(path).records())
    assert found.status == "failed" and "residues, got" in found.reason
