"""Solvent exposure: against Biopython's numbers, in context, and where it is unknown."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from Bio.PDB.MMCIFParser import MMCIFParser
from Bio.PDB.SASA import ShrakeRupley
from structure_text import FIVE, Atom, chain, pdb_text, read, residue

from provis_fast.errors import ArgumentError
from provis_fast.properties import encode_protein, resolve
from provis_fast.properties.residue_values import Buried
from provis_fast.proteins import Protein, demo_set, exposure, load_proteins

ALANINES = "ALA ALA ALA ALA ALA"


def exposure_of(path, *parts, **options) -> list[np.ndarray]:
    return [
        protein.values["solvent_exposure"] for protein in read(path, pdb_text(*parts), **options)
    ]


@pytest.mark.parametrize("entry", ["1A8O", "5PTI"])
def test_against_biopython(entry):
    """The same radii, another implementation with other points on the spheres."""
    path = Path(exposure.__file__).parents[1] / "data" / "general" / f"{entry}.cif.gz"
    (protein,) = load_proteins(path)
    with gzip.open(path, "rt") as file:
        model = MMCIFParser(QUIET=True).get_structure(entry, file)[0]
    for chain_ in list(model):
        for residue_ in list(chain_):
            if residue_.id[0] != " " and residue_.resname != "MSE":
                chain_.detach_child(residue_.id)
                continue
            for atom in list(residue_.get_unpacked_list()):
                if atom.element in ("H", "D"):
                    residue_.detach_child(atom.id)
    ShrakeRupley(n_points=500).compute(model, level="R")
    residues = [r for c in model for r in c]
    found = protein.values["solvent_exposure"]
    place = {number: i for i, number in enumerate(protein.residue_numbers)}
    compared = 0
    for one in residues:
        at = place[str(one.id[1])]
        letter = protein.sequence[at]
        if np.isfinite(found[at]):
            expected = one.sasa / exposure.MAXIMUM_AREA[letter]
            assert found[at] == pytest.approx(expected, abs=0.04), (one, expected)
            compared += 1
    assert compared >= 50


def test_chains_shield_one_another_and_ligands_do_not(tmp_path):
    (alone,) = exposure_of(tmp_path / "x.pdb", chain(ALANINES))
    both = exposure_of(
        tmp_path / "x.pdb", chain(ALANINES), chain(ALANINES, name="B", y=4.0), unique="none"
    )
    assert (both[0] < alone - 0.05).all()
    ligand = [Atom("C1", "ATP", "A", 301 + i, (3.8 * i, 3.0, 0.0), het=True) for i in range(5)]
    water = [Atom("O", "HOH", "A", 401 + i, (3.8 * i, -3.0, 0.0), het=True) for i in range(5)]
    (same,) = exposure_of(tmp_path / "x.pdb", chain(ALANINES), ligand, water)
    np.testing.assert_array_equal(same, alone)
    hydrogen = [Atom("HA", "ALA", "A", 6, (3.8 * 6, 0.0, -1.0))]
    (with_hydrogen,) = exposure_of(tmp_path / "x.pdb", chain("ALA ALA ALA ALA ALA ALA") + hydrogen)
    (without,) = exposure_of(tmp_path / "x.pdb", chain("ALA ALA ALA ALA ALA ALA"))
    np.testing.assert_array_equal(with_hydrogen, without)


def test_of_alternative_locations_the_first_counts(tmp_path):
    whole = chain(ALANINES)
    (expected,) = exposure_of(tmp_path / "x.pdb", whole)
    split = []
    for atom in whole:
        if atom.number == 3 and atom.name == "CB":
            x, y, z = atom.xyz
            split.append(Atom(**(vars(atom) | {"altloc": "A", "occupancy": 0.6})))
            shifted = {"altloc": "B", "occupancy": 0.4, "xyz": (x, y + 0.5, z)}
            split.append(Atom(**(vars(atom) | shifted)))
        else:
            split.append(atom)
    (found,) = exposure_of(tmp_path / "x.pdb", split)
    np.testing.assert_array_equal(found, expected)


def test_unresolved_partial_and_unusual_residues_are_unknown(tmp_path):
    atoms = [
        *residue("ALA", "A", 1, 1),
        *residue("ALA", "A", 2, 2, leave_out="O"),
        *residue("ALA", "A", 4, 4),
        *residue("SEP", "A", 5, 5),
        *residue("GLY", "A", 6, 6),
        *residue("MET", "A", 7, 7),
    ]
    (found,) = exposure_of(tmp_path / "x.pdb", atoms)
    assert np.isfinite(found).tolist() == [True, False, False, True, False, True, False]
    assert (found[np.isfinite(found)] > 0.3).all()


def test_blocks_do_not_matter(monkeypatch):
    (whole,) = (p for p in demo_set("general") if p.id.startswith("5PTI"))
    expected = whole.values["solvent_exposure"]
    monkeypatch.setattr(exposure, "_BLOCK", 37)
    (again,) = (p for p in demo_set("general") if p.id.startswith("5PTI"))
    # Coordinates are float32 from another origin.
    np.testing.assert_allclose(again.values["solvent_exposure"], expected, atol=0.01)


def test_the_properties(tmp_path):
    values = np.array([0.0, 0.2499, 0.25, 1.1, np.nan])
    protein = Protein("p", "ACDEF", values={"solvent_exposure": values})
    encoded = encode_protein(resolve(["solvent_exposure", "buried"]), protein, 5, slice(0, None))
    assert encoded.labels[0].tolist() == [0, 0, 1, 1, -1]  # yes is class 0
    assert encoded.denominators.tolist() == [4, 4]
    assert encoded.numerators[1] == 2
    assert Buried(below=0.5).labels(protein).tolist() == [1, 1, 1, 0, -1]
    assert Buried().options() == {"below": 0.25}
    nothing = encode_protein(
        resolve(["solvent_exposure", "buried"]), Protein("q", "AC"), 2, slice(0, 2)
    )
    assert nothing.denominators.tolist() == [0, 0]
    for bad in (0, -1, float("inf"), "0.2"):
        with pytest.raises(ArgumentError, match="below"):
            Buried(below=bad)


def test_computed_only_when_asked_for(tmp_path, monkeypatch):
    def fail(*arguments):
        raise AssertionError("computed")

    monkeypatch.setattr(exposure, "_areas_of", fail)
    (protein,) = read(tmp_path / "x.pdb", pdb_text(chain(FIVE)))
    assert list(protein.values) == ["solvent_exposure"]
    encode_protein(resolve(["contact", "amino_acid", "binding_site"]), protein, 5, slice(0, None))


def test_atoms_in_one_place_are_no_reason_to_end_the_process(tmp_path):
    (expected,) = exposure_of(tmp_path / "x.pdb", chain(ALANINES))
    atoms = chain(ALANINES)
    first, second = (atom for atom in atoms if atom.number in (2, 4) and atom.name == "CB")
    second.xyz = first.xyz
    (found,) = exposure_of(tmp_path / "x.pdb", atoms)
    assert np.isnan(found).tolist() == [k in (1, 3) for k in range(len(found))]
    assert np.isfinite(expected).all()


def test_atoms_on_top_of_one_another_are_unknown():
    rng = np.random.default_rng(5)
    position = rng.uniform(0, 30, (1500, 3))
    carbon = [exposure._element_of(b"C")[0]] * len(position)
    position[700] = position[3]  # the same place
    position[1400] = position[10] + 1e-5  # next to nothing from it
    found = exposure._shrake_rupley(position, carbon, 1024)
    assert np.flatnonzero(np.isnan(found)).tolist() == [3, 10, 700]
    assert np.isnan(exposure._shrake_rupley(np.zeros((5, 3)), carbon[:5], 5)).all()
