"""Tables of single proteins: against float64 attention, the totals, other programs, and shards."""

from __future__ import annotations

import os

import analysis_cases
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
from structure_text import chain, pdb_text

import provis_fast as pf
from provis_fast import arc_lists
from provis_fast.accumulate import Measures
from provis_fast.analysis_run import AnalysisRun
from provis_fast.errors import ArgumentError, InputError, ResultError
from provis_fast.per_protein.collecting import Wanted
from provis_fast.plan import PackPlanner
from provis_fast.proteins import Protein
from provis_fast.units import Shard

LENGTHS = [40, 3, 90, 1, 60, 25]
#: All six kinds, and values that are not known everywhere.
PROPERTIES = (
    "amino_acid",
    "secondary_structure_query",
    pf.ClassPair("site_pair", ("out", "in"), lambda protein: protein.labels["binding_site"]),
    pf.KeyValue("depth", lambda protein: values(protein)),
    "contact",
    "separation",
)
TABLES = ("counts", "received", "arcs")
KEY = ["record", "protein", "layer", "head"]


def values(protein):
    found = np.sin(np.arange(len(protein))) * 3
    found[::7] = np.nan
    return found


def proteins(lengths=LENGTHS):
    return analysis_cases.random_proteins(lengths)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.parquet"))
    }


@pytest.fixture(scope="module")
def whole(bert, tmp_path_factory):
    """Result and folder of tables of an analysis with everything."""
    folder = tmp_path_factory.mktemp("whole") / "tables"
    result = pf.analyze(
        bert,
        proteins(),
        PROPERTIES,
        (0.7, 0.3),
        layers=[0, 2],
        weighting="both",
        batch_tokens=150,
        per_protein=TABLES,
        per_protein_folder=folder,
    )
    return result, folder


@pytest.fixture(scope="module")
def attention(bert):
    """Attention between the residues of each protein, float64 [layers, heads, L, L]."""
    found = {}
    for protein in proteins():
        ids = torch.from_numpy(bert.tokens.encode(protein.sequence))
        a = analysis_cases.float64_attention(bert.module, ids)
        found[protein.id] = a[:, :, 1:-1, 1:-1]
    return found


def test_folders(whole):
    _, folder = whole
    assert sorted(files(folder)) == [
        f"{name}/shard=0001-of-0001/part-0.parquet" for name in sorted((*TABLES, "proteins"))
    ]
    assert os.listdir(folder.parent) == ["tables"]  # the spool is gone


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


def test_other_programs_read_the_folders(whole):
    result, folder = whole
    table = pd.read_parquet(folder / "counts")
    arcs = table[table["threshold"] == 0.3].groupby(["layer", "head"])["arcs"].sum()
    assert arcs.tolist() == result.arcs[1].reshape(-1).tolist()
    assert set(table["shard"].astype(str)) == {"0001-of-0001"}
    found = ds.dataset(folder / "arcs", partitioning="hive")
    one = found.to_table(columns=["query", "key"], filter=ds.field("protein") == "p4")
    assert one.num_rows == sum(p == "p4" for p in found.to_table()["protein"].to_pylist()) > 0


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


def test_choosing_proteins_and_properties(whole):
    _, folder = whole
    table = pf.read_per_protein(folder, "counts", proteins=["p1", "p4"], properties="contact")
    assert set(table["protein"].to_pylist()) == {"p1", "p4"}
    assert set(table["property"].to_pylist()) == {"contact"}
    assert pf.read_per_protein(folder, "received", proteins="p2").num_rows == 8
    with pytest.raises(ArgumentError, match=r"properties: expected some of amino.* 'charge'"):
        pf.read_per_protein(folder, "counts", properties="charge")
    with pytest.raises(ArgumentError, match='properties: expected only with table="counts"'):
        pf.read_per_protein(folder, "arcs", properties="contact")
    with pytest.raises(ArgumentError, match="table: expected one of proteins, counts"):
        pf.read_per_protein(folder, "heads")
    with pytest.raises(ResultError, match="no table counts of single proteins here"):
        pf.read_per_protein(folder.parent / "elsewhere", "counts")


