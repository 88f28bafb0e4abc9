"""Shards of an input: together they are the whole, to the last bit."""

from __future__ import annotations

import random

import analysis_cases
import corpus_cases
import numpy as np
import pytest

import provis_fast as pf
from provis_fast import storage, units
from provis_fast.cli import main
from provis_fast.errors import ArgumentError, ResultError

PROPERTIES = ("amino_acid", "contact", "secondary_structure", "binding_site")
OPTIONS = {"weighting": "both", "batch_tokens": 500}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return corpus_cases.write_corpus(tmp_path_factory.mktemp("corpus") / "data", 300)


@pytest.fixture(scope="module")
def whole(bert, corpus, tmp_path_factory):
    """The result of the corpus in one piece, and its folder."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    result = pf.analyze(bert, corpus, PROPERTIES, **OPTIONS)
    result.save(folder)
    assert result.arcs.sum() > 1000 and result.failed > 10 and result.skipped > 10
    assert result.remarks.count("noted") > 5
    return result, folder


@pytest.mark.parametrize("of", [1, 2, 7])
def test_all_shards_in_any_order_are_the_whole(bert, corpus, whole, tmp_path, of):
    parts = []
    for index in range(1, of + 1):
        part = pf.analyze(bert, corpus, PROPERTIES, shard=(index, of), **OPTIONS)
        part.save(tmp_path / str(index))
        parts.append(storage.load(tmp_path / str(index), allow_partial=True))
        assert parts[-1].equals(part) and part.complete == (of == 1)
    assert sum(part.analysed for part in parts) == whole[0].analysed
    assert sum(part.read for part in parts) == whole[0].read
    for seed in range(3):
        random.Random(seed).shuffle(parts)
        merged = pf.merge(parts)
        assert merged.equals(whole[0])
    merged.save(tmp_path / "merged")
    corpus_cases.assert_same_files(tmp_path / "merged", whole[1])
    if of == 7:  # merging in steps is the same
        first = pf.merge(parts[:3], allow_partial=True)
        second = pf.merge(parts[3:], allow_partial=True)
        assert not first.complete and pf.merge([second, first]).equals(whole[0])


def test_what_is_missing_or_too_much_is_named(bert, tmp_path):
    proteins = analysis_cases.random_proteins([30] * 20)

    def shard(index, of):
        return pf.analyze(bert, proteins, shard=(index, of), batch_tokens=64)

    one, two, three = (shard(index, 3) for index in (1, 2, 3))
    with pytest.raises(ResultError, match=r"shard 2 of 3 is missing .*--allow-partial"):
        pf.merge([three, one])
    partial = pf.merge([three, one], allow_partial=True)
    assert not partial.complete and partial.shard.parts == (1, 3) and partial.shard.missing == (2,)
    partial.save(tmp_path / "partial")
    with pytest.raises(ResultError, match="holds shard 1, 3 of 3"):
        storage.load(tmp_path / "partial")
    assert storage.load(tmp_path / "partial", allow_partial=True).equals(partial)
    for allowed in (False, True):
        options = {"allow_overlap": allowed, "allow_partial": allowed}
        with pytest.raises(ResultError, match="two results hold shard 1 of 3"):
            pf.merge([one, two, one], **options)
        with pytest.raises(ResultError, match="shards of 3, another shards of 4"):
            pf.merge([one, two, shard(3, 4)], **options)
    with pytest.raises(ResultError, match="two results hold shard 3 of 3"):
        pf.merge([partial, three])
    with pytest.raises(ResultError, match="would count twice"):
        pf.merge([one, two, three, pf.analyze(bert, proteins, batch_tokens=64)])
    with pytest.raises(ResultError, match="threshold"):
        pf.merge([one, pf.analyze(bert, proteins, threshold=0.5, shard=(2, 3), batch_tokens=64)])
    with pytest.raises(ArgumentError, match="shard: expected"):
        shard(4, 3)


def test_shards_beside_results_of_other_inputs(bert):
    corpora = [analysis_cases.random_proteins([30] * 9, seed=seed) for seed in range(3)]
    for seed, proteins in enumerate(corpora):
        corpora[seed] = [pf.Protein(f"{seed}{p.id}", p.sequence) for p in proteins]
    corpora[1].append(pf.Protein("odd", "J"))
    options = {"batch_tokens": 64}
    expected = pf.merge([pf.analyze(bert, proteins, **options) for proteins in corpora])
    a = pf.analyze(bert, corpora[0], **options)
    b1, b2 = (pf.analyze(bert, corpora[1], shard=(k, 2), **options) for k in (1, 2))
    c1, c2 = (pf.analyze(bert, corpora[2], shard=(k, 2), **options) for k in (1, 2))
    merged = pf.merge([a, b2, c1, b1, c2])
    assert merged.equals(expected)
    assert merged.set_aside[0]["record"] == 18


def test_a_shard_without_anything_to_do_is_an_empty_result(bert, tmp_path):
    proteins = analysis_cases.random_proteins([30, 40])
    whole = pf.analyze(bert, proteins)
    parts = [pf.analyze(bert, proteins, shard=(index, 5)) for index in range(1, 6)]
    assert [part.analysed for part in parts] == [0, 2, 0, 0, 0]
    parts[0].save(tmp_path / "empty")
    parts[0] = storage.load(tmp_path / "empty", allow_partial=True)
    assert parts[0].read == 0 and pf.merge(parts).equals(whole)


def test_a_shard_of_nothing_but_failures_is_a_result(bert):
    odd = [pf.Protein(f"odd{n}", "J") for n in range(5)]
    parts = [pf.analyze(bert, odd, shard=(index, 2)) for index in (1, 2)]
    assert [part.failed for part in parts] == [0, 5]
    assert pf.merge(parts).failed == 5


def test_duplicates_are_judged_over_the_whole_input(bert, monkeypatch):
    """The second of two stands in another block, and so in another shard."""
    monkeypatch.setattr(units, "BLOCK_RECORDS", 4)
    proteins = analysis_cases.random_proteins([20] * 8)
    records = [*proteins, proteins[1], pf.Protein("p2", "ACDEF")]
    whole = pf.analyze(bert, records)
    assert (whole.skipped, whole.failed) == (1, 1)
    parts = [pf.analyze(bert, records, shard=(index, 3)) for index in (3, 1, 2)]
    assert pf.merge(parts).equals(whole)


def test_notes_that_count_and_what_is_unknown(esm, bert):
    long = analysis_cases.random_proteins([120] * 7)
    for model, name in ((esm, "hydrophobicity"), (bert, "site_record")):
        whole = pf.analyze(model, long, ("amino_acid", name), batch_tokens=130)
        parts = [pf.analyze(model, long, ("amino_acid", name), batch_tokens=130, shard=(k, 3))
                 for k in (1, 2, 3)]  # fmt: skip
        assert len(whole.notes) == 1 and pf.merge(parts).notes == whole.notes


def test_a_background_of_its_own_counts_once(bert):
    proteins = analysis_cases.random_proteins([30] * 7)
    options = dict(compat="provis", background=analysis_cases.random_proteins([50, 60], seed=9))
    options |= dict(properties=("amino_acid", "site_record"), batch_tokens=64)
    whole = pf.analyze(bert, proteins, **options)
    parts = [pf.analyze(bert, proteins, shard=(k, 3), **options) for k in (2, 3, 1)]
    merged = pf.merge(parts)
    assert merged.equals(whole)
    assert list(merged.notes) == ["site_record: known for no residue of any analysed protein"]
    np.testing.assert_array_equal(merged.background["amino_acid"], whole.background["amino_acid"])


def test_the_command_line(tmp_path, capsys):
    model = analysis_cases.save_bert(tmp_path / "bert")
    corpus = corpus_cases.write_corpus(tmp_path / "data", 60)
    command = ["analyze", str(model), str(corpus), "--batch-tokens", "300"]
    assert main([*command, "--out", str(tmp_path / "whole")]) == 3
    outs = [str(tmp_path / name) for name in ("one", "two")]
    for index, out in enumerate(outs, start=1):
        assert main([*command, "--shard", f"{index}/2", "--out", out]) in (0, 3)
    assert "Incomplete: shard 2 of 2 of the input" in capsys.readouterr().out
    assert main([*command, "--shard", "2/2", "--out", outs[0]]) == 2
    assert "shard: 1 of 2 there, 2 of 2 now" in capsys.readouterr().err
    merged = ["--out", str(tmp_path / "merged")]
    assert main(["merge", outs[1], *merged]) == 2
    assert "shard 1 of 2 is missing" in capsys.readouterr().err
    assert main(["merge", *reversed(outs), *merged]) == 0
    corpus_cases.assert_same_files(tmp_path / "merged", tmp_path / "whole")
    for bad in ("0/2", "3/2", "2", "a/b", "1/0"):
        assert main([*command, "--shard", bad, *merged]) == 2
        assert f"expected i/n with i from 1 to n, like 2/8, got '{bad}'" in capsys.readouterr().err
