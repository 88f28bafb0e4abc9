"""Labels of structures: sites, modifications, secondary structure; bundled and shared entries."""

from __future__ import annotations

import logging
from pathlib import Path

import gemmi
import numpy as np
import pytest
from structure_text import FIVE, Atom, chain, cif_text, pdb_text, residue, seqres

from provis_fast.errors import ArgumentError
from provis_fast.proteins import DEMO_SETS, Protein, SetAside, demo_set, load_proteins
from provis_fast.proteins.binding_sites import BUFFER_MOLECULES
from provis_fast.proteins.secondary_structure import CLASS_OF_STATE, dssp_classes


def read(path: Path, text: str) -> Protein:
    path.write_text(text)
    (protein,) = load_proteins(path).records()
    return protein


def ligand(name: str, xyz: tuple[float, float, float], **options) -> list[Atom]:
    return [Atom("C1", name, "A", 301, xyz, het=True, **options)]


def test_binding_site_is_within_five_angstrom(tmp_path):
    # CB of residue 3 (x = 11.4, y = -1, z = 1.2) is the nearest atom, the next are beyond 6.
    text = pdb_text(chain(FIVE), ligand("ATP", (11.4, -1.0, 6.2)))
    assert read(tmp_path / "x.pdb", text).labels["binding_site"].tolist() == [0, 0, 1, 0, 0]
    text = pdb_text(chain(FIVE), ligand("ATP", (11.4, -1.0, 6.201)))
    assert (read(tmp_path / "x.pdb", text).labels["binding_site"] == -1).all()


@pytest.mark.parametrize("name", ["GOL", "SO4", "EDO", "CL", "HOH", "MES", "UNX"])
def test_buffer_and_water_are_no_ligands(tmp_path, name):
    text = pdb_text(chain(FIVE), ligand(name, (11.4, -1.0, 4.0)))
    assert (read(tmp_path / "x.pdb", text).labels["binding_site"] == -1).all()


@pytest.mark.parametrize("name", ["ZN", "MG", "CA", "MN", "FE", "HEM", "ATP", "NAG"])
def test_real_ligands_are_not_on_the_list(name):
    assert name not in BUFFER_MOLECULES


def test_hydrogens_do_not_bind(tmp_path):
    text = pdb_text(chain(FIVE), ligand("ATP", (11.4, -1.0, 4.0), element="H"))
    assert (read(tmp_path / "x.pdb", text).labels["binding_site"] == -1).all()
    proton = [Atom("HB", "VAL", "A", 3, (11.4, -1.0, 5.0), element="H")]
    atoms = chain("MET LYS VAL") + proton + chain("LEU ALA", [4, 5])
    text = pdb_text(atoms, ligand("ATP", (11.4, -1.0, 9.0)))
    assert (read(tmp_path / "x.pdb", text).labels["binding_site"] == -1).all()


def test_crystal_symmetry_makes_no_sites(tmp_path):
    cell = "CRYST1   40.000   40.000   40.000  90.00  90.00  90.00 P 1           1\n"
    text = pdb_text(chain(FIVE), ligand("ATP", (11.4, -1.0, 42.0)), head=cell)
    assert (read(tmp_path / "x.pdb", text).labels["binding_site"] == -1).all()


def test_a_chain_without_contact_and_unresolved_residues_are_unknown(tmp_path):
    other = chain("GLY LYS ALA", name="B", y=50.0)
    head = seqres("A", FIVE + " TRP") + seqres("B", "GLY LYS ALA")
    (tmp_path / "x.pdb").write_text(
        pdb_text(chain(FIVE), other, ligand("ATP", (11.4, -1.0, 6.0)), head=head)
    )
    a, b = load_proteins(tmp_path / "x.pdb")
    assert a.labels["binding_site"].tolist() == [0, 0, 1, 0, 0, -1]
    assert b.labels["binding_site"].tolist() == [-1, -1, -1]


