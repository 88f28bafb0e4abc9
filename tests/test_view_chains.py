"""Views of several chains, odd numbering, modified residues and predicted structures."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from binary_cif_files import binary_cif
from structure_text import Atom, cif_text, pdb_text, residue, seqres
from view_cases import GAP, HAIRPIN, SEQUENCE, hairpin, hairpin_cif, ligand

import provis_fast as pf
from provis_fast.errors import ArgumentError


def written(path, text):
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text)
    return path


def atoms_of(view) -> dict[tuple[str, int], tuple[str, str]]:
    """What the structure of a view says: (label_asym, label_seq) -> (residue, author number)."""
    block = gemmi.cif.read_string(view.mmcif)[0]
    columns = ["label_asym_id", "label_seq_id", "auth_comp_id", "auth_seq_id", "pdbx_PDB_ins_code"]
    found = {}
    for asym, label, name, number, code in block.find("_atom_site.", columns):
        if label != ".":
            found[asym, int(label)] = (name, number + code.strip("?"))
    return found


def assert_named_alike(view):
    """The viewer finds every residue of the payload in the structure under the same name."""
    shown = atoms_of(view)
    n = 0
    for chain in view.payload["chains"]:
        rows = zip(chain["label_seq"], chain["residues"], chain["numbers"], strict=True)
        for label, name, number in rows:
            if number:
                assert shown.pop((chain["label_asym"], label)) == (name, number)
                n += 1
            else:
                assert (chain["label_asym"], label) not in shown
    assert not shown
    return n


def test_numbers_with_insertion_codes_and_gaps(tmp_path, esm):
    numbers = [(i + 50, "") for i in range(24)]
    numbers[3:6] = [(52, "A"), (52, "B"), (60, "")]
    text = hairpin_cif(numbers=numbers, left_out=(0, 10, 11, 23))
    view = pf.view(written(tmp_path / "x.cif", text), esm)
    (chain,) = view.chains
    assert chain.protein.sequence == SEQUENCE
    assert chain.numbers[:7] == ["", "51", "52", "52A", "52B", "60", "56"]
    assert [i for i, number in enumerate(chain.numbers) if not number] == [0, 10, 11, 23]
    assert assert_named_alike(view) == 20
    arcs = view.arcs
    assert (arcs["query_residue"] == np.array(chain.numbers)[arcs["query"]]).all()
    assert (arcs["key_residue"] == np.array(chain.numbers)[arcs["key"]]).all()
    assert {"52A", "52B", ""} <= set(arcs["query_residue"])
    assert arcs.loc[arcs["query_residue"] == "", "contact"].isna().all()


@pytest.mark.parametrize("with_sequence", [True, False])
def test_a_pdb_file_with_a_gap(tmp_path, esm, with_sequence):
    head = seqres("A", HAIRPIN) if with_sequence else ""
    text = pdb_text(hairpin(left_out=(7, 8), label=False), head=head)
    view = pf.view(written(tmp_path / "x.pdb", text), esm)
    (chain,) = view.chains
    gap = "TD" if with_sequence else "XX"
    assert chain.protein.sequence == f"MKVLAGS{gap}EFWYHRNQIPCMKVL"
    assert chain.residues[7] == ("THR" if with_sequence else "UNK")
    assert assert_named_alike(view) == 22


def test_the_same_view_from_every_format(tmp_path, esm):
    cif = hairpin_cif(left_out=(4,))
    views = [
        pf.view(written(tmp_path / name, content), esm)
        for name, content in (("x.cif", cif), ("x.bcif", binary_cif(cif)))
    ]
    assert views[0].payload == views[1].payload
    pdb = pf.view(
        written(tmp_path / "x.pdb", pdb_text(hairpin(left_out=(4,)), head=seqres("A", HAIRPIN))),
        esm,
    )
    assert pdb.arcs.equals(views[0].arcs) and pdb.heads.equals(views[0].heads)


def test_chains_of_one_sequence_share_a_pass_but_not_contacts(tmp_path, esm):
    """B lies open: nothing of it touches."""
    straight = hairpin("B", shift=40.0)
    for atom in straight:
        if atom.xyz[1] >= GAP - 2:  # the second strand goes elsewhere
            atom.xyz = (atom.xyz[0], atom.xyz[1] + 60.0, atom.xyz[2])
    text = pdb_text(hairpin("A"), straight, head=seqres("A", HAIRPIN) + seqres("B", HAIRPIN))
    path = written(tmp_path / "x.pdb", text)
    view = pf.view(path, esm, threshold=0.1, min_arcs=1)
    first, second = view.chains
    assert len(first.contacts) > 10 and len(second.contacts) < len(first.contacts)
    a, b = (part.drop(columns=["chain", "contact"]) for _, part in view.arcs.groupby("chain"))
    assert a.reset_index(drop=True).equals(b.reset_index(drop=True))
    assert "chain B: same sequence as A, so the same arcs" in view.notes
    result = pf.analyze(
        esm, pf.load_proteins(path, unique="none"), ["contact"], threshold=0.1, min_arcs=1
    )
    at = (view.heads["layer"].to_numpy(), view.heads["head"].to_numpy())
    np.testing.assert_array_equal(view.heads["arcs"], result.arcs[at])
    np.testing.assert_array_equal(view.heads["eligible"], result.eligible["contact"][at])
    np.testing.assert_array_equal(view.heads["contacts"], result.counts["contact"][at][:, 0])
    assert view.heads["background"][0] == pytest.approx(result.background["contact"][0], rel=1e-15)


def test_chosen_chains(tmp_path, esm):
    text = pdb_text(
        hairpin("A"),
        hairpin("B", shift=30.0),
        hairpin("C", shift=60.0, codes=HAIRPIN.replace("TRP", "GLY")),
    )
    path = written(tmp_path / "x.pdb", text)
    for chain, expected in (
        (None, "ABC"),
        ("B", "B"),
        ("C,A", "AC"),
        (["B", "C"], "BC"),
        (" A , B ", "AB"),
    ):
        view = pf.view(path, esm, chain=chain)
        assert "".join(one.id for one in view.chains) == expected
        assert {name for name in view.arcs["chain"]} <= set(expected)
        shown = gemmi.make_structure_from_block(gemmi.cif.read_string(view.mmcif)[0])
        assert [one.name for one in shown[0]] == list(expected)
        assert ("the other chains" in view.mmcif_note) == (chain is not None)
    with pytest.raises(ArgumentError, match=r"chain: .*x\.pdb, A, B, C, got 'D'"):
        pf.view(path, esm, chain="D")


def test_two_polymers_of_one_author_name(tmp_path, esm):
    """Each can be chosen by author.label, and both by the author's name."""
    numbers = [(i + 101, "") for i in range(24)]
    first, second = hairpin("A"), hairpin("B", shift=30.0, numbers=numbers)
    text = cif_text([*first, *second], HAIRPIN)
    text = text.replace("_struct_asym.entity_id\nA 1\n", "_struct_asym.entity_id\nA 1\nB 1\n")
    lines = [
        line.replace(" B ?", " A ?") if line.startswith("ATOM") and " B 1 " in line else line
        for line in text.splitlines()
    ]
    path = written(tmp_path / "x.cif", "\n".join(lines) + "\n")
    view = pf.view(path, esm)
    assert [chain.id for chain in view.chains] == ["A", "A.B"]
    assert [chain.label_asym for chain in view.chains] == ["A", "B"]
    assert assert_named_alike(view) == 48
    assert [chain.id for chain in pf.view(path, esm, chain="A").chains] == ["A", "A.B"]
    one = pf.view(path, esm, chain="A.B")
    assert [chain.label_asym for chain in one.chains] == ["B"]
    assert {asym for asym, _ in atoms_of(one)} == {"B"}


