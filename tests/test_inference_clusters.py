"""Clusters of proteins as units: from tables of single proteins."""

from __future__ import annotations

import gzip
import shutil
from dataclasses import replace

import analysis_cases
import inference_cases
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from per_protein_cases import PROPERTIES, TABLES, values
from result_cases import Batch

import provis_fast as pf
from provis_fast.errors import ArgumentError, InputError, NumericalError, ResultError
from provis_fast.inference import units
from provis_fast.inference.assignment import assign, read_members
from provis_fast.inference.clusters import infer_units
from provis_fast.inference.unit_sums import UnitSums

LENGTHS = [40, 33, 90, 12, 60, 25, 71, 48, 50, 37]
GROUPS = ["a", "b", "a", None, "c", "b", "a", "d", None, "c"]


def some_proteins():
    found = analysis_cases.random_proteins(LENGTHS)
    return [replace(p, cluster=group) for p, group in zip(found, GROUPS, strict=True)]


@pytest.fixture(scope="module")
def analysed(esm, tmp_path_factory):
    """A result of all kinds of properties, arcs and mass, in its folder with tables."""
    folder = tmp_path_factory.mktemp("clusters")
    result = pf.analyze(
        esm,
        some_proteins(),
        PROPERTIES,
        (0.3, 0.1),
        layers=[1, 0],
        weighting="both",
        min_arcs=1,
        batch_tokens=120,
        per_protein=TABLES,
        per_protein_folder=folder / "tables",
    )
    result.save(folder / "result", folder / "tables")
    return result, folder / "result"


def ids_of(result_folder):
    return pf.read_per_protein(result_folder, "proteins")["protein"].to_pylist()


def test_proteins_as_clusters_of_their_own_are_proteins(analysed):
    result, folder = analysed
    clusters = {name: number for number, name in enumerate(ids_of(folder))}
    table = result.infer(unit="cluster", per_protein=folder, clusters=clusters)
    pd.testing.assert_frame_equal(table, result.infer(), check_exact=True)
    assert table["t"].notna().sum() > 100
    assert table.attrs["notes"][0] == "10 proteins in 10 clusters, by the mapping"


def summed(result_folder, groups):
    """y, n and n b of clusters from the long form of the tables, by row key."""
    rows = pf.read_per_protein(result_folder, "counts").to_pandas()
    rows = rows[rows["statistic"] == "arcs"].copy()
    rows["nb"] = np.rint(rows["eligible"] * rows["background"].fillna(0) * 2**20) / 2**20
    rows["unit"] = rows["protein"].map(groups)
    key = ["layer", "head", "property", "class", "threshold", "unit"]
    by_unit = rows.groupby(key)[["eligible", "count", "nb"]].sum()
    return dict(iter(by_unit.groupby(level=key[:-1])))


@pytest.mark.parametrize("how", ["column", "mapping"])
def test_clusters_against_a_plain_sum(analysed, how):
    result, folder = analysed
    own = dict(zip((p.id for p in some_proteins()), GROUPS, strict=True))
    clusters = None if how == "column" else {k: v for k, v in own.items() if v is not None}
    table = result.infer(unit="cluster", per_protein=folder, clusters=clusters)
    assert table.attrs["unit"] == "cluster"
    assert "10 proteins in 6 clusters" in table.attrs["notes"][0]
    assert table.attrs["notes"][1].startswith("2 proteins without a cluster")
    by_key = summed(folder, {name: group or name for name, group in own.items()})
    n_tests = 0
    for _, row in table[table["statistic"] == "arcs"].iterrows():
        key = (row["layer"] + 1, row["head"] + 1, row["property"], row["class"], row["threshold"])
        part = by_key[key]
        part = part[part["eligible"] > 0]
        assert row["units"] == len(part)
        excess = (part["count"] - part["nb"]).to_numpy()
        if len(part) < 2 or np.ptp(excess) < 1e-9:
            continue
        total = part["eligible"].sum()
        error = excess.std(ddof=1) * np.sqrt(len(part))
        count = part["count"].sum()
        is_value = result.properties[result.index(row["property"])].is_value
        if not is_value and min(count, total - count) < 10:
            expected = part["nb"].sum() / total
            error = max(error, np.sqrt(expected * (1 - expected) * total))
        t = excess.sum() / error
        assert row["t"] == pytest.approx(t, rel=1e-6, abs=1e-9)
        assert row["excess"] == pytest.approx(excess.sum() / total, rel=1e-9, abs=1e-12)
        n_tests += 1
    assert n_tests > 100
    plain = result.infer()
    for name in ("proportion", "z", "wilson_low", "expected", "excess"):
        pd.testing.assert_series_equal(table[name], plain[name])