def test_ligands_listed_after_the_last_chain(tmp_path):
    other = chain("GLY LYS ALA", name="B", y=50.0)
    zinc = [Atom("ZN", "ZN", "A", 301, (11.4, -1.0, 4.0), het=True, element="ZN")]
    zinc_b = [Atom("ZN", "ZN", "B", 301, (7.6, 49.0, 4.0), het=True, element="ZN")]
    (tmp_path / "x.pdb").write_text(pdb_text(chain(FIVE), other, zinc, zinc_b))
    a, b = load_proteins(tmp_path / "x.pdb")
    assert a.labels["binding_site"][2] == 1
    assert b.labels["binding_site"][1] == 1


def test_modifications(tmp_path):
    codes = "MET SEP MSE ALA UNK PTR LYS"
    protein = read(tmp_path / "x.pdb", pdb_text(chain(codes), head=seqres("A", codes + " SEP")))
    assert protein.labels["modification"].tolist() == [0, 1, 0, 0, 0, 1, 0, -1]


def glycan(xyz: tuple[float, float, float]) -> list[Atom]:
    return [
        Atom("C1", "NAG", "A", 401, xyz, het=True),
        Atom("C2", "NAG", "A", 401, (xyz[0], xyz[1] - 1.5, xyz[2]), het=True),
    ]


def test_a_bound_glycan_is_a_modification(tmp_path):
    codes = "MET LYS ASN LEU ALA"
    nitrogen = Atom("ND2", "ASN", "A", 3, (11.4, -3.0, 2.0))
    atoms = [*chain("MET LYS ASN"), nitrogen, *chain("LEU ALA", [4, 5])]
    head = seqres("A", codes)
    by_distance = pdb_text(atoms, glycan((11.4, -4.4, 2.0)), head=head)
    assert read(tmp_path / "x.pdb", by_distance).labels["modification"].tolist() == [0, 0, 1, 0, 0]
    apart = pdb_text(atoms, glycan((11.4, -6.0, 2.0)), head=head)
    assert read(tmp_path / "x.pdb", apart).labels["modification"].tolist() == [0] * 5
    link = "LINK         ND2 ASN A   3                 C1  NAG A 401     1555   1555  1.44  \n"
    by_record = pdb_text(atoms, glycan((11.4, -6.0, 2.0)), head=head + link)
    assert read(tmp_path / "x.pdb", by_record).labels["modification"].tolist() == [0, 0, 1, 0, 0]


def test_helix_and_sheet_records(tmp_path):
    codes = " ".join(["ALA"] * 12)
    head = (
        seqres("A", codes)
        + "HELIX    1   1 ALA A    2  ALA A    4  1                                   3    \n"
        + "SHEET    1   A 2 ALA A   7  ALA A   8  0                                        \n"
        + "SHEET    2   A 2 ALA A  10  ALA A  12 -1                                        \n"
    )
    numbers = [n for n in range(1, 13) if n not in (3, 12)]
    protein = read(tmp_path / "x.pdb", pdb_text(chain("ALA " * 10, numbers), head=head))
    assert protein.labels["author_secondary_structure"].tolist() == (
        [3, 0, -1, 0, 3, 3, 1, 1, 3, 1, 1, -1]
    )


def test_strands_of_predicted_models(tmp_path):
    rows = "HELX_RH_AL_P 1 A 1 A 2\nSTRN 2 A 4 A 5\n"
    keys = ("conf_type_id", "id", "beg_auth_asym_id", "beg_auth_seq_id", "end_auth_asym_id")
    more = "loop_\n" + "".join(f"_struct_conf.{k}\n" for k in (*keys, "end_auth_seq_id")) + rows
    atoms = [a for i, c in enumerate(FIVE.split(), 1) for a in residue(c, "A", i, i, label=i)]
    protein = read(tmp_path / "x.cif", cif_text(atoms, FIVE, more))
    labels = protein.labels["author_secondary_structure"].tolist()
    assert labels[3:] == [1, 1] and labels[2] == 3