def test_ligands_of_a_chosen_chain_stay_and_water_goes(tmp_path, esm):
    water = Atom("O", "HOH", "A", 301, (0.0, -3.0, 0.0), het=True)
    hydrogen = Atom("HA", "MET", "A", 1, (0.0, 0.0, 1.0), element="H")
    # ZN of chain B touches A; the ATP of B does not.
    zinc = Atom("ZN", "ZN", "B", 201, (4 * 3.8, 0.0, -3.0), het=True, element="ZN")
    a, b = hairpin("A"), hairpin("B", shift=30.0)
    path = written(
        tmp_path / "x.pdb",
        pdb_text(
            [*a[:5], hydrogen, *a[5:]],
            b,
            [ligand("A", 3, 101), ligand("B", 3, 202, z=33.0), zinc, water],
        ),
    )

    def ligands(view):
        block = gemmi.cif.read_string(view.mmcif)[0]
        rows = block.find("_atom_site.", ["auth_comp_id", "auth_asym_id", "group_PDB"])
        return sorted((name, chain) for name, chain, group in rows if group == "HETATM")

    whole = pf.view(path, esm)
    assert ligands(whole) == [("ATP", "A"), ("ATP", "B"), ("ZN", "B")]
    assert ligands(pf.view(path, esm, chain="A")) == [("ATP", "A"), ("ZN", "B")]
    assert " H HA " not in whole.mmcif and "HOH" not in whole.mmcif
    assert whole.mmcif_note == "first model, without hydrogens and waters"
    labels = {track.name: track.labels for track in whole.chains[0].tracks}
    assert labels["binding_site"][[3, 4]].tolist() == [1, 1]