def test_little_memory_reads_the_tables_more_often(analysed, monkeypatch):
    result, folder = analysed
    whole = result.infer(unit="cluster", per_protein=folder)
    sums = units.ClusterSums(result, folder)
    assert sums._most_open > 1
    for memory in (0, 600, 3000):
        parts = units.ClusterSums(result, folder, memory=memory)
        for index, spec in enumerate(result.properties):
            for theta in range(2):
                few, all_at_once = parts.of_property(index, theta), sums.of_property(index, theta)
                for a, b in zip(few, all_at_once, strict=True):
                    assert np.array_equal(a, b), spec.name
    monkeypatch.setattr(units, "MEMORY", 0)
    again = result.infer(unit="cluster", per_protein=folder)
    pd.testing.assert_frame_equal(whole, again, check_exact=True)


def test_shards_that_were_merged(esm, tmp_path):
    properties = ["amino_acid", pf.KeyValue("depth", values)]

    def analyse(target, shard=None):
        return pf.analyze(
            esm,
            some_proteins(),
            properties,
            0.1,
            batch_tokens=60,
            shard=shard,
            per_protein="counts",
            per_protein_folder=target,
        )

    parts = [analyse(tmp_path / f"{index}", (index, 2)) for index in (1, 2)]
    for index in (1, 2):
        shutil.copytree(tmp_path / f"{index}", tmp_path / "together", dirs_exist_ok=True)
    clusters = {p.id: group or p.id for p, group in zip(some_proteins(), GROUPS, strict=True)}
    options = {"unit": "cluster", "clusters": clusters}
    table = pf.merge(parts).infer(per_protein=tmp_path / "together", **options)
    wanted = analyse(tmp_path / "whole").infer(per_protein=tmp_path / "whole", **options)
    pd.testing.assert_frame_equal(table, wanted, check_exact=True)
    assert table["units"].max() == 6
    with pytest.raises(ResultError, match=r"they are of \d proteins, it is of 10"):
        pf.merge(parts).infer(per_protein=tmp_path / "1", **options)


def test_open_clusters_of_many_batches():
    rng = np.random.default_rng(3)
    unit = rng.integers(0, 40, 200)
    numbers = rng.integers(-(10**6), 10**6, (200, 3, 2))
    most = units._most_open(unit)
    clusters = units._OpenClusters(np.bincount(unit, minlength=40), most, (3, 2))
    found, begin = [], 0
    for size in (1, 7, 0, 50, 100, 42):
        part = slice(begin, begin + size)
        found.append(clusters.add(unit[part], numbers[part]))
        begin += size
    found = np.concatenate(found)
    wanted = np.stack([numbers[unit == u].sum(axis=0) for u in np.unique(unit)])
    assert sorted(found.reshape(len(found), -1).tolist()) == sorted(
        wanted.reshape(len(wanted), -1).tolist()
    )
    assert sorted(clusters._free) == list(range(most))
    with pytest.raises(NumericalError, match="64 bits"):
        units._OpenClusters(np.array([2]), 1, ()).add(np.array([0]), np.array([2**61]))


def test_naive_clusters_of_given_numbers():
    """The loop of `inference_cases` and the sums over clusters, from the same batch."""
    batch: Batch = inference_cases.proteins(2, 15)
    unit = np.arange(15) // 2
    at = (0, 1, 2)
    for name, k in (("kind", 1), ("scale", 0), ("contact", 0)):
        eligible, classes = inference_cases.CHANNEL_OF[name]
        share = inference_cases.shares(batch, name, k)
        n = batch.arc_counts[(slice(None), *at, eligible)]
        y = batch.arc_counts[(slice(None), *at, classes[k])]
        nb = np.rint(n * (share * 2**20)).astype(np.int64)
        gathered = units._Gathered((1, 1, 1), 1)
        clusters = units._OpenClusters(np.bincount(unit), 1, (1, 1, 1, 3))
        gathered.add(clusters.add(unit, np.stack([n, y, nb], axis=-1)[:, None, None, None]))
        sums = {key: total[0].to_integers() for key, total in gathered.totals.items()}
        sums["units"] = sums["units"].astype(np.int64)
        found = infer_units(UnitSums(bits=inference_cases.BITS_OF[name], **sums), 0.9)
        wanted = inference_cases.naive(batch, name, k, at, 0.9, unit)
        for column in ("units", "expected", "excess", "excess_low", "low", "high", "t", "log_p"):
            assert getattr(found, column).item() == pytest.approx(wanted[column], rel=1e-9), column


def test_a_file_of_mmseqs(analysed, tmp_path):
    result, folder = analysed
    ids = ids_of(folder)
    lines = [f"{ids[0]}\t{name}\n" for name in ids[:4]] + [
        f"{ids[4]}\t{name}\n" for name in ids[4:7]
    ]
    text = "".join([*lines, "elsewhere\telsewhere\n", "\n", lines[0]])
    path = tmp_path / "x_cluster.tsv"
    path.write_text(text)
    table = result.infer(unit="cluster", per_protein=folder, clusters=path)
    assert table.attrs["notes"][:3] == [
        "10 proteins in 5 clusters, by x_cluster.tsv",
        "3 proteins without a cluster there are clusters of their own",
        "1 members of clusters there are not among these proteins",
    ]
    with gzip.open(tmp_path / "x.tsv.gz", "wt") as stream:
        stream.write(text.replace("\n", "\r\n"))
    packed = result.infer(unit="cluster", per_protein=folder, clusters=str(tmp_path / "x.tsv.gz"))
    pd.testing.assert_frame_equal(table, packed, check_exact=True)