def test_site_records(tmp_path):
    site = "SITE     1 AC1  3 LYS A   2  ALA A   5  HOH A 301\n"
    protein = read(tmp_path / "x.pdb", pdb_text(chain(FIVE), head=site))
    assert protein.labels["site_record"].tolist() == [0, 1, 0, 0, 1]
    more = (
        "loop_\n_struct_site_gen.id\n_struct_site_gen.site_id\n_struct_site_gen.auth_asym_id\n"
        "_struct_site_gen.auth_seq_id\n_struct_site_gen.pdbx_auth_ins_code\n"
        "1 AC1 A 2 ?\n2 AC1 A 5 ?\n3 AC1 B 1 ?\n"
    )
    atoms = [a for i, c in enumerate(FIVE.split(), 1) for a in residue(c, "A", i, i, label=i)]
    protein = read(tmp_path / "y.cif", cif_text(atoms, FIVE + " TRP", more))
    assert protein.labels["site_record"].tolist() == [0, 1, 0, 0, 1, -1]


def test_absent_records_give_no_label(tmp_path):
    protein = read(tmp_path / "x.pdb", pdb_text(chain(FIVE)))
    assert "site_record" not in protein.labels
    assert "author_secondary_structure" not in protein.labels


def test_classes_of_dssp():
    assert {s: CLASS_OF_STATE[s] for s in "HGIEBTS P"} == {
        "H": 0, "G": 0, "I": 0, "E": 1, "B": 1, "T": 2, "S": 2, " ": 3, "P": 3,
    }  # fmt: skip


def alpha_helix(length: int) -> np.ndarray:
    """Backbone of an ideal helix, float32 [L, 4, 3]: 1.5 Angstrom and 100 degrees per residue."""
    cylinder = {  # radius, angle, height of N, CA, C, O
        "N": (1.546, -27.5, -0.87),
        "CA": (2.28, 0.0, 0.0),
        "C": (1.668, 26.2, 1.07),
        "O": (2.04, 22.6, 2.23),
    }
    turn = np.arange(length)[:, None]
    radius, angle, height = np.array(list(cylinder.values())).T
    theta = np.deg2rad(angle + 100.0 * turn)
    xyz = np.stack([radius * np.cos(theta), radius * np.sin(theta), height + 1.5 * turn], axis=-1)
    return xyz.astype(np.float32)


def test_dssp_sees_breaks_and_missing_atoms():
    helix = alpha_helix(20)
    proline = np.zeros(20, bool)
    whole = dssp_classes(helix, proline, [20])
    assert (whole[1:-1] == 0).all() and whole[0] != 0
    broken = helix.copy()
    broken[10, 3] = np.nan
    classes = dssp_classes(broken, proline, [20])
    assert classes[10] == -1
    assert classes[9] != 0 and classes[11] != 0, "a helix must not reach over the gap"
    assert (classes[2:8] == 0).all()
    two = dssp_classes(helix, proline, [10, 10])
    assert two[9] != 0 and two[10] != 0
    assert (dssp_classes(np.full_like(helix, np.nan), proline, [20]) == -1).all()


def test_bundled_sets():
    proteins = {name: list(demo_set(name).records()) for name in DEMO_SETS}
    assert not [r for records in proteins.values() for r in records if isinstance(r, SetAside)]
    assert len(proteins["immunoglobulin"]) == 9
    assert len(proteins["general"]) == 48
    ids = {p.id for p in proteins["immunoglobulin"]}
    assert {"7CFN_N", "1BD2_D", "1BD2_E", "3KPR_D", "3KPR_E"} <= ids
    lengths = [len(p) for p in proteins["immunoglobulin"]]
    assert max(lengths) <= 510
    for protein in proteins["immunoglobulin"]:
        labels = protein.labels["secondary_structure"]
        assert (labels == 1).sum() > 0.2 * len(protein), "immunoglobulins are made of strands"
    glycosylated = {p.id: p for p in proteins["general"]}["7DDO_A"]
    assert (glycosylated.labels["modification"] == 1).sum() == 3
    with pytest.raises(ArgumentError, match="immunoglobulin, general"):
        demo_set("enzymes")