def test_modified_residues_keep_their_names(tmp_path, esm):
    codes = HAIRPIN.replace("SER", "SEP").replace("MET LYS", "MSE LYS", 1)
    view = pf.view(written(tmp_path / "x.cif", hairpin_cif(codes=codes)), esm)
    (chain,) = view.chains
    assert chain.protein.sequence == SEQUENCE
    assert chain.residues[0] == "MSE" and chain.residues[6] == "SEP"
    labels = {track.name: track.labels for track in chain.tracks}
    assert labels["modification"].nonzero()[0].tolist() == [6]
    assert assert_named_alike(view) == 24
    types = dict(gemmi.cif.read_string(view.mmcif)[0].find("_chem_comp.", ["id", "type"]))
    assert types["SEP"] == types["ALA"] == "'L-peptide linking'"


def test_of_alternative_places_the_most_occupied_is_shown(tmp_path, esm):
    atoms = hairpin()
    alternatives = []
    for atom in atoms[5:10]:
        for altloc, occupancy, up in (("A", 0.3, 0.0), ("B", 0.7, 1.0)):
            x, y, z = atom.xyz
            alternatives.append(
                Atom(
                    atom.name, "LYS", "A", 2, (x, y, z + up), altloc=altloc, occupancy=occupancy,
                    label=2,
                )
            )  # fmt: skip
    text = cif_text([*atoms[:5], *alternatives, *atoms[10:]], HAIRPIN)
    view = pf.view(written(tmp_path / "x.cif", text), esm)
    block = gemmi.cif.read_string(view.mmcif)[0]
    columns = ["label_seq_id", "label_atom_id", "Cartn_z", "label_alt_id"]
    found = [row for row in map(list, block.find("_atom_site.", columns)) if row[0] == "2"]
    assert [row[1] for row in found if row[1] == "CA"] == ["CA"] and len(found) == 5
    assert {row[3] for row in found} == {"."}
    (z,) = [float(row[2]) for row in found if row[1] == "CA"]
    assert z == pytest.approx(1.0) and view.chains[0].ca[1, 2] == pytest.approx(1.0)


def test_residues_without_a_place_in_the_sequence(tmp_path, esm):
    """They are shown, have no number in the sequence, and are in no arc."""
    extra = residue("GLY", "A", 90, 30, y=20.0)
    text = pdb_text([*hairpin(label=False), *extra], head=seqres("A", HAIRPIN))
    view = pf.view(written(tmp_path / "x.pdb", text), esm)
    (chain,) = view.chains
    assert chain.protein.sequence == SEQUENCE and "90" not in chain.numbers
    assert any("not in the file's own sequence" in note for note in view.notes)
    assert assert_named_alike(view) == 24
    assert " GLY 90 A " in view.mmcif


