"""Saved results: the same bits back, the same bytes again, and nothing lost on the way."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from result_cases import empty_result, random_result

from provis_fast import storage
from provis_fast.arcs import read_arcs
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.merging import merge
from provis_fast.statistics import HeadStatistics, PropertySpec


@pytest.fixture
def saved(tmp_path):
    result = random_result(1)
    result.note("a note")
    result.run = [{"host": "here"}]
    result.save(tmp_path / "out")
    return result, tmp_path / "out"


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10**6),
    weighting=st.sampled_from(["arcs", "attention", "both"]),
    entropy=st.booleans(),
    thresholds=st.sampled_from([(0.3,), (0.05, 0.3)]),
)
def test_round_trip(tmp_path, seed, weighting, entropy, thresholds):
    if thresholds == (0.3,):
        result = empty_result(weighting=weighting, entropy=entropy, thresholds=thresholds)
    else:
        result = random_result(
            seed, weighting=weighting, entropy=entropy, options={"max_length": 7}
        )
    result.save(tmp_path / "out")
    again = storage.load(tmp_path / "out")
    assert again.equals(result) and again.run == result.run
    # An earlier result is replaced.
    again.save(tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_same_result_same_bytes(saved, tmp_path):
    result, folder = saved
    other = result.copy()
    other.run = [{"host": "elsewhere"}]
    other.save(tmp_path / "again")
    for name in storage.FILES[:-1]:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    first, second = (
        json.loads((place / "manifest.json").read_text()) for place in (folder, tmp_path / "again")
    )
    assert first.pop("run") != second.pop("run")
    assert list(first.items()) == list(second.items())


def test_tables_are_counted_from_one(saved):
    result, folder = saved
    table = pd.read_csv(folder / "heads.csv")
    assert list(table.columns) == [
        "layer", "head", "property", "class", "statistic", "threshold",
        "arcs", "eligible", "count", "proportion", "background", "entropy",
    ]  # fmt: skip
    assert set(table["layer"]) == {2, 4} and set(table["head"]) == {1, 2, 3}
    expected = result.to_pandas()
    expected[["layer", "head"]] += 1
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=0, atol=0)
    parquet = pq.read_table(folder / "heads.parquet")
    pd.testing.assert_frame_equal(parquet.to_pandas(), expected, rtol=0, atol=0)
    assert parquet.schema.metadata[b"provis_fast.format_version"] == b"1"
    mass = (folder / "heads.csv").read_text().splitlines()[-1].split(",")
    assert mass[4] == "mass" and mass[5] == ""


def test_arcs_and_attention_without_properties_have_rows(tmp_path):
    weighed = HeadStatistics.empty((0, 2), 3, 4, (0.1, 0.3), False, (), "both")
    rng = np.random.default_rng(0)
    arcs, mass = rng.integers(0, 99, (5, 2, 2, 4, 1)), rng.integers(0, 2**40, (5, 2, 4, 1))
    none = np.zeros((5, 0), dtype=np.int64)
    weighed.add(arcs, mass, None, none, none, 100)
    weighed.save(tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "heads.csv")
    assert "entropy" not in table
    assert len(table) == 3 * weighed.arcs[0].size  # two thresholds, and mass
    at = table[table["threshold"] == 0.3]["arcs"].to_numpy().reshape(weighed.arcs[1].shape)
    np.testing.assert_array_equal(at, weighed.arcs[1])
    mass = table[table["statistic"] == "mass"]["arcs"].to_numpy().reshape(weighed.mass.shape)
    np.testing.assert_array_equal(mass, weighed.mass)
    assert table[["property", "class", "eligible", "proportion", "background"]].isna().all(None)


def test_manifest_accounts_for_everything(saved):
    _, folder = saved
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format_version"] == 3 and manifest["complete"] is True
    assert manifest["options"]["layers"] == [2, 4]
    assert manifest["channels"][:3] == ["arcs", "kind: eligible", "kind: A"]
    proteins = manifest["proteins"]
    assert proteins["read"] == proteins["analysed"] + proteins["skipped"] + proteins["failed"] == 3


def test_incomplete_results_are_refused(tmp_path):
    result = random_result(1)
    result.complete = False
    result.save(tmp_path / "out.partial")
    with pytest.raises(ResultError, match=r"incomplete.*--allow-partial"):
        storage.load(tmp_path / "out.partial")
    assert storage.load(tmp_path / "out.partial", allow_partial=True).equals(result)


def _change(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _change_proteins(folder, **changes):
    found = json.loads((folder / "manifest.json").read_text())["proteins"]
    _change(folder, proteins=found | changes)


def _reduce(folder):
    path = folder / "manifest.json"
    head = json.loads(path.read_text())
    path.write_text(json.dumps({name: head[name] for name in ("format", "format_version")}))


@pytest.mark.parametrize("name", ["heads.csv", "heads.parquet"])
def test_a_changed_table_is_warned_of(saved, caplog, name):
    result, folder = saved
    assert storage.load(folder).equals(result) and not caplog.records
    os.truncate(folder / name, 99)
    assert storage.load(folder).equals(result)
    (record,) = caplog.records
    assert f"{name}: changed or cut off" in record.getMessage()


def test_names_of_files_need_not_be_text(tmp_path):
    """Linux allows any bytes; Python carries those that are no UTF-8 as surrogates."""
    result = random_result(1)
    result.inputs = [{"path": "prot\udce9ine.fasta", "sha256": None, "bytes": None}]
    result.save(tmp_path / "out")
    assert storage.load(tmp_path / "out").equals(result)


def test_digests_of_proteins_are_kept(tmp_path):
    result = random_result(1)
    result.protein_digests = np.array([3, 2**64 - 1], dtype=np.uint64)
    result.save(tmp_path / "out")
    again = storage.load(tmp_path / "out")
    assert again.equals(result) and again.protein_digests.dtype == np.uint64
    assert not again.equals(random_result(1))


def test_unknown_versions_are_refused_by_name(saved):
    _, folder = saved
    _change(folder, format_version=4)
    with pytest.raises(ResultError, match=r"format version 4 of provis_fast\.result is not known"):
        storage.load(folder)
    with pytest.raises(ResultError, match="format version 4"):
        random_result(2).save(folder)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), 'expected "format"'),
        (lambda folder: (folder / "counts.safetensors").unlink(), "counts.safetensors"),
        (lambda folder: os.truncate(folder / "counts.safetensors", 99), "changed or damaged"),
        (lambda folder: _change(folder, properties=[]), "do not fit together"),
        (lambda folder: _change(folder, proteins=None), "proteins: expected an object, got None"),
        (lambda folder: _change(folder, versions=[]), r"versions: expected an object, got \[\]"),
        (lambda folder: _change(folder, files=None), "files: expected an object, got None"),
        (
            lambda folder: _change(folder, complete="no"),
            "complete: expected true or false, got",
        ),
        (lambda folder: _change(folder, run=5), "run: expected a list, got 5"),
        (lambda folder: _change(folder, settings={"x": 1}), "do not fit together"),
        (lambda folder: _change_proteins(folder, analysed=5), "contradict each other: 3 read, 5"),
        (lambda folder: _change_proteins(folder, analysed=5, read=5), "5 proteins of 300 res"),
        (lambda folder: _change_proteins(folder, residues=7), "3 proteins of 7 residues in the"),
        (lambda folder: _change_proteins(folder, failed=1, read=4), "0 in set_aside"),
        (lambda folder: _change_proteins(folder, noted=1), r"failed\.tsv: 0 lines noted, but"),
        (lambda folder: (folder / "failed.tsv").unlink(), r"failed\.tsv: cannot be read"),
        (lambda folder: os.truncate(folder / "failed.tsv", 9), r"failed\.tsv: its digest is not"),
        (lambda folder: _reduce(folder), r"json: channels, complete, .* missing: the file was"),
    ],
)
def test_damage_is_named(saved, damage, named):
    _, folder = saved
    damage(folder)
    with pytest.raises(ResultError, match=named):
        storage.load(folder)


def test_foreign_folders_are_not_overwritten(saved, tmp_path):
    result, folder = saved
    (folder / "thesis.txt").write_text("precious")
    with pytest.raises(ResultError, match=r"thesis\.txt"):
        result.save(folder)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    result.save(foreign)  # empty: may be used
    file = tmp_path / "file"
    file.write_text("precious")
    with pytest.raises(ResultError, match="a file stands there"):
        result.save(file)
    assert file.read_text() == (folder / "thesis.txt").read_text() == "precious"


def test_a_folder_needs_a_name():
    with pytest.raises(ArgumentError, match="expected the name of a folder"):
        random_result(1).save("")


def test_an_unwritable_place_is_found_before(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be written"):
        storage.check_writable(tmp_path / "file" / "out")
    storage.check_writable(tmp_path / "new" / "out")
    assert os.listdir(tmp_path / "new") == []


@pytest.mark.parametrize("earlier", [False, True])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch, earlier):
    if earlier:
        random_result(2).save(tmp_path / "out")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultError, match="disk is full"):
        random_result(1).save(tmp_path / "out")
    assert os.listdir(tmp_path) == (["out"] if earlier else [])
    if earlier:
        assert storage.load(tmp_path / "out").equals(random_result(2))


def test_a_failing_swap_brings_the_earlier_result_back(tmp_path, monkeypatch):
    random_result(2).save(tmp_path / "out")
    rename, calls = os.rename, []

    def second_fails(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(ResultError, match="cannot be written"):
        random_result(1).save(tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]
    assert storage.load(tmp_path / "out").equals(random_result(2))


def test_what_json_cannot_hold_is_refused(tmp_path):
    for change in ({"options": {"x": object()}}, {"model": {"x": float("nan")}}):
        with pytest.raises(ArgumentError, match="JSON"):
            random_result(1, **change)
    result = random_result(1)
    result.run = [{"x": object()}]
    with pytest.raises(ResultError, match="JSON"):
        result.save(tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_tuples_in_options_survive(tmp_path):
    spec = PropertySpec("near", "separation", ("0", "1"), {"edges": (0, 1)})
    result = empty_result(properties=(spec,), options={"window": (1, 2)})
    result.save(tmp_path / "out")
    assert storage.load(tmp_path / "out").equals(result)
    assert merge([storage.load(tmp_path / "out"), result]).read == 0


def test_other_parquet_files_are_no_arc_files(saved):
    _, folder = saved
    with pytest.raises(
        ResultError, match=r"expected provis_fast\.arcs version 2, got provis_fast\.heads"
    ):
        read_arcs(folder / "heads.parquet")
    with pytest.raises(ResultError, match="cannot be read as a list of arcs"):
        read_arcs(folder / "heads.csv")
