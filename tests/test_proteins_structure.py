"""PDB and mmCIF: sequence, numbering, damaged files."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from structure_text import chain, cif_text, pdb_text, residue, seqres

from provis_fast.errors import InputError
from provis_fast.proteins import Protein, SetAside, load_proteins, source

FIVE = "MET LYS VAL LEU ALA"


def read(path: Path, text: str, **options) -> list[Protein | SetAside]:
    path.write_text(text)
    return list(load_proteins(path, **options).records())


def test_unresolved_residues_keep_their_places(tmp_path):
    atoms = chain("LYS VAL GLY ALA", [2, 3, 6, 7])
    head = seqres("A", "MET LYS VAL LEU SER GLY ALA TRP")
    (protein,) = read(tmp_path / "x.pdb", pdb_text(atoms, head=head))
    assert (protein.id, protein.sequence) == ("x_A", "MKVLSGAW")
    resolved = [False, True, True, False, False, True, True, False]
    np.testing.assert_array_equal(np.isfinite(protein.ca[:, 0]), resolved)
    assert list(protein.residue_numbers) == ["", "2", "3", "", "", "6", "7", ""]
    for name in ("secondary_structure", "modification"):
        np.testing.assert_array_equal(protein.labels[name] >= 0, resolved)
    assert protein.ca.dtype == np.float32
    np.testing.assert_allclose(protein.ca[1], [2 * 3.8, 0, 0], atol=1e-3)
    np.testing.assert_array_equal(protein.cb[5], protein.ca[5])  # glycine
    np.testing.assert_allclose(protein.cb[6], [7 * 3.8, -1, 1.2], atol=1e-3)


def test_author_numbers_say_which_of_several_repeats_is_missing(tmp_path):
    codes = "MET GLY SER GLY SER GLY SER LYS"
    numbers = [11, 12, 13, 16, 17, 18]
    atoms = chain("MET GLY SER GLY SER LYS", numbers)
    (protein,) = read(tmp_path / "x.pdb", pdb_text(atoms, head=seqres("A", codes)))
    assert protein.sequence == "MGSGSGSK"
    assert list(protein.residue_numbers) == ["11", "12", "13", "", "", "16", "17", "18"]


def test_numbering_of_a_chain_does_not_depend_on_its_neighbours(tmp_path):
    """Chain A, with an insertion code, has to be aligned; B's repeat must not be, wherever A is."""
    inserted = [
        *residue("ALA", "A", 1, 1),
        *residue("GLY", "A", 2, 2),
        *residue("SER", "A", 2, 3, insertion="A"),
        *residue("VAL", "A", 3, 4),
    ]
    repeat = chain("GLY SER GLY SER", [3, 4, 5, 6], name="B", y=30.0)
    head = seqres("A", "ALA GLY SER VAL") + seqres("B", "GLY SER GLY SER GLY SER")
    for name, order in (("ab", (inserted, repeat)), ("ba", (repeat, inserted))):
        found = read(tmp_path / f"{name}.pdb", pdb_text(*order, head=head))
        a, b = sorted(found, key=lambda protein: protein.id)
        assert (a.sequence, list(a.residue_numbers)) == ("AGSV", ["1", "2", "2A", "3"])
        assert (b.sequence, list(b.residue_numbers)) == ("GSGSGS", ["", "", "3", "4", "5", "6"])
        assert b.labels["modification"].tolist() == [-1, -1, 0, 0, 0, 0]
        assert (b.labels["secondary_structure"] >= 0).tolist() == [False] * 2 + [True] * 4


def test_numbers_that_do_not_fit_the_sequence_are_aligned(tmp_path):
    atoms = [
        *residue("LYS", "A", 2, 0),
        *residue("VAL", "A", 2, 1, insertion="A"),
        *residue("ALA", "A", 9, 6),
        *residue("TRP", "A", 10, 7),
    ]
    head = seqres("A", "MET LYS VAL LEU SER ALA TRP")
    (protein,) = read(tmp_path / "x.pdb", pdb_text(atoms, head=head))
    assert list(protein.residue_numbers) == ["", "2", "2A", "", "", "9", "10"]


def test_coordinates_of_another_sequence_are_refused(tmp_path):
    head = seqres("A", "TRP TRP HIS TRP")
    with pytest.raises(InputError, match="fit the sequence given in the file"):
        read(tmp_path / "x.pdb", pdb_text(chain(" ".join([FIVE] * 4)), head=head))