def test_tables_of_other_versions_are_refused(whole, tmp_path):
    _, folder = whole
    table = pq.ParquetFile(next((folder / "counts").glob("*/*"))).read()
    place = tmp_path / "counts" / "shard=0001-of-0001"
    place.mkdir(parents=True)
    metadata = table.schema.metadata | {b"provis_fast.format_version": b"99"}
    pq.write_table(table.replace_schema_metadata(metadata), place / "part-0.parquet")
    with pytest.raises(ResultError, match=r"per_protein\.counts version 1, got .* version 99"):
        pf.read_per_protein(tmp_path, "counts")


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


def test_halves_give_the_same_bytes(bert, tmp_path, monkeypatch):
    """Packs with too many arcs are run in halves, and their rows are put together again."""
    twins = [*proteins(), Protein("p1", "MKV")]  # an id may come twice in a pack
    for name, room in (("halves", 100), ("whole", 10**6)):
        monkeypatch.setattr(arc_lists, "MAX_BYTES", room * arc_lists.BYTES_PER_ARC)
        pf.analyze(
            bert,
            twins,
            batch_tokens=1000,
            per_protein=("counts", "arcs"),
            per_protein_folder=tmp_path / name,
        )
    halves, expected = (files(tmp_path / name) for name in ("halves", "whole"))
    assert len(halves) == 3 and halves == expected


def run_shard(model, source, index, of, target):
    """One shard of an analysis, as an AnalysisRun has it."""
    measures = Measures.checked(PROPERTIES, 0.3, None, model.n_layers, model.n_heads)
    planner = PackPlanner(model, measures.properties, batch_tokens=150)
    result = measures.empty(model=model.summary())
    wanted = Wanted.checked(TABLES, target, None, "arcs")
    shard = Shard(index, of)
    with wanted.collected(measures, shard) as spool:
        source = pf.load_proteins(source) if isinstance(source, os.PathLike) else source
        run = AnalysisRun(model, measures, planner, result, source, shard=shard, spool=spool)
        run.serially()
        run.finish()
    return result


def test_shards_hold_the_rows_of_one_run(bert, tmp_path):
    fasta = tmp_path / "in.fasta"
    fasta.write_text("".join(f">{p.id}\n{p.sequence}\n" for p in proteins([40, 3, 90, 60] * 40)))
    run_shard(bert, fasta, 1, 1, tmp_path / "whole")
    results = [run_shard(bert, fasta, i, 3, tmp_path / f"shard{i}") for i in (1, 2, 3)]
    merged = pf.merge(results)
    merged.save(tmp_path / "merged", per_protein=[tmp_path / f"shard{i}" for i in (1, 2, 3)])
    for name in ("proteins", *TABLES):
        parts = sorted(path.name for path in (tmp_path / "merged/per_protein" / name).iterdir())
        assert parts == [f"shard=000{i}-of-0003" for i in (1, 2, 3)]
        tables = []
        for folder in ("whole", "merged"):
            table = pf.read_per_protein(tmp_path / folder, name).drop_columns("shard")
            if name == "received":
                table = table.set_column(
                    4, "received", pa.array([str(x) for x in table["received"].to_pylist()])
                )
            by = [key for key in (*KEY, "query", "key") if key in table.column_names]
            by += [key for key in ("property", "class") if key in table.column_names]
            tables.append(table.to_pandas().sort_values(by).reset_index(drop=True))
        pd.testing.assert_frame_equal(*tables)


def test_a_shard_of_nothing_has_empty_tables(bert, tmp_path):
    source = pf.load_proteins(save_fasta(tmp_path / "in.fasta", proteins([9])))
    result = run_shard(bert, source, 5, 9, tmp_path / "tables")
    assert result.analysed == 0
    for name in ("proteins", *TABLES):
        assert pf.read_per_protein(tmp_path / "tables", name).num_rows == 0
    schema = pf.per_protein_dataset(tmp_path / "tables", "counts").schema
    assert "count:contact:contact" in schema.names


def save_fasta(path, found):
    path.write_text("".join(f">{p.id}\n{p.sequence}\n" for p in found))
    return path


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


