"""Predicted structures: how they are known, where pLDDT comes from, what is left out for it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from binary_cif_files import binary_cif
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structure_text import FIVE, Atom, chain, cif_text, pdb_text, read, residue, seqres

from provis_fast.errors import ArgumentError, InputError
from provis_fast.properties import Contact, encode_protein, resolve
from provis_fast.proteins import SetAside, load_proteins

PLDDT = [95.5, 70.0, 69.99, 30.25, 88.0]
TITLE = "TITLE     ALPHAFOLD MONOMER V2.0 PREDICTION FOR A PROTEIN\n"


def with_b_factors(text: str, plddt=PLDDT) -> str:
    """A PDB text whose atoms have their residue's pLDDT as B-factor."""
    lines = []
    for line in text.splitlines(keepends=True):
        if line.startswith("ATOM"):
            line = f"{line[:60]}{plddt[int(line[22:26]) - 1]:6.2f}{line[66:]}"
        lines.append(line)
    return "".join(lines)


PDB = with_b_factors(pdb_text(chain(FIVE), head=seqres("A", FIVE)))


def numbered(names: str = FIVE) -> list[Atom]:
    return [a for i, c in enumerate(names.split(), 1) for a in residue(c, "A", i, i, label=i)]


def metric(plddt=PLDDT, name: str = "pLDDT", mode: str = "local") -> str:
    rows = "".join(
        f"1 A {code} {i} 2 {value}\n"
        for i, (code, value) in enumerate(zip(FIVE.split(), plddt, strict=True), 1)
    )
    return (
        "loop_\n_ma_qa_metric.id\n_ma_qa_metric.mode\n_ma_qa_metric.name\n_ma_qa_metric.type\n"
        f"1 global {name} {name}\n2 {mode} {name} {name}\n#\n"
        "loop_\n_ma_qa_metric_local.model_id\n_ma_qa_metric_local.label_asym_id\n"
        "_ma_qa_metric_local.label_comp_id\n_ma_qa_metric_local.label_seq_id\n"
        f"_ma_qa_metric_local.metric_id\n_ma_qa_metric_local.metric_value\n{rows}"
    )


CIF = cif_text(numbered(), FIVE, more=metric())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.pdb", TITLE + PDB),
        ("x.pdb", "REMARK   1 PREDICTED BY AlphaFold\n" + PDB),
        ("AF-P12345-F1-model_v4.pdb", PDB),
        ("x.pdb", TITLE + "EXPDTA    THEORETICAL MODEL\n" + PDB),
        ("x.cif", CIF),
    ],
)
def test_residues_of_low_confidence_are_unknown(tmp_path, name, text):
    (protein,) = read(tmp_path / name, text)
    assert protein.values["plddt"].tolist() == PLDDT
    sure = np.array([True, True, False, False, True])
    for xyz in (protein.ca, protein.cb):
        assert (np.isfinite(xyz).all(axis=1) == sure).all()
    assert protein.sequence == "MKVLA"
    assert protein.residue_numbers == ("1", "2", "3", "4", "5")
    for label in ("secondary_structure", "modification"):
        assert ((protein.labels[label] >= 0) == sure).all(), label
    known = np.isfinite(protein.values["solvent_exposure"])
    assert known.tolist() == [False] * 4 + [True]  # the others lack their side chains
    assert any("2 of 5 residues have a pLDDT below 70" in note for note in protein.notes)


def test_binary_cif_of_a_predicted_structure(tmp_path):
    (tmp_path / "x.bcif").write_bytes(binary_cif(CIF))
    (protein,) = load_proteins(tmp_path / "x.bcif")
    np.testing.assert_array_equal(protein.values["plddt"], PLDDT)
    assert np.isnan(protein.ca).all(axis=1).sum() == 2