def test_mmcif_entity_gives_the_sequence(tmp_path):
    atoms = [a for i in (2, 3, 5) for a in residue(FIVE.split()[i - 1], "B", 100 + i, i, label=i)]
    (protein,) = read(tmp_path / "x.cif", cif_text(atoms, FIVE))
    assert (protein.id, protein.sequence) == ("TEST_B", "MKVLA")
    assert list(protein.residue_numbers) == ["", "102", "103", "", "105"]
    assert np.isnan(protein.ca[[0, 3]]).all()


def test_gaps_in_label_numbers_without_an_entity(tmp_path):
    atoms = [
        a
        for code, label in (("MET", 3), ("LYS", 4), ("VAL", 7))
        for a in residue(code, "A", label + 10, label, label=label)
    ]
    (protein,) = read(tmp_path / "x.cif", cif_text(atoms))
    assert protein.sequence == "MKXXV"
    assert protein.labels["modification"].tolist() == [0, 0, -1, -1, 0]


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

    read_structure = source.read_structure
    monkeypatch.setattr(source, "read_structure", read)
    aside, protein = load_proteins(tmp_path).records()
    assert aside.status == "failed" and "does not fit into memory" in aside.reason
    assert protein.sequence == "ACD"
    with pytest.raises(InputError, match="does not fit into memory; split the file"):
        list(load_proteins(tmp_path / "a.cif"))


def test_renumbered_labels_are_reported(tmp_path):
    atoms = residue("MET", "A", 10, 1, label=1) + residue("LYS", "A", 30, 12, label=2)
    (protein,) = read(tmp_path / "x.cif", cif_text(atoms))
    assert protein.sequence == "MK"
    assert "from 10 to 30" in protein.notes[0]


def test_gaps_in_author_numbers_are_filled(tmp_path):
    (protein,) = read(tmp_path / "x.pdb", pdb_text(chain("MET LYS VAL LEU", [4, 5, 8, 9])))
    assert protein.sequence == "MKXXVL"
    assert protein.notes == ()


def test_skipped_numbers_between_bonded_residues_are_no_gap(tmp_path):
    atoms = residue("MET", "A", 9, 1) + residue("LYS", "A", 11, 2) + residue("VAL", "A", 252, 3)
    (protein,) = read(tmp_path / "x.pdb", pdb_text(atoms))
    assert protein.sequence == "MKV"


def test_insertion_codes(tmp_path):
    atoms = [
        *residue("MET", "A", 52, 0),
        *residue("LYS", "A", 52, 1, insertion="A"),
        *residue("VAL", "A", 52, 3, insertion="C"),
        *residue("LEU", "A", 53, 4),
    ]
    (protein,) = read(tmp_path / "x.pdb", pdb_text(atoms))
    assert protein.sequence == "MKXVL"
    assert list(protein.residue_numbers) == ["52", "52A", "", "52C", "53"]


@pytest.mark.parametrize(
    ("second", "place", "sequence", "said"),
    [
        (5, 9, "MK", "go back from 20 to 5"),
        (2000, 30, "MK", "more than 1000"),
        (22, 40, "MXK", "too far for the 1 residues"),
    ],
)
def test_jumps_that_cannot_be_explained_are_noted(tmp_path, second, place, sequence, said):
    atoms = residue("MET", "A", 20, 0) + residue("LYS", "A", second, place)
    (protein,) = read(tmp_path / "x.pdb", pdb_text(atoms))
    assert protein.sequence == sequence
    assert said in protein.notes[0]


def test_without_bond_atoms_c_alphas_decide(tmp_path):
    options = {"leave_out": "N C O"}
    atoms = residue("MET", "A", 1, 0, **options) + residue("LYS", "A", 9, 1, **options)
    (protein,) = read(tmp_path / "x.pdb", pdb_text(atoms + chain(FIVE, [11, 12, 13, 14, 15])))
    assert protein.sequence.startswith("MK")
    assert protein.labels["secondary_structure"][:2].tolist() == [-1, -1]


def test_modified_and_unknown_residues_have_letters(tmp_path):
    atoms = chain("MSE SEP UNK SEC ZZ9 ALA ALA ALA")
    (protein,) = read(
        tmp_path / "x.pdb", pdb_text(atoms, head=seqres("A", "MSE SEP UNK SEC ZZ9 ALA ALA ALA"))
    )
    assert protein.sequence == "MSXUXAAA"


def test_the_parent_may_come_from_the_file(tmp_path):
    codes = "ALA ZZ9 ALA ALA"
    head = seqres("A", codes) + "MODRES TEST ZZ9 A    2  TRP  SOMETHING\n"
    (protein,) = read(tmp_path / "x.pdb", pdb_text(chain(codes), head=head))
    assert protein.sequence == "AWAA"
    assert protein.labels["modification"].tolist() == [0, 1, 0, 0]