def test_ids_that_mmseqs_shortens(tmp_path):
    path = tmp_path / "c.tsv"
    path.write_text("P69905\tP69905\nP69905\tQ1\nUniRef50_X\tUniRef50_X\n")
    ids = ["sp|P69905|HBA_HUMAN", "tr|Q1|Q1_MOUSE", "UniRef50_X", "sp|P2|Z"]
    assert assign(ids, [None] * 4, path).unit.tolist() == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("content", "line", "named"),
    [
        (b"a\ta\na b\n", 2, "two columns separated by a tab.*got 'a b'"),
        (b"a\tb\tc\n", 1, "two columns"),
        (b"a\t\n", 1, "two columns"),
        (b"a\tx\nb\tb\nb\tx\n", 3, "'x' is in that of 'a' and in that of 'b'"),
        (b"a\ta\n\xff\tb\n", 2, "UTF-8"),
        (b"x" * 500, 1, r"got 'x{80}\.\.\.'"),
    ],
)
def test_malformed_files(tmp_path, content, line, named):
    path = tmp_path / "clusters.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=named) as error:
        list(read_members(path))
    assert (error.value.path, error.value.line) == (str(path), line)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        list(read_members(tmp_path / "absent.tsv"))
    path = tmp_path / "cut.tsv.gz"
    path.write_bytes(gzip.compress(b"a\tb\n" * 10_000)[:40])
    with pytest.raises(InputError, match="gzip"):
        list(read_members(path))


def test_clusters_of_other_proteins(analysed, tmp_path):
    result, folder = analysed
    first = ids_of(folder)[0]
    with pytest.raises(ArgumentError, match=f"such as '{first}'; the mapping names 'other', say"):
        result.infer(unit="cluster", per_protein=folder, clusters={"other": 1})
    (tmp_path / "c.tsv").write_text("")
    with pytest.raises(ArgumentError, match=r"c\.tsv names nothing"):
        result.infer(unit="cluster", per_protein=folder, clusters=tmp_path / "c.tsv")
    with pytest.raises(ArgumentError, match="had no column cluster"):
        assign(["a", "b"], [None, None], None)


def test_folders_without_the_tables(analysed, tmp_path):
    result, _ = analysed
    with pytest.raises(ResultError, match="--per-protein counts"):
        result.infer(unit="cluster", per_protein=tmp_path)
    result.save(tmp_path / "alone")
    with pytest.raises(ResultError, match="--per-protein counts"):
        result.infer(unit="cluster", per_protein=tmp_path / "alone")


def changed(folder, target, table, change):
    """A copy of a result's folder, one of its tables changed."""
    shutil.copytree(folder, target)
    (path,) = (target / "per_protein" / table).glob("*/*.parquet")
    found = pq.read_table(path, partitioning=None)
    path.unlink()  # not to write through a link
    pq.write_table(change(found).cast(found.schema) if change else found, path)
    return target


def with_column(table, name, column):
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)


@pytest.mark.parametrize(
    ("table", "change", "named"),
    [
        ("counts", lambda t: t.slice(0, len(t) - 1), "cut off or changed"),
        ("counts", lambda t: t.slice(0, len(t) - 18), "do not correspond"),
        ("counts", lambda t: t.take(list(range(len(t)))[::-1]), "do not correspond"),
        ("proteins", lambda t: t.slice(1), "they are of 9 proteins, it is of 10"),
        ("proteins", lambda t: t.take(list(range(len(t)))[::-1]), "do not correspond"),
        (
            "counts",
            lambda t: with_column(t, "head", pa.array(4 - t["head"].to_numpy(), pa.int16())),
            "other thresholds, layers or heads",
        ),
        (
            "counts",
            lambda t: with_column(
                t, "count:contact:contact", pa.array(t["count:contact:contact"].to_numpy() + 1)
            ),
            "contact adds up to other numbers",
        ),
    ],
)
def test_tables_that_are_not_those_of_the_result(analysed, tmp_path, table, change, named):
    result, folder = analysed
    other = changed(folder, tmp_path / "changed", table, change)
    with pytest.raises(ResultError, match=named):
        result.infer(unit="cluster", per_protein=other)


def test_tables_of_other_properties(analysed, tmp_path):
    result, folder = analysed
    (path,) = (folder / "per_protein/counts").glob("*/*.parquet")
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    (path,) = (other / "per_protein/counts").glob("*/*.parquet")
    found = pq.read_table(path, partitioning=None)
    path.unlink()
    pq.write_table(found.drop_columns(["count:contact:contact"]), path)
    with pytest.raises(ResultError, match="no column count:contact:contact"):
        result.infer(unit="cluster", per_protein=other)
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(ResultError, match="cannot be read"):
        result.infer(unit="cluster", per_protein=other)
