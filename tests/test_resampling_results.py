"""Replicates in results: saved, merged, continued, computed elsewhere; and what is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import random

import analysis_cases
import corpus_cases
import numpy as np
import pandas as pd
import pytest
import resampling_cases as cases
from result_cases import Batch, empty_result
from safetensors.numpy import load_file, save_file

import provis_fast as pf
from provis_fast import storage
from provis_fast.analysis_run import AnalysisRun
from provis_fast.cli import main
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.measures import MAX_BYTES, Measures
from provis_fast.plan import plan_packs
from provis_fast.totals import LATER
from provis_fast.worker import Worker

OPTIONS = dict(weighting="both", batch_tokens=500, **cases.REPLICATES)
PROPERTIES = ("amino_acid", "contact", "secondary_structure", "separation")


def random_result(seed, n_proteins=3, **changes):
    """Of random numbers, with four bootstrap replicates and two permutations."""
    result = empty_result(**({"n_bootstrap": 4, "n_permutations": 2} | changes))
    batch = Batch.random(seed, n_proteins)
    shifted = 2 * (batch.arc_counts.shape[-1] - 1) if result.n_permutations else 0
    rng = np.random.default_rng(seed)

    def wider(array):
        more = rng.integers(0, 10**4, (*array.shape[:-1], shifted))
        return np.concatenate([array, more], axis=-1)

    parts = (wider(batch.arc_counts), wider(batch.mass), batch.entropy)
    digests = rng.integers(0, 2**64, n_proteins, dtype=np.uint64)
    numbers = (batch.background_num, batch.background_den)
    result.add(*parts, *numbers, 100 * n_proteins, digests)
    result.protein_digests = np.sort(digests)
    return result


def assert_same_replicates(one, other):
    for name in ("bootstrap", "permutations"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert list(mine) == list(theirs)
        for prop in mine:
            for a, b in zip(mine[prop], theirs[prop], strict=True):
                if a is None or b is None:
                    assert a is None and b is None
                else:
                    np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return corpus_cases.write_corpus(tmp_path_factory.mktemp("corpus") / "data", 300)


@pytest.fixture(scope="module")
def whole(bert, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "out"
    result = pf.analyze(bert, corpus, PROPERTIES, **OPTIONS)
    result.save(folder)
    assert result.arcs.sum() > 1000 and result.failed > 10
    assert result.permutations["contact"].counts.sum() > 10
    return result, folder


def test_round_trip(tmp_path):
    for n_bootstrap, n_permutations in ((4, 2), (0, 2), (4, 0)):
        given = dict(n_bootstrap=n_bootstrap, n_permutations=n_permutations)
        result = random_result(1, **given)
        result.save(tmp_path / "out")
        again = storage.load(tmp_path / "out")
        assert again.equals(result)
        assert (again.n_bootstrap, again.n_permutations) == (n_bootstrap, n_permutations)
    options = json.loads((tmp_path / "out" / "manifest.json").read_text())["options"]
    assert (options["bootstrap"], options["permutations"]) == (4, 0)
    result = random_result(2)
    for copied in (result.copy(), pickle.loads(pickle.dumps(result))):
        assert copied.equals(result)
        assert_same_replicates(copied, result)
        copied.add_result(random_result(3))
        assert not copied.equals(result) and result.equals(random_result(2))


def test_the_files_tell_which_totals_there_are(tmp_path):
    random_result(1).save(tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "counts.safetensors")
    channels = empty_result().totals.channels.count
    assert tensors["bootstrap.arc_counts.hi"].shape == (4, 2, 2, 3, channels)
    assert tensors["bootstrap.mass.lo"].shape == (4, 2, 3, channels)
    assert tensors["bootstrap.background_num.lo"].shape == (4, 5)
    assert tensors["bootstrap.background_den.lo"].shape == (4, 3)
    assert tensors["permutations.arc_counts.hi"].shape == (2, 2, 2, 3, channels - 1)
    assert tensors["permutations.mass.hi"].shape == (2, 2, 3, channels - 1)
    assert not [name for name in tensors if name.startswith("permutations.back")]


def _as_version(folder, version):
    """Turn a result without replicates into one that an earlier release wrote."""
    path = folder / "manifest.json"
    head = json.loads(path.read_text())
    head["format_version"] = version
    for name in ("bootstrap", "permutations"):
        del head["options"][name]
    counts = folder / "counts.safetensors"
    tensors = {n: t for n, t in load_file(counts).items() if not n.startswith(LATER)}
    save_file(tensors, counts)
    head["files"]["counts.safetensors"] = hashlib.sha256(counts.read_bytes()).hexdigest()
    if version == 1:
        del head["counted_notes"]
        (folder / "failed.tsv").unlink()
    path.write_text(json.dumps(head))


@pytest.mark.parametrize("version", [1, 2])
def test_results_of_earlier_versions_are_read(tmp_path, version):
    result = random_result(1, n_bootstrap=0, n_permutations=0)
    result.save(tmp_path / "out")
    _as_version(tmp_path / "out", version)
    again = storage.load(tmp_path / "out")
    assert again.n_bootstrap == again.n_permutations == 0
    known = {name: total for name, total in result.totals.items() if name != LATER}
    assert all(known[name].equals(total) for name, total in again.totals.items())
    assert dict(again.totals.items()).keys() == known.keys()
    again.save(tmp_path / "out")  # as one of this version
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["format_version"] == 3
    assert storage.load(tmp_path / "out").equals(again)


def test_what_earlier_versions_did_not_keep_is_not_known(tmp_path):
    new, other = (random_result(seed, n_bootstrap=0, n_permutations=0) for seed in (1, 2))
    new.save(tmp_path / "out")
    _as_version(tmp_path / "out", 2)
    old = storage.load(tmp_path / "out")
    assert old.moments["kind"].nnb is None and new.moments["kind"].nnb is not None
    mine, theirs = new.infer(), old.infer()
    intervals = ["excess_low", "excess_high"]
    assert mine[intervals].notna().any().all() and theirs[intervals].isna().all().all()
    pd.testing.assert_frame_equal(mine.drop(columns=intervals), theirs.drop(columns=intervals))
    # Pooled with one that does know, in whatever order, it is known of one part only.
    for parts in ([old, other], [other, old]):
        pooled = pf.merge(parts)
        assert pooled.moments["kind"].nnb is None
        assert pooled.totals["moments.ynb"].equals(pf.merge([new, other]).totals["moments.ynb"])
    assert other.moments["kind"].nnb is not None


def test_a_result_without_replicates_says_how_to_have_them():
    result = empty_result()
    for name in ("bootstrap", "permutations"):
        message = rf"{name}: not part of this result; analyse with {name}=N \(--{name}\)"
        with pytest.raises(ResultError, match=message):
            getattr(result, name)


def test_counts_that_do_not_belong_to_the_manifest_are_noticed(tmp_path):
    random_result(1).save(tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    head = json.loads(path.read_text())
    head["options"]["bootstrap"] = 5
    path.write_text(json.dumps(head))
    with pytest.raises(ResultError, match=r"do not fit together.*bootstrap.arc_counts: expected"):
        storage.load(tmp_path / "out")


def test_merging_is_exact_and_in_any_order():
    parts = [random_result(seed) for seed in (1, 2, 3)]
    left = pf.merge([pf.merge(parts[:2]), parts[2]])
    right = pf.merge([parts[2], pf.merge([parts[1], parts[0]])])
    assert left.totals.equals(right.totals)
    assert_same_replicates(left, right)
    summed = sum(part.bootstrap["kind"].counts for part in parts)
    np.testing.assert_array_equal(left.bootstrap["kind"].counts, summed)


@pytest.mark.parametrize("name", ["bootstrap", "permutations"])
def test_other_numbers_of_replicates_do_not_merge(name):
    other = random_result(2, **{f"n_{name}": 3 if name == "bootstrap" else 0})
    expected = "3" if name == "bootstrap" else "0"
    with pytest.raises(ResultError, match=rf"\n  {name}: . in result 1, {expected} in result 2"):
        pf.merge([random_result(1), other])


@pytest.mark.parametrize("of", [1, 2, 7])
def test_shards_in_any_order_are_the_whole(bert, corpus, whole, tmp_path, of):
    parts = []
    for index in range(1, of + 1):
        part = pf.analyze(bert, corpus, PROPERTIES, shard=(index, of), **OPTIONS)
        part.save(tmp_path / str(index))
        parts.append(storage.load(tmp_path / str(index), allow_partial=True))
    random.Random(of).shuffle(parts)
    merged = pf.merge(parts)
    assert merged.equals(whole[0])
    merged.save(tmp_path / "merged")
    corpus_cases.assert_same_files(tmp_path / "merged", whole[1])


def test_the_order_of_proteins_does_not_matter(bert):
    """One protein to a pack, so that attention is the same whatever came before."""
    proteins = cases.proteins([30, 50, 41, 12, 77, 60])
    options = OPTIONS | {"batch_tokens": 1}
    forward = pf.analyze(bert, proteins, PROPERTIES, **options)
    backward = pf.analyze(bert, proteins[::-1], PROPERTIES, **options)
    assert forward.totals.equals(backward.totals)


class Killed(BaseException):
    """Ends a run without leaving it time for anything."""


def test_a_killed_run_goes_on_to_the_same_result(bert, corpus, whole, tmp_path, monkeypatch):
    run, keep, left = Worker.run, AnalysisRun.checkpoint, [3]

    def counted(self, prepared):
        if not left[0]:
            raise Killed
        left[0] -= 1
        run(self, prepared)

    monkeypatch.setattr(Worker, "run", counted)
    monkeypatch.setattr(AnalysisRun, "checkpoint", lambda self: left[0] and keep(self))
    options = OPTIONS | dict(checkpoint=tmp_path / "state", checkpoint_seconds=0)
    for _ in range(4):
        left[0] = 3
        with pytest.raises(Killed):
            pf.analyze(bert, corpus, PROPERTIES, **options)
    for name in ("bootstrap", "permutations"):
        with pytest.raises(ResultError, match=rf"\n  {name}: {OPTIONS[name]} there, 1 now\n"):
            pf.analyze(bert, corpus, PROPERTIES, **(options | {name: 1}))
    left[0] = -1
    result = pf.analyze(bert, corpus, PROPERTIES, **options)
    assert len(result.run) == 5 and result.equals(whole[0])


def test_workers_and_packs_run_in_parts_give_the_same(bert, corpus, whole, in_threads, monkeypatch):
    result = pf.analyze(bert, corpus, PROPERTIES, workers=2, threads=1, **OPTIONS)
    assert result.equals(whole[0])
    # A pack that does not fit into memory is run in halves.
    attempt = Worker._attempt

    def too_large(self, unit, entries, pack, room):
        if len(entries) > 4:
            from provis_fast.worker import _Failure

            return _Failure("no memory", memory=True)
        return attempt(self, unit, entries, pack, room)

    monkeypatch.setattr(Worker, "_attempt", too_large)
    halved = pf.analyze(bert, corpus, PROPERTIES, **OPTIONS)
    assert any("were run in halves" in note for note in halved.notes)
    for name, total in whole[0].totals.items():
        assert np.abs(total.to_float64() - halved.totals[name].to_float64()).max() <= (
            1e-5 * np.abs(total.to_float64()).max()
        ), name


def test_processes_give_the_same(bert, corpus, whole):
    result = pf.analyze(bert, corpus, PROPERTIES, workers=2, threads=1, **OPTIONS)
    assert result.equals(whole[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *[
            ({name: n}, f"{name}: expected an integer (of at least|from) 0")
            for name in ("bootstrap", "permutations")
            for n in (-1, 1.0, True, "20", None)
        ],
        ({"bootstrap": 10_001}, "bootstrap: .* 10000, got 10001"),
        ({"permutations": 1_001}, "permutations: .* 1000, got 1001"),
        ({"permutations": 1, "properties": ()}, "permutations: .* shifted, got no property"),
        ({"permutations": 1, "properties": "separation"}, "permutations: .* got separation; add"),
        (
            {"permutations": 1000, "properties": "amino_acid_pair", "layers": 33},
            r"permutations: .* at most 512 MiB, got 1000 .* 33 layers x 20 heads, which take",
        ),
        (
            {"bootstrap": 9000, "properties": "amino_acid_pair", "layers": 33},
            r"bootstrap: .* at most 2,048 MiB, got 9000 .* which take 40,[0-9]+; ask for fewer",
        ),
    ],
)
def test_bad_numbers_are_refused(options, message):
    n_layers = options.pop("layers", 2) if "layers" in options else 2
    given = dict(properties="amino_acid", threshold=0.3, layers=None, n_layers=n_layers, n_heads=20)
    with pytest.raises(ArgumentError, match=message):
        Measures.checked(**(given | options))


def test_permutations_bound_how_many_proteins_run_together():
    given = dict(properties="amino_acid_pair", threshold=0.3, layers=None, n_layers=33, n_heads=20)
    assert Measures.checked(**given).most_sequences is None
    many = Measures.checked(**given, permutations=100)
    of_each = 8 * 33 * 20 * (1 + 442 * 101)
    assert many.most_sequences == MAX_BYTES // of_each == 2
    assert plan_packs([5, 3, 9, 2, 4], 100, 2) == [[3, 1], [4, 0], [2]]


def test_a_protein_whose_shifted_maps_are_too_large_is_set_aside(bert, monkeypatch):
    monkeypatch.setattr("provis_fast.plan.MAX_MAP_BYTES", 5 * 2 * 63 * 8)  # of 61 residues
    proteins = cases.proteins([60, 61, 30])
    result = pf.analyze(bert, proteins, PROPERTIES, permutations=5)
    assert result.analysed == 3
    result = pf.analyze(bert, proteins, PROPERTIES, permutations=6)
    assert [entry["id"] for entry in result.set_aside] == ["p0", "p1"]
    assert "ask for fewer permutations, or cut" in result.set_aside[0]["reason"]
    assert pf.analyze(bert, proteins, "amino_acid", permutations=6).analysed == 3


def test_the_command_line(tmp_path, capsys):
    model = analysis_cases.save_bert(tmp_path / "bert")
    corpus = corpus_cases.write_corpus(tmp_path / "data", 60)
    out = tmp_path / "out"
    command = ["analyze", str(model), str(corpus), "--properties", ",".join(PROPERTIES)]
    command += ["--batch-tokens", "500", "--weighting", "both"]
    replicates = ["--bootstrap", "12", "--permutations", "5"]
    assert main([*command, *replicates, "--out", str(out)]) == 3
    found = pf.load_result(out)
    expected = pf.analyze(pf.load_model(model, device="cpu"), corpus, PROPERTIES, **OPTIONS)
    assert_same_replicates(found, expected)
    capsys.readouterr()
    assert main([*command, *replicates, "--out", str(out)]) == 3
    assert "holds the result of this run already" in capsys.readouterr().err
    assert main([*command, "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert "bootstrap: 12 there, 0 now" in told and "permutations: 5 there, 0 now" in told
    for option in ("--bootstrap", "--permutations"):
        assert main([*command, option, "-1", "--out", str(tmp_path / "new")]) == 2
        assert f"{option}: expected a whole number" in capsys.readouterr().err
        assert main([*command, option, "20000", "--out", str(tmp_path / "new")]) == 2
        assert f"{option[2:]}: expected an integer from 0 to 1" in capsys.readouterr().err
