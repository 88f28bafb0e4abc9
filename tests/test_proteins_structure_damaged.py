"""PDB and mmCIF files that are damaged, absurd, or hold no protein."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from structure_text import FIVE, chain, cif_text, pdb_text, read, residue, seqres

from provis_fast.errors import InputError
from provis_fast.proteins import Protein, SetAside, load_proteins, structure


@pytest.mark.parametrize("last", [3_000_000, 2_000_000_000])
def test_absurd_label_numbers_do_not_fill_the_memory(tmp_path, last):
    atoms = chain("ALA CYS ASP GLY", [1, 2, 4, 5])
    for atom in atoms:
        atom.label = last if atom.number == 5 else atom.number
    path = tmp_path / "jump.cif"
    path.write_text(cif_text(atoms))
    (protein,) = load_proteins(path)
    assert protein.sequence == "ACXDG"
    assert any(f"label_seq_id jumps from 4 to {last}" in note for note in protein.notes)


def test_coordinates_that_are_no_numbers_are_refused(tmp_path):
    lines = pdb_text(chain("ALA CYS ASP")).splitlines(keepends=True)
    lines[3] = lines[3][:30] + "********" + lines[3][38:]
    path = tmp_path / "stars.pdb"
    path.write_text("".join(lines))
    with pytest.raises(InputError, match=r"stars\.pdb:4: expected three coordinates in columns"):
        list(load_proteins(path))


def test_a_file_beyond_the_memory_is_set_aside(tmp_path, monkeypatch):
    for name in ("a.cif", "b.cif"):
        (tmp_path / name).write_text(cif_text(chain("ALA CYS ASP"), "ALA CYS ASP"))

    def read(path, *arguments):
        if path.name == "a.cif":
            raise MemoryError
        return read_structure(path, *arguments)

    read_structure = structure.read_structure
    monkeypatch.setattr(structure, "read_structure", read)
    aside, protein = load_proteins(tmp_path).records()
    assert aside.status == "failed" and "does not fit into memory" in aside.reason
    assert protein.sequence == "ACD"
    with pytest.raises(InputError, match="does not fit into memory; split the file"):
        list(load_proteins(tmp_path / "a.cif"))


def test_no_protein_in_the_file(tmp_path):
    text = (
        "ATOM      1  P    DA A   1      11.000  10.000  10.000  1.00 20.00           P\n"
        "ATOM      2  C1'  DA A   1      12.000  10.000  10.000  1.00 20.00           C\n"
        "ATOM      3  P    DA A   2      17.000  10.000  10.000  1.00 20.00           P\n"
        "ATOM      4  C1'  DA A   2      18.000  10.000  10.000  1.00 20.00           C\n"
        "TER\nEND\n"
    )
    (aside,) = read(tmp_path / "x.pdb", text)
    assert aside.status == "skipped" and "no amino-acid chain" in aside.reason


def test_a_chain_without_coordinates_is_reported(tmp_path):
    head = seqres("A", FIVE) + seqres("B", "GLY GLY TRP")
    protein, aside = read(tmp_path / "x.pdb", pdb_text(chain(FIVE), head=head))
    assert protein.id == "x_A"
    assert (aside.id, aside.status) == ("x_B", "failed")
    assert "no coordinates" in aside.reason


HEADER = "HEADER    HYDROLASE                               01-JAN-00   9XYZ\n"


@pytest.mark.parametrize("share", np.linspace(0.1, 0.99, 12))
@pytest.mark.parametrize("cut_at", ["byte", "line"])
def test_a_pdb_file_cut_off_is_never_silent(tmp_path, share, cut_at):
    text = HEADER + seqres("A", FIVE * 3) + pdb_text(chain(" ".join([FIVE] * 3)))
    cut = text[: int(len(text) * share)]
    if cut_at == "line":
        cut = cut[: cut.rfind("\n") + 1]
    with pytest.raises(InputError, match="cut off"):
        read(tmp_path / "x.pdb", cut)
    (tmp_path / "good.pdb").write_text(pdb_text(chain(FIVE)))
    records = list(load_proteins([tmp_path / "x.pdb", tmp_path / "good.pdb"]).records())
    assert [type(r) for r in records] == [SetAside, Protein]
    assert records[0].status == "failed" and records[0].id == "x.pdb"


def test_a_headless_pdb_file_cut_within_an_atom(tmp_path):
    text = pdb_text(chain(FIVE), tail="")
    with pytest.raises(InputError, match=r"x\.pdb:25: .*cut off within an ATOM"):
        read(tmp_path / "x.pdb", text.removesuffix("TER\n")[:-45])
    with pytest.raises(InputError, match="MODEL without its ENDMDL"):
        read(tmp_path / "x.pdb", "MODEL        1\n" + text)


@pytest.mark.parametrize("share", np.linspace(0.02, 0.99, 12))
@pytest.mark.parametrize("cut_at", ["byte", "line"])
def test_an_mmcif_file_cut_off_is_never_silent(tmp_path, share, cut_at):
    atoms = [a for i, c in enumerate(FIVE.split(), 1) for a in residue(c, "A", i, i, label=i)]
    text = cif_text(atoms, FIVE)
    cut = text[: int(len(text) * share)]
    if cut_at == "line":
        cut = cut[: cut.rfind("\n") + 1]
    with pytest.raises(InputError, match=r"cut off|no data block|empty"):
        read(tmp_path / "x.cif", cut)


def test_mmcif_without_marks_is_accepted(tmp_path):
    atoms = [a for i, c in enumerate(FIVE.split(), 1) for a in residue(c, "A", i, i, label=i)]
    assert read(tmp_path / "x.cif", cif_text(atoms, FIVE, marks=False))[0].sequence == "MKVLA"


@pytest.mark.parametrize("name", ["x.pdb", "x.cif"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("  \n\n", "empty"),
        ("<html>not found</html>\n", "cut off|not mmCIF"),
        ("data_x\n_cell.length_a 1\n", "no atoms|perhaps it is cif"),
    ],
)
def test_files_that_are_no_structure(tmp_path, name, text, said):
    with pytest.raises(InputError, match=said):
        read(tmp_path / name, text)


def test_compressed_files(tmp_path):
    raw = gzip.compress(pdb_text(chain(FIVE)).encode())
    path = tmp_path / "x.pdb.gz"
    path.write_bytes(raw)
    assert [p.id for p in load_proteins(path)] == ["x_A"]
    path.write_bytes(raw[:-20])
    (tmp_path / "y.pdb").write_bytes(raw)  # as a browser may have named it
    assert [p.id for p in load_proteins(tmp_path / "y.pdb")] == ["y_A"]
    with pytest.raises(InputError, match="gzip"):
        list(load_proteins(path))


def test_bytes_that_are_not_text(tmp_path):
    remark = "REMARK   1 AUTH   A.MÜLLER\n".encode("latin-1")
    (tmp_path / "x.pdb").write_bytes(remark + pdb_text(chain(FIVE, name="A")).encode())
    assert [p.id for p in load_proteins(tmp_path / "x.pdb")] == ["x_A"]
    raw = pdb_text(chain(FIVE, name="A")).encode().replace(b" A ", b" \xe9 ")
    (tmp_path / "x.pdb").write_bytes(raw)
    assert [p.id for p in load_proteins(tmp_path / "x.pdb")] == ["x_?"]


def test_absurd_coordinates(tmp_path):
    atoms = [a for i, c in enumerate(FIVE.split(), 1) for a in residue(c, "A", i, i, label=i)]
    atoms[1].xyz = (1e9, 0, 0)
    with pytest.raises(InputError, match="beyond 1000000 Angstrom"):
        read(tmp_path / "x.cif", cif_text(atoms, FIVE))
    ligand = residue("ATP", "A", 301, 1, het=True)
    ligand[0].xyz = (float("nan"), 0, 0)
    atoms[1].xyz = (0, 0, 0)
    with pytest.raises(InputError, match="not consistent"):
        read(tmp_path / "x.cif", cif_text(atoms + ligand, FIVE))
    ligand[0].xyz = (2e5, 0, 0)
    with pytest.raises(InputError, match="Angstrom apart"):
        read(tmp_path / "x.cif", cif_text(atoms + ligand, FIVE))