def test_results_take_their_tables_along(whole, tmp_path):
    result, folder = whole
    result.save(tmp_path / "out", per_protein=folder)
    assert files(tmp_path / "out" / "per_protein") == files(folder)
    loaded = pf.load_result(tmp_path / "out")
    assert loaded.equals(result)
    manifest = (tmp_path / "out" / "manifest.json").read_text()
    assert '"per_protein": [\n  "arcs",\n  "counts",\n  "proteins",\n  "received"\n ]' in manifest
    assert pf.read_per_protein(tmp_path / "out", "arcs").num_rows > 0
    result.save(tmp_path / "out")  # an earlier result goes as a whole
    assert not (tmp_path / "out" / "per_protein").exists() and files(folder)
    result.save(tmp_path / "out", per_protein=folder)
    (tmp_path / "out" / "per_protein" / "counts" / "mine.txt").write_text("precious")
    with pytest.raises(ResultError, match=r"something else .*per_protein/counts/mine\.txt"):
        result.save(tmp_path / "out")
    with pytest.raises(ResultError, match="there are no tables of single proteins here"):
        result.save(tmp_path / "other", per_protein=tmp_path / "out" / "nowhere")
    assert not (tmp_path / "other").exists()


def test_tables_that_do_not_belong_together(bert, whole, tmp_path):
    result, folder = whole
    with pytest.raises(ResultError, match="is the same part of that table"):
        result.save(tmp_path / "out", per_protein=[folder, folder])
    run_shard(bert, save_fasta(tmp_path / "in.fasta", proteins([9])), 1, 2, tmp_path / "other")
    with pytest.raises(ResultError, match="other columns than"):
        result.save(tmp_path / "out", per_protein=[folder, tmp_path / "other"])
    assert not (tmp_path / "out").exists()


def test_an_analysis_that_fails_leaves_the_earlier_tables(bert, tmp_path):
    result = pf.analyze(
        bert, proteins([5]), per_protein="counts", per_protein_folder=tmp_path / "tables"
    )
    assert result.analysed == 1
    earlier = files(tmp_path / "tables")

    def stop(done, tokens, total):
        raise KeyboardInterrupt

    options = {"per_protein": TABLES, "per_protein_folder": tmp_path / "tables"}
    with pytest.raises(KeyboardInterrupt):
        pf.analyze(bert, proteins(), progress=stop, **options)
    with pytest.raises(InputError):
        pf.analyze(bert, proteins([500]), **options)
    assert files(tmp_path / "tables") == earlier and os.listdir(tmp_path) == ["tables"]
    pf.analyze(bert, proteins([7]), **options)
    assert files(tmp_path / "tables") != earlier


def test_bad_arguments(bert, tmp_path):
    for options, message in (
        ({"per_protein": "counts"}, "per_protein_folder: expected a folder"),
        ({"per_protein_folder": tmp_path / "x"}, "per_protein: expected, beside per_protein_fo"),
        ({"per_protein": ["heads"], "per_protein_folder": tmp_path / "x"}, "got 'heads'"),
        (
            {"per_protein": "arcs", "per_protein_folder": tmp_path, "weighting": "attention"},
            "arcs: expected only with weighting",
        ),
    ):
        with pytest.raises(ArgumentError, match=message):
            pf.analyze(bert, proteins([5]), **options)
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ResultError, match=r"something else .*thesis\.txt"):
        pf.analyze(bert, proteins([5]), per_protein="counts", per_protein_folder=tmp_path)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_counts_of_proteins_that_nobody_knows(whole, tmp_path):
    """The proteins' table lost a part: told, not guessed."""
    _, folder = whole
    for name in ("proteins", "counts"):
        place = tmp_path / name / "shard=0001-of-0001"
        place.mkdir(parents=True)
        table = pq.ParquetFile(folder / name / "shard=0001-of-0001" / "part-0.parquet").read()
        pq.write_table(table.slice(name == "proteins"), place / "part-0.parquet")
    with pytest.raises(ResultError, match="the table proteins does not have"):
        pf.read_per_protein(tmp_path, "counts")