@pytest.mark.parametrize(
    "head",
    [
        "EXPDTA    X-RAY DIFFRACTION\n" + TITLE,
        TITLE + "REMARK   3  RESOLUTION RANGE HIGH (ANGSTROMS) : 2.00\n",
        "REMARK 200 STARTING MODEL: ALPHAFOLD\nEXPDTA    ELECTRON MICROSCOPY\n",
    ],
)
@pytest.mark.parametrize("plddt", ["auto", "b_factor"])
def test_experimental_structures_are_never_touched(tmp_path, head, plddt):
    (protein,) = read(tmp_path / "AF-P12345-F1-model_v4.pdb", head + PDB, plddt=plddt)
    assert np.isfinite(protein.ca).all()
    assert "plddt" not in protein.values
    assert not protein.notes


@pytest.mark.parametrize(
    "more",
    [
        "_exptl.method 'X-RAY DIFFRACTION'\n#\n" + metric(),
        "_refine.ls_d_res_high 1.8\n#\n_struct.title 'of an AlphaFold model'\n",
        metric(name="QMEANDisCo"),
        metric(mode="global"),
        "_struct.title 'Folding of alpha helices'\n",
    ],
)
def test_mmcif_that_is_no_predicted_structure(tmp_path, more):
    (protein,) = read(tmp_path / "x.cif", cif_text(numbered(), FIVE, more=more))
    assert np.isfinite(protein.ca).all()
    assert "plddt" not in protein.values


@pytest.mark.parametrize(
    "more",
    [
        "_struct.title 'AlphaFold monomer v2.0 prediction'\n",
        "_software.name AlphaFold\n",
        "loop_\n_ma_data.id\n_ma_data.name\n1 'AlphaFold model'\n2 other\n",
        "_exptl.method 'THEORETICAL MODEL'\n#\n_struct.title 'by AlphaFold'\n",
    ],
)
def test_mmcif_without_the_metric_uses_b_factors(tmp_path, more):
    (protein,) = read(tmp_path / "x.cif", cif_text(numbered(), FIVE, more=more))
    assert protein.values["plddt"].tolist() == [20.0] * 5  # as cif_text writes them
    assert np.isnan(protein.ca).all()
    assert "5 of 5 residues" in protein.notes[0]


def test_other_programs_by_option_and_fractions(tmp_path):
    text = with_b_factors(pdb_text(chain(FIVE)), [0.95, 0.7, 0.7, 0.3, 0.88])
    (as_it_is,) = read(tmp_path / "x.pdb", text)
    assert np.isfinite(as_it_is.ca).all()
    (protein,) = read(tmp_path / "x.pdb", text, plddt="b_factor")
    assert protein.values["plddt"].tolist() == [95, 70, 70, 30, 88]
    assert np.isfinite(protein.ca).all(axis=1).tolist() == [True, True, True, False, True]
    (protein,) = read(tmp_path / "x.pdb", text, plddt="b_factor", min_plddt=90)
    assert np.isfinite(protein.ca).all(axis=1).tolist() == [True, False, False, False, False]
    (protein,) = read(tmp_path / "x.pdb", TITLE + text, plddt="none")
    assert np.isfinite(protein.ca).all() and "plddt" not in protein.values


def test_limits_of_the_options(tmp_path):
    (protein,) = read(tmp_path / "x.pdb", TITLE + PDB, min_plddt=0)
    assert np.isfinite(protein.ca).all() and not protein.notes
    (protein,) = read(tmp_path / "x.pdb", TITLE + PDB, min_plddt=100)
    assert np.isnan(protein.ca).all()
    for bad in ({"plddt": "yes"}, {"min_plddt": 101}, {"min_plddt": float("nan")}):
        with pytest.raises(ArgumentError, match=next(iter(bad))):
            load_proteins(tmp_path / "x.pdb", **bad)


def test_b_factors_that_are_no_plddt(tmp_path):
    text = with_b_factors(pdb_text(chain(FIVE)), [50, 60, 170, 20, 10])
    with pytest.raises(InputError, match=r"pLDDT from 0 to 100 in the B-factors.*got 170"):
        read(tmp_path / "x.pdb", text, plddt="b_factor")
    broken = CIF.replace("69.99", "high")
    with pytest.raises(InputError, match=r"_ma_qa_metric_local: expected .* 'high'"):
        read(tmp_path / "x.cif", broken)