def test_bundled_binding_site_against_all_pairs():
    path = Path(demo_set("general").files[0]).parent / "7DDO.cif.gz"
    model = gemmi.read_structure(str(path))[0]
    ligands = [r for c in model for r in c if r.name in ("NAG", "ZN")]
    expected = {
        (c.name, str(r.seqid))
        for c in model
        for r in c.get_polymer()
        if any(a.pos.dist(b.pos) <= 5.0 for a in r for other in ligands for b in other)
    }
    found = {
        (p.id[-1], number)
        for p in load_proteins(path)
        for number, label in zip(p.residue_numbers, p.labels["binding_site"], strict=True)
        if label == 1
    }
    assert found == expected
    assert len(found) == 23


@pytest.fixture(scope="module")
def structures(shared) -> Path:
    return shared / "data" / "structures"


def test_shared_chains_against_three_state_dssp(structures):
    agree = total = 0
    for protein in load_proteins(structures / "chains"):
        reference = structures / "chains" / (protein.source.removesuffix(".gz") + ".dssp")
        if reference.exists():
            states = reference.read_text().split()[0]
            assert len(states) == len(protein)
            ours = ["HE--"[label] for label in protein.labels["secondary_structure"]]
            agree += sum(a == b for a, b in zip(ours, states, strict=True))
            total += len(protein)
    assert total > 4000
    # Theirs is a simplified DSSP that knows no bulges and no isolated bridges' subtleties.
    assert agree / total > 0.96


def _labelled(protein: Protein, name: str) -> list[str]:
    return np.array(protein.residue_numbers)[protein.labels[name] == 1].tolist()


def test_shared_glycans_and_modres(structures):
    a, c = load_proteins(structures / "7DDO.pdb")
    assert _labelled(a, "modification") == ["53", "90", "546"]
    assert _labelled(c, "modification") == ["343"]
    assert (len(a), len(c), int((c.labels["modification"] == -1).sum())) == (597, 209, 15)
    assert {"374", "378", "402"} <= set(_labelled(a, "binding_site")), "around zinc"
    for name in ("1A8O.pdb", "1A8O.cif"):
        (protein,) = load_proteins(structures / name)
        assert protein.id == "1A8O_A" and protein.sequence.startswith("MDIRQG")
        assert not protein.labels["modification"].any()
        helix = protein.labels["author_secondary_structure"] == 0
        assert np.array(protein.residue_numbers)[helix][[0, -1]].tolist() == ["161", "217"]


def test_shared_entries_give_as_many_chains(structures):
    counts = {}
    for name in ("1BD2", "3KPR", "5PTI"):
        records = list(load_proteins(structures / "complexes" / f"{name}.cif.gz").records())
        counts[name] = [sum(isinstance(r, kind) for r in records) for kind in (Protein, SetAside)]
    assert counts == {"1BD2": [5, 0], "3KPR": [5, 5], "5PTI": [1, 0]}
    nanobody = {p.id: p for p in load_proteins(structures / "7CFN.cif")}["7CFN_N"]
    assert nanobody.sequence.startswith("QVQLQESGGGLVQPGGSLRLSCAASGFTF")


def test_shared_awkward_files(structures, caplog):
    with caplog.at_level(logging.WARNING):
        (first,) = load_proteins(structures / "a_structure.pdb").records()
    assert len(first) == 1 and "only the first model" in first.notes[0]
    assert "only the first model" in caplog.text
    (disordered,) = load_proteins(structures / "disordered.pdb").records()
    assert disordered.sequence == "MSRNTT"
    assert np.isfinite(disordered.ca).all()
    (failing,) = load_proteins(structures / "chains" / "1mr1D_failing.pdb.gz").records()
    assert failing.sequence.startswith("HMRVYHECFGKCKGLLVPELYSSPSAACIQC") and len(failing) == 96
    # One residue lacks its backbone.
    assert failing.labels["secondary_structure"].tolist().count(-1) == 1
