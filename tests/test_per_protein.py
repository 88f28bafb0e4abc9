"""Numbers in tables of single proteins: against float64 attention, and the totals."""

from __future__ import annotations

import analysis_cases
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from per_protein_cases import (
    KEY,
    LENGTHS,
    PROPERTIES,
    TABLES,
    analysed,
    proteins,
)
from structure_text import chain, pdb_text

import provis_fast as pf
from provis_fast.proteins import Protein


@pytest.fixture(scope="module")
def whole(bert, tmp_path_factory):
    """Result and folder of tables of an analysis with everything."""
    return analysed(bert, tmp_path_factory.mktemp("whole") / "tables")


@pytest.fixture(scope="module")
def attention(bert):
    """Attention between the residues of each protein, float64 [layers, heads, L, L]."""
    found = {}
    for protein in proteins():
        ids = torch.from_numpy(bert.tokens.encode(protein.sequence))
        a = analysis_cases.float64_attention(bert.module, ids)
        found[protein.id] = a[:, :, 1:-1, 1:-1]
    return found


def test_counts_are_those_of_each_protein(whole, attention):
    """Arcs and two properties of each protein, counted from float64 attention."""
    _, folder = whole
    table = pf.read_per_protein(folder, "counts").to_pandas()
    for number, protein in enumerate(proteins(), start=1):
        a = attention[protein.id]
        n = len(protein)
        separation = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        letter = np.array([x == "L" for x in protein.sequence])
        for theta in (0.7, 0.3):
            arcs = a >= theta
            assert not (np.abs(a - theta) <= 1e-5).any()
            mine = table[(table["record"] == number) & (table["threshold"] == theta)]
            assert set(mine["protein"]) == {protein.id} and set(mine["layer"]) == {1, 3}
            for name, class_name, pairs in (
                ("amino_acid", "L", np.broadcast_to(letter, (n, n))),
                ("separation", "2", separation == 2),
                ("separation", ">=24", separation >= 24),
            ):
                rows = mine[(mine["property"] == name) & (mine["class"] == class_name)]
                at = (rows["layer"].to_numpy() - 1, rows["head"].to_numpy() - 1)
                assert len(rows) == 8
                np.testing.assert_array_equal(rows["arcs"], arcs.sum((-1, -2))[at])
                np.testing.assert_array_equal(rows["eligible"], arcs.sum((-1, -2))[at])
                np.testing.assert_array_equal(rows["count"], (arcs * pairs).sum((-1, -2))[at])
                np.testing.assert_allclose(rows["background"], pairs.mean(), rtol=1e-12)


def test_sums_over_proteins_are_the_result(whole):
    """Bit by bit, of arcs and of attention, for all six kinds of properties."""
    result, folder = whole
    table = pf.read_per_protein(folder, "counts").to_pandas()
    assert set(table["property"]) == {spec.name for spec in result.properties}
    by = ["statistic", "threshold", "layer", "head", "property", "class"]
    expected = result.to_pandas()
    expected[["layer", "head"]] += 1
    expected = expected.fillna({"threshold": 0}).set_index(by)
    sums = table.fillna({"threshold": 0}).groupby(by)[["arcs", "eligible", "count"]].sum()
    assert len(sums) == len(expected) > 500
    for name in sums.columns:
        np.testing.assert_array_equal(sums[name], expected.loc[sums.index, name], err_msg=name)
    mass = table[table["statistic"] == "mass"]
    assert mass["threshold"].isna().all() and (mass["count"] % 1 != 0).any()


def test_background_of_each_protein(whole):
    result, folder = whole
    table = pf.read_per_protein(folder, "proteins").to_pandas()
    assert dict(zip(table["protein"], table["residues"], strict=True)) == {
        protein.id: len(protein) for protein in proteins()
    }
    for spec in result.properties:
        known = table[f"known:{spec.name}"]
        for number, name in enumerate(spec.classes):
            share = table[f"background:{spec.name}:{name}"]
            assert share.isna().tolist() == (known == 0).tolist()
            pooled = (share.fillna(0) * known).sum() / known.sum()
            np.testing.assert_allclose(pooled, result.background[spec.name][number], rtol=1e-12)


def test_received_attention(whole, attention):
    _, folder = whole
    table = pf.read_per_protein(folder, "received").to_pandas()
    assert len(table) == len(LENGTHS) * 2 * 4
    for _, row in table.iterrows():
        expected = attention[row["protein"]][row["layer"] - 1, row["head"] - 1].sum(0)
        assert row["received"].dtype == np.float32 and row["received"].shape == expected.shape
        np.testing.assert_allclose(row["received"], expected, rtol=1e-4, atol=1e-5)


def test_received_attention_and_mass_are_the_same_sums(whole):
    _, folder = whole
    received = pf.read_per_protein(folder, "received").to_pandas().set_index(KEY)["received"]
    counts = pf.read_per_protein(folder, "counts", properties="contact").to_pandas()
    mass = counts[counts["statistic"] == "mass"].set_index(KEY)["arcs"]
    np.testing.assert_allclose(received.map(np.sum).loc[mass.index], mass, rtol=1e-5)


def test_arcs_are_the_lists(bert, whole, tmp_path):
    result, folder = whole
    table = pf.read_per_protein(folder, "arcs")
    assert table.num_rows == result.arcs[1].sum() > 500
    assert table["query_residue"].null_count == table.num_rows  # random proteins have no numbers
    pf.analyze(
        bert, proteins(), threshold=0.3, layers=[0, 2], batch_tokens=150, arcs=tmp_path / "arcs"
    )
    assert pq.read_table(tmp_path / "arcs").equals(table.drop_columns("shard"))


