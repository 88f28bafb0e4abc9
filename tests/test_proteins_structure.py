"""PDB and mmCIF: sequence and numbering."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from structure_text import FIVE, chain, cif_text, pdb_text, read, residue, seqres

from provis_fast.errors import InputError


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
    for head in ("", seqres(" ", FIVE)):  # a chain without a name
        (protein,) = read(tmp_path / "a.pdb", pdb_text(chain(FIVE, name=" "), head=head))
        assert (protein.id, protein.sequence) == ("a", "MKVLA")


def test_both_formats_agree(tmp_path):
    atoms = [a for i, c in enumerate(FIVE.split(), 1) for a in residue(c, "A", i, i, label=i)]
    (one,) = read(tmp_path / "x.pdb", pdb_text(atoms, head=seqres("A", FIVE)))
    (other,) = read(tmp_path / "y.cif", cif_text(atoms, FIVE))
    assert one.sequence == other.sequence
    np.testing.assert_array_equal(one.ca, other.ca)
    for name in ("secondary_structure", "modification", "binding_site"):
        np.testing.assert_array_equal(one.labels[name], other.labels[name])


def test_a_protein_with_lazy_labels_can_be_sent_to_a_worker(tmp_path):
    (protein,) = read(tmp_path / "x.pdb", pdb_text(chain(FIVE)))
    copy = pickle.loads(pickle.dumps(protein))
    np.testing.assert_array_equal(
        copy.labels["secondary_structure"], protein.labels["secondary_structure"]
    )
    assert set(copy.labels) == {"binding_site", "modification", "secondary_structure"}
    assert len(copy.labels) == 3 and "site_record" not in copy.labels
