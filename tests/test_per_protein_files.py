"""Files of tables of single proteins: what reads them, shards, results that take them along."""

from __future__ import annotations

import os
import pickle

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from per_protein_cases import (
    KEY,
    PROPERTIES,
    TABLES,
    analysed,
    files,
    proteins,
    run_shard,
    save_fasta,
)

import provis_fast as pf
from provis_fast import arc_lists
from provis_fast.analysis_run import AnalysisRun
from provis_fast.errors import ArgumentError, InputError, ResultError
from provis_fast.measures import Measures
from provis_fast.per_protein.collecting import Wanted
from provis_fast.plan import PackPlanner
from provis_fast.proteins import Protein
from provis_fast.units import blocks
from provis_fast.worker_spec import WorkerSpec


@pytest.fixture(scope="module")
def whole(bert, tmp_path_factory):
    """Result and folder of tables of an analysis with everything."""
    return analysed(bert, tmp_path_factory.mktemp("whole") / "tables")


def test_folders(whole):
    _, folder = whole
    assert sorted(files(folder)) == [
        f"{name}/shard=0001-of-0001/part-0.parquet" for name in sorted((*TABLES, "proteins"))
    ]
    assert os.listdir(folder.parent) == ["tables"]  # the spool is gone


def test_other_programs_read_the_folders(whole):
    result, folder = whole
    table = pd.read_parquet(folder / "counts")
    arcs = table[table["threshold"] == 0.3].groupby(["layer", "head"])["arcs"].sum()
    assert arcs.tolist() == result.arcs[1].reshape(-1).tolist()
    assert set(table["shard"].astype(str)) == {"0001-of-0001"}
    found = ds.dataset(folder / "arcs", partitioning="hive")
    one = found.to_table(columns=["query", "key"], filter=ds.field("protein") == "p4")
    assert one.num_rows == sum(p == "p4" for p in found.to_table()["protein"].to_pylist()) > 0


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


def test_rows_of_other_workers(bert, tmp_path):
    """Two workers made from a pickled description; what they tell arrives in another order."""
    found = proteins([40, 3, 90, 60, 25, 100] * 5)
    arguments = (PROPERTIES, 0.3, None, bert.n_layers, bert.n_heads)
    pf.analyze(
        bert,
        found,
        PROPERTIES,
        batch_tokens=150,
        per_protein=TABLES,
        per_protein_folder=tmp_path / "expected",
    )
    measures = Measures.checked(*arguments)
    planner = PackPlanner(bert, measures.properties, batch_tokens=150)
    wanted = Wanted.checked(TABLES, tmp_path / "tables", None, "arcs")
    source = pf.load_proteins(save_fasta(tmp_path / "in.fasta", found))
    with wanted.collected(measures) as tables:
        run = AnalysisRun(bert, measures, planner, measures.empty(), source, tables=tables)
        spec = WorkerSpec.of(bert, measures, planner, tables=run.tables)
        (block,) = blocks(found)
        units, partials = planner.units(block), []
        for share in (0, 1):
            with pickle.loads(pickle.dumps(spec)).start() as worker:
                for number, unit in enumerate(units):
                    if number % 2 == share:
                        worker.run(worker.planner.prepare(unit))
                        if number % 3:
                            partials.append(pickle.dumps(worker.take({0: len(units)})))
                partials.append(pickle.dumps(worker.take()))
        run.absorb_all(pickle.loads(partial) for partial in reversed(partials))
        tables.finish()
    assert run.result.analysed == len(found) and run.done.whole(0)
    assert files(tmp_path / "tables") == files(tmp_path / "expected")