def test_records_are_numbered_by_the_input(whole):
    _, folder = whole
    for name in ("proteins", *TABLES):
        table = pf.read_per_protein(folder, name)
        pairs = set(zip(table["record"].to_pylist(), table["protein"].to_pylist(), strict=True))
        assert pairs <= {(number + 1, f"p{number}") for number in range(len(LENGTHS))}
        assert len(pairs) == len(LENGTHS) or name == "arcs"


@pytest.mark.parametrize(("weighting", "kind"), [("arcs", pa.int64()), ("attention", pa.float64())])
def test_types_of_counts(bert, tmp_path, weighting, kind):
    result = pf.analyze(
        bert,
        proteins(),
        PROPERTIES,
        weighting=weighting,
        per_protein="counts",
        per_protein_folder=tmp_path / "tables",
    )
    schema = pf.per_protein_dataset(tmp_path / "tables", "counts").schema
    for name in ("arcs", "eligible:depth", "count:amino_acid:L", "count:site_pair:out>in"):
        assert schema.field(name).type == kind
    assert schema.field("count:depth:value").type == pa.float64()
    table = pf.read_per_protein(tmp_path / "tables", "counts", properties="depth").to_pandas()
    assert set(table["statistic"]) == {"arcs" if weighting == "arcs" else "mass"}
    expected = result.sums if weighting == "arcs" else result.mass_sums
    sums = table.groupby(["layer", "head"])["count"].sum()
    np.testing.assert_array_equal(sums, expected["depth"].reshape(-1))


def test_without_properties(bert, tmp_path):
    result = pf.analyze(
        bert, proteins(), (), per_protein="counts", per_protein_folder=tmp_path / "tables"
    )
    table = pf.read_per_protein(tmp_path / "tables", "counts").to_pandas()
    assert table["property"].isna().all() and table["count"].isna().all()
    assert table.groupby(["layer", "head"])["arcs"].sum().tolist() == result.arcs.ravel().tolist()


def test_numbers_of_residues(bert, tmp_path):
    """Author numbers with insertion codes; residues without coordinates have none."""
    codes = "MET LYS VAL LEU ALA GLU TRP HIS CYS"
    atoms = chain(codes, [7, 8, 9, 10, 11, 12, 13, 14, 15])
    for atom in atoms:
        if atom.number == 9:
            atom.number, atom.insertion = 8, "A"
        elif atom.number > 9:
            atom.number += 1  # 10 is missing from the file, and is filled in as X
    (tmp_path / "1abc.pdb").write_text(pdb_text(atoms))
    known = ["7", "8", "8A", *map(str, range(11, 17))]
    plain = Protein("plain", "MKVLAEWHC")
    source = [*pf.load_proteins(tmp_path / "1abc.pdb").records(), plain]
    numbers = [None if x == "" else x for x in source[0].residue_numbers]
    assert [x for x in numbers if x] == known
    pf.analyze(
        bert,
        source,
        threshold=0.05,
        per_protein=("arcs", "received"),
        per_protein_folder=tmp_path / "tables",
    )
    arcs = pf.read_per_protein(tmp_path / "tables", "arcs")
    named = {"1abc_A": numbers, "plain": [None] * 9}
    assert source[0].id == "1abc_A"
    seen = set()
    for row in arcs.to_pylist():
        for end in ("query", "key"):
            assert row[f"{end}_residue"] == named[row["protein"]][row[end] - 1]
            seen.add(row[f"{end}_residue"])
    assert seen == {*numbers, None}
    found = pf.read_per_protein(tmp_path / "tables", "proteins").to_pylist()
    assert [row["residue_numbers"] for row in found] == [numbers, None]


def test_proteins_without_arcs(bert, tmp_path):
    pf.analyze(
        bert,
        proteins([1, 2]),
        threshold=1.0,
        per_protein=TABLES,
        per_protein_folder=tmp_path / "tables",
    )
    assert pf.read_per_protein(tmp_path / "tables", "arcs").num_rows == 0
    counts = pf.read_per_protein(tmp_path / "tables", "counts").to_pandas()
    assert len(counts) > 0 and not counts["count"].any()


def test_compat_and_cut_proteins(bert, tmp_path):
    result = pf.analyze(
        bert,
        proteins([90, 40]),
        ("contact", "amino_acid"),
        max_length=50,
        per_protein=("counts", "received"),
        per_protein_folder=tmp_path / "cut",
    )
    received = pf.read_per_protein(tmp_path / "cut", "received").to_pandas()
    assert {(p, len(x)) for p, x in zip(received.protein, received.received, strict=True)} == {
        ("p0", 50),
        ("p1", 40),
    }
    result = pf.analyze(
        bert,
        proteins([90, 40]),
        ("contact", "amino_acid"),
        compat="provis",
        per_protein="counts",
        per_protein_folder=tmp_path / "compat",
    )
    counts = pf.read_per_protein(tmp_path / "compat", "counts", properties="contact").to_pandas()
    sums = counts.groupby(["layer", "head"])[["eligible", "count"]].sum()
    assert sums["eligible"].tolist() == result.arcs.ravel().tolist()
    assert sums["count"].tolist() == result.counts["contact"].ravel().tolist()