def test_residues_that_the_metric_lacks_are_unknown(tmp_path):
    text = re.sub(r"1 A LYS 2 2 70\.0\n", "", CIF)
    (protein,) = read(tmp_path / "x.cif", text)
    assert np.isnan(protein.values["plddt"]).tolist() == [False, True, False, False, False]
    assert np.isfinite(protein.ca).all(axis=1).tolist() == [True, False, False, False, True]


def test_helices_beside_residues_of_low_confidence(tmp_path):
    helix = "HELIX    1   1 VAL A    3  LEU A    4  1" + " " * 32 + "2\n"
    helix += "HELIX    2   2 LEU A    4  ALA A    5  1" + " " * 32 + "2\n"
    (protein,) = read(tmp_path / "x.pdb", TITLE + helix + PDB)
    assert protein.labels["author_secondary_structure"].tolist() == [3, 3, -1, -1, 0]


def test_binding_sites_of_residues_of_low_confidence_are_unknown(tmp_path):
    ligand = [Atom("C1", "ATP", "A", 301, (11.4, -1.0, 6.2), het=True)]
    (protein,) = read(tmp_path / "x.pdb", TITLE + with_b_factors(pdb_text(chain(FIVE), ligand)))
    assert (protein.labels["binding_site"] == -1).all()  # only residue 3 touches it
    (protein,) = read(
        tmp_path / "x.pdb", TITLE + with_b_factors(pdb_text(chain(FIVE), ligand)), min_plddt=60
    )
    assert protein.labels["binding_site"].tolist() == [0, 0, 1, -1, 0]


def test_the_property(tmp_path):
    (protein,) = read(tmp_path / "x.cif", CIF)
    encoded = encode_protein([*resolve("plddt"), Contact(separation=1)], protein, 5, slice(0, None))
    assert (encoded.values[0] / 65536).tolist() == [
        95.5,
        70.0,
        round(69.99 * 65536) / 65536,
        30.25,
        88.0,
    ]
    assert encoded.denominators.tolist() == [5, 3 * 2]  # all of pLDDT; pairs of the sure ones


@st.composite
def damaged(draw, whole: str) -> str:
    """Text with some words, lines or stretches changed, taken out or doubled."""
    lines = whole.splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        match draw(st.sampled_from(["word", "drop", "double", "cut", "characters"])):
            case "word":
                words = re.split(r"(\s+)", line)
                place = draw(st.integers(0, len(words) - 1))
                words[place] = draw(st.sampled_from(["?", ".", "-1", "1e9", "nan", "x", "''", "2"]))
                lines[at] = "".join(words)
            case "drop":
                lines[at] = ""
            case "double":
                lines[at] = line * 2
            case "cut":
                lines[at] = line[: draw(st.integers(0, len(line)))]
            case "characters":
                place = draw(st.integers(0, len(line)))
                put = draw(st.text(st.characters(max_codepoint=300), max_size=5))
                lines[at] = line[:place] + put + line[place + draw(st.integers(0, 5)) :]
    return "".join(lines)


def check(path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    try:
        records = list(load_proteins(path).records())
    except InputError as error:
        assert str(error)
        return
    for record in records:
        if isinstance(record, SetAside):
            continue
        plddt = record.values.get("plddt")
        if plddt is not None:
            known = plddt[~np.isnan(plddt)]
            assert ((known >= 0) & (known <= 100)).all()
            assert np.isnan(record.ca[~(plddt >= 70)]).all()
        for name in record.labels:
            try:
                assert len(record.labels[name]) == len(record)
            except InputError as error:
                assert name in str(error)


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
ENTRIES = {"x.cif": CIF, "x.pdb": TITLE + PDB}


@settings(max_examples=250, deadline=None, suppress_health_check=QUIET, derandomize=True)
@pytest.mark.parametrize("name", ENTRIES)
@given(data=st.data())
def test_damaged_files(tmp_path, name, data):
    check(tmp_path / name, data.draw(damaged(ENTRIES[name])))


@pytest.mark.slow
@settings(max_examples=5_000, deadline=None, suppress_health_check=QUIET)
@pytest.mark.parametrize("name", ENTRIES)
@given(data=st.data())
def test_damaged_files_at_length(tmp_path, name, data):
    check(tmp_path / name, data.draw(damaged(ENTRIES[name])))