def test_later_models_are_left_out(tmp_path, esm):
    atoms = "".join(f"{atom.pdb(i)}\n" for i, atom in enumerate(hairpin(), 1))
    text = "".join(f"MODEL     {n:4}\n{atoms}TER\nENDMDL\n" for n in (1, 2, 3)) + "END\n"
    view = pf.view(written(tmp_path / "x.pdb", text), esm)
    assert view.mmcif_note == "first model, without models 2 to 3, hydrogens and waters"
    assert view.mmcif.count(" CA . MET ") == 2


def test_uncertain_residues_of_a_predicted_structure(tmp_path, esm):
    """They are drawn; their contacts are unknown, as in an analysis."""
    head = "TITLE     ALPHAFOLD MONOMER V2.0 PREDICTION FOR A PROTEIN\n" + seqres("A", HAIRPIN)
    plddt = np.full(24, 95.0)
    plddt[[2, 3, 22]] = 40.0, 69.9, 55.0
    lines = [
        f"{line[:60]}{plddt[int(line[22:26]) - 1]:6.2f}{line[66:]}" if line[:4] == "ATOM" else line
        for line in pdb_text(hairpin(), head=head).splitlines(keepends=True)
    ]
    path = written(tmp_path / "x.pdb", "".join(lines))
    view = pf.view(path, esm, threshold=0.1, min_arcs=1)
    (chain,) = view.chains
    assert np.flatnonzero(~chain.known).tolist() == [2, 3, 22]
    assert np.isfinite(chain.ca).all()
    assert assert_named_alike(view) == 24
    assert any("contacts of 3 residues count as unknown" in note for note in view.notes)
    tracks = {track.name: track for track in chain.tracks}
    assert tracks["plddt"].classes == ("very low", "low", "confident", "very high")
    assert tracks["plddt"].labels[[1, 2, 3, 22]].tolist() == [3, 0, 1, 1]
    assert (tracks["secondary_structure"].labels[[2, 3, 22]] == -1).all()
    result = pf.analyze(esm, path, ["contact"], threshold=0.1, min_arcs=1)
    at = (view.heads["layer"].to_numpy(), view.heads["head"].to_numpy())
    np.testing.assert_array_equal(view.heads["eligible"], result.eligible["contact"][at])
    np.testing.assert_array_equal(view.heads["contacts"], result.counts["contact"][at][:, 0])


def test_chains_that_cannot_be_shown_are_noted(tmp_path, esm, bert):
    bare = [atom for atom in hairpin("B", shift=30.0) if atom.name != "CA"]
    path = written(tmp_path / "x.pdb", pdb_text(hairpin("A"), bare))
    view = pf.view(path, esm)
    assert [chain.id for chain in view.chains] == ["A"]
    assert "chain B: no C-alpha atoms" in view.notes
    long = " ".join(["ALA"] * 200)
    path = written(tmp_path / "y.pdb", pdb_text(hairpin("A"), hairpin("B", codes=long, shift=30.0)))
    view = pf.view(path, bert)
    assert [chain.id for chain in view.chains] == ["A"]
    assert any("chain B has no arcs: 200 residues, but" in note for note in view.notes)
    assert {asym for asym, _ in atoms_of(view)} == {"Axp", "Bxp"}  # still to be seen


def test_a_chain_without_a_name(tmp_path, esm):
    view = pf.view(written(tmp_path / "x.pdb", pdb_text(hairpin(" "))), esm)
    (chain,) = view.chains
    assert chain.id == "" and chain.protein.sequence == SEQUENCE
    assert assert_named_alike(view) == 24


def test_real_structures_are_named_alike(shared, esm):
    folder = shared / "data" / "structures"
    found = 0
    for name in ("1A8O.pdb", "1A8O.cif", "7DDO.pdb", "complexes/5PTI.cif.gz", "4CUP.cif"):
        view = pf.view(folder / name, esm, threshold=0.5)
        found += assert_named_alike(view)
    assert found > 700


def test_a_real_complex(shared, esm):
    view = pf.view(shared / "data" / "structures" / "complexes" / "1BD2.cif.gz", esm)
    assert [chain.id for chain in view.chains] == list("ABCDE")
    assert assert_named_alike(view) > 780
    assert view.title == "1BD2"