def test_alternative_locations(tmp_path):
    atoms = chain("MET LYS VAL")
    low, high = atoms[6], residue("LYS", "A", 2, 2, y=0.5)[1]
    assert low.name == high.name == "CA"
    low.altloc, low.occupancy, high.altloc, high.occupancy = "A", 0.4, "B", 0.6
    (protein,) = read(tmp_path / "x.pdb", pdb_text([*atoms[:7], high, *atoms[7:]]))
    np.testing.assert_allclose(protein.ca[1], [2 * 3.8, 0.5, 0], atol=1e-3)
    np.testing.assert_allclose(protein.cb[1], [2 * 3.8, -1, 1.2], atol=1e-3)


def test_alternative_residues_share_a_place(tmp_path):
    other = residue("SER", "A", 2, 2, altloc="B", occupancy=0.5)
    first = residue("LYS", "A", 2, 2, altloc="A", occupancy=0.5)
    atoms = chain("MET", [1]) + first + other + chain("VAL", [3])
    (protein,) = read(tmp_path / "x.pdb", pdb_text(atoms))
    assert protein.sequence == "MKV"


def test_the_sequence_is_checked_against_the_coordinates(tmp_path):
    (protein,) = read(
        tmp_path / "x.cif",
        cif_text(
            [a for i, c in enumerate(FIVE.split(), 1) for a in residue(c, "A", i, i, label=i)],
            FIVE.replace("VAL", "TRP"),
        ),
    )
    assert "position 3: VAL instead of TRP" in protein.notes[0]
    atoms = residue("MET", "A", 1, 1, label=1) + residue("LYS", "A", 9, 9, label=9)
    with pytest.raises(InputError, match="residue number 9 is outside its sequence of 5"):
        read(tmp_path / "y.cif", cif_text(atoms, FIVE))


def test_first_model_only(tmp_path):
    def model(number: int, codes: str) -> str:
        return f"MODEL     {number:4}\n" + pdb_text(chain(codes), tail="ENDMDL\n")

    text = model(1, "MET LYS VAL") + model(2, "MET LYS VAL") + "END\n"
    (protein,) = read(tmp_path / "x.pdb", text)
    assert protein.sequence == "MKV" and protein.notes == ()
    (protein,) = read(tmp_path / "x.pdb", model(1, "MET LYS") + model(2, FIVE) + "END\n")
    assert protein.sequence == "MK"
    assert "model 2 has 5" in protein.notes[0]


def test_identical_chains_are_read_once(tmp_path):
    text = pdb_text(chain(FIVE), chain(FIVE, name="B"), chain("GLY LYS ALA", name="C"))
    a, b, c = read(tmp_path / "x.pdb", text)
    assert [a.id, c.id] == ["x_A", "x_C"]
    assert (b.id, b.status) == ("x_B", "skipped")
    assert b.reason == "duplicate: the same sequence as x_A"
    assert [p.id for p in read(tmp_path / "x.pdb", text, unique="none")] == ["x_A", "x_B", "x_C"]


def test_names_of_entries(tmp_path):
    text = pdb_text(chain(FIVE))
    for name, expected in (
        ("1abc.pdb", "1abc_A"),
        ("pdb1abc.ent", "1abc_A"),
        ("a.b.pdb", "a.b_A"),
    ):
        assert read(tmp_path / name, text)[0].id == expected
    header = "HEADER    HYDROLASE                               01-JAN-00   9XYZ\n"
    assert read(tmp_path / "a.pdb", header + text)[0].id == "9XYZ_A"
    assert read(tmp_path / "a.pdb", pdb_text(chain(FIVE, name=" ")))[0].id == "a"


def test_both_formats_agree(tmp_path):
    atoms = [a for i, c in enumerate(FIVE.split(), 1) for a in residue(c, "A", i, i, label=i)]
    (one,) = read(tmp_path / "x.pdb", pdb_text(atoms, head=seqres("A", FIVE)))
    (other,) = read(tmp_path / "y.cif", cif_text(atoms, FIVE))
    assert one.sequence == other.sequence
    np.testing.assert_array_equal(one.ca, other.ca)
    for name in ("secondary_structure", "modification", "binding_site"):
        np.testing.assert_array_equal(one.labels[name], other.labels[name])


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


def test_a_protein_with_lazy_labels_can_be_sent_to_a_worker(tmp_path):
    (protein,) = read(tmp_path / "x.pdb", pdb_text(chain(FIVE)))
    copy = pickle.loads(pickle.dumps(protein))
    np.testing.assert_array_equal(
        copy.labels["secondary_structure"], protein.labels["secondary_structure"]
    )
    assert set(copy.labels) == {"binding_site", "modification", "secondary_structure"}
    assert len(copy.labels) == 3 and "site_record" not in copy.labels


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
