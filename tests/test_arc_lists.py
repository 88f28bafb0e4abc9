"""Lists of arcs: against the model's own attention, in halves, and after trouble."""

from __future__ import annotations

import os

import analysis_cases
import numpy as np
import pytest
import torch

import provis_fast as pf
from provis_fast import arc_lists
from provis_fast.accumulate import BatchStatistics
from provis_fast.arcs import read_arcs
from provis_fast.cli import main
from provis_fast.engine import Interrupted
from provis_fast.errors import ArgumentError, InputError, ResultError
from provis_fast.per_protein.rows import ProteinRows
from provis_fast.worker import Worker

LENGTHS = [40, 3, 90, 1, 60, 25]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return analysis_cases.save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def bert(folder):
    return pf.load_model(folder, device="cpu")


@pytest.fixture(scope="module")
def expected(bert):
    """Every arc by (protein, layer, head, query, key), from 1, of transformers' own attention."""
    found, near = {}, 0
    for protein in analysis_cases.random_proteins(LENGTHS):
        ids = torch.from_numpy(bert.tokens.encode(protein.sequence))
        a = analysis_cases.float64_attention(bert.module, ids)[:, :, 1:-1, 1:-1]
        near += int((np.abs(a - 0.3) <= 1e-5).sum())
        for at in np.argwhere(a >= 0.3):
            found[protein.id, *(int(x) + 1 for x in at)] = a[tuple(at)]
    assert near == 0 and len(found) >= 1000
    return found


def keys(table):
    named = ("protein", "layer", "head", "query", "key")
    columns = [table[name].to_pylist() for name in named]
    return list(zip(*columns, strict=True))


def assert_lists(path, expected, result):
    """Every arc once, each with its weight, sorted within each protein."""
    table = read_arcs(path)
    found = keys(table)
    assert len(found) == len(expected) == int(result.arcs.sum())
    assert set(found) == set(expected)
    weights = [expected[key] for key in found]
    np.testing.assert_allclose(table["weight"].to_numpy(), weights, rtol=0, atol=1e-5)
    order = list(dict.fromkeys(key[0] for key in found))
    assert found == sorted(found, key=lambda key: (order.index(key[0]), *key[1:]))


@pytest.mark.parametrize("batch_tokens", [100, 1000])
def test_every_arc_is_listed(bert, expected, tmp_path, batch_tokens):
    proteins = analysis_cases.random_proteins(LENGTHS)
    path = tmp_path / "arcs.parquet"
    result = pf.analyze(bert, proteins, threshold=(0.7, 0.3), batch_tokens=batch_tokens, arcs=path)
    plain = pf.analyze(bert, proteins, threshold=(0.7, 0.3), batch_tokens=batch_tokens)
    np.testing.assert_array_equal(result.arcs, plain.arcs)
    table = read_arcs(path)
    assert set(keys(table)) == set(expected) and table.num_rows == len(expected)
    assert result.arcs[1].sum() == len(expected)


def test_layers_are_named_as_in_the_model(bert, expected, tmp_path):
    proteins = analysis_cases.random_proteins(LENGTHS)
    pf.analyze(bert, proteins, layers=[1], arcs=tmp_path / "arcs.parquet")
    found = set(keys(read_arcs(tmp_path / "arcs.parquet")))
    assert found == {key for key in expected if key[1] == 2} and len(found) > 100


@pytest.mark.parametrize("room", [1, 300])  # down to single proteins; to halves
def test_too_many_arcs_run_in_halves(bert, expected, tmp_path, monkeypatch, room):
    monkeypatch.setattr(arc_lists, "MAX_BYTES", room * arc_lists.BYTES_PER_ARC)
    sizes = []
    attempt = Worker._attempt

    def watched(self, unit, entries, pack, room):
        sizes.append(len(entries))
        return attempt(self, unit, entries, pack, room)

    monkeypatch.setattr(Worker, "_attempt", watched)
    proteins = analysis_cases.random_proteins(LENGTHS)
    result = pf.analyze(bert, proteins, batch_tokens=1000, arcs=tmp_path / "arcs.parquet")
    assert sizes[0] == len(LENGTHS) and 1 in sizes and len(sizes) > 3
    assert result.analysed == len(LENGTHS) and result.residues == sum(LENGTHS)
    assert_lists(tmp_path / "arcs.parquet", expected, result)


def test_interrupted_leaves_no_file(bert, tmp_path):
    def stop(done, tokens, total):
        raise KeyboardInterrupt

    path = tmp_path / "arcs.parquet"
    path.write_text("what stood there before")
    with pytest.raises(Interrupted) as caught:
        pf.analyze(
            bert,
            analysis_cases.random_proteins(LENGTHS),
            batch_tokens=50,
            arcs=path,
            progress=stop,
        )
    assert 0 < caught.value.partial.analysed < len(LENGTHS)
    assert path.read_text() == "what stood there before"
    assert os.listdir(tmp_path) == ["arcs.parquet"]


def test_failed_proteins_are_not_listed(bert, expected, tmp_path, monkeypatch):
    not_finite = BatchStatistics.not_finite

    def failing(self):  # as if the protein of 60 residues had NaN among its scores
        found = not_finite(self)
        return [*found, 0] if 60 in self.lengths else found

    forward = Worker._forward

    def remembering(self, pack, room):
        batch = forward(self, pack, room)
        batch.lengths = pack.n_residues.tolist()
        return batch

    monkeypatch.setattr(Worker, "_forward", remembering)
    monkeypatch.setattr(BatchStatistics, "not_finite", failing)
    proteins = analysis_cases.random_proteins(LENGTHS)
    result = pf.analyze(bert, proteins, batch_tokens=1000, arcs=tmp_path / "arcs.parquet")
    assert [entry["id"] for entry in result.set_aside] == ["p4"]
    kept = {key: weight for key, weight in expected.items() if key[0] != "p4"}
    assert_lists(tmp_path / "arcs.parquet", kept, result)


def test_a_batch_that_is_run_again_is_listed_once(bert, expected, tmp_path, monkeypatch):
    """Memory runs out as a batch is added to the result: its proteins are run in halves."""
    add_to, calls = BatchStatistics.add_to, []

    def failing(self, *arguments):
        calls.append(len(arguments[-1]))
        if len(calls) == 1:
            raise MemoryError
        add_to(self, *arguments)

    monkeypatch.setattr(BatchStatistics, "add_to", failing)
    proteins = analysis_cases.random_proteins(LENGTHS)
    result = pf.analyze(bert, proteins, batch_tokens=1000, arcs=tmp_path / "arcs.parquet")
    assert calls == [len(LENGTHS), 3, 3]
    assert_lists(tmp_path / "arcs.parquet", expected, result)


def test_no_memory_for_rows_runs_in_halves(bert, expected, tmp_path, monkeypatch):
    """Nothing of a pack is added before its rows are there."""
    make, calls = ProteinRows.of, []

    def failing(self, batch, pack, n_prefix):
        calls.append(len(pack.entries))
        if len(pack.entries) > 2:
            raise MemoryError
        return make(self, batch, pack, n_prefix)

    monkeypatch.setattr(ProteinRows, "of", failing)
    proteins = analysis_cases.random_proteins(LENGTHS)
    result = pf.analyze(bert, proteins, batch_tokens=1000, arcs=tmp_path / "arcs.parquet")
    assert calls[0] == len(LENGTHS) and max(calls[1:]) > 1 and result.analysed == len(LENGTHS)
    assert_lists(tmp_path / "arcs.parquet", expected, result)


def test_nothing_analysed_leaves_no_file(bert, tmp_path):
    with pytest.raises(InputError):
        pf.analyze(bert, analysis_cases.random_proteins([500]), arcs=tmp_path / "arcs.parquet")
    assert not os.listdir(tmp_path)


def test_bad_arguments(bert, tmp_path):
    proteins = analysis_cases.random_proteins([20])
    with pytest.raises(ArgumentError, match="arcs: expected only with weighting"):
        pf.analyze(bert, proteins, weighting="attention", arcs=tmp_path / "arcs.parquet")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be written"):
        pf.analyze(bert, proteins, arcs=tmp_path / "file" / "arcs.parquet")


def test_command_line(folder, expected, tmp_path):
    fasta = tmp_path / "in.fasta"
    proteins = analysis_cases.random_proteins(LENGTHS)
    fasta.write_text("".join(f">{p.id}\n{p.sequence}\n" for p in proteins))
    out = tmp_path / "out"
    command = ["analyze", str(folder), str(fasta), "--device", "cpu", "--out", str(out)]
    assert main([*command, "--arcs"]) == 0
    assert_lists(out, expected, pf.load_result(out))
    assert sorted(os.listdir(tmp_path)) == ["in.fasta", "out"]
    assert main([*command, "--overwrite"]) == 0  # without: the earlier list goes with its result
    assert not (out / "per_protein").exists()
    assert main([*command, "--overwrite", "--arcs", "--weighting", "attention"]) == 2
