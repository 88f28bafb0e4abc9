"""What may go wrong in an analysis, and what then becomes of it."""

from __future__ import annotations

import dataclasses
import threading

import analysis_cases
import numpy as np
import pytest
import torch

import provis_fast as pf
from provis_fast import plan
from provis_fast.accumulate import BatchStatistics
from provis_fast.engine import Interrupted
from provis_fast.errors import ArgumentError, InputError, ModelError
from provis_fast.proteins import LazyLabels
from provis_fast.worker import Worker

PROPERTIES = ("amino_acid", "contact", "secondary_structure", "binding_site", "amino_acid_pair")


def test_too_long_is_skipped_or_cut(bert, caplog):
    proteins = analysis_cases.random_proteins([128, 129, 400])
    result = pf.analyze(bert, proteins, PROPERTIES)
    assert result.analysed == 1
    assert [(a["id"], a["status"]) for a in result.set_aside] == [
        ("p1", "skipped"),
        ("p2", "skipped"),
    ]
    assert "129 residues" in result.set_aside[0]["reason"]
    assert "--max-length 128" in result.set_aside[0]["reason"]

    cut = pf.analyze(bert, proteins, PROPERTIES, max_length=100)
    assert cut.analysed == 3
    assert cut.residues == 300
    assert "p2: cut from 400 to 100 residues" in cut.notes
    short = [
        dataclasses.replace(
            p,
            sequence=p.sequence[:100],
            labels={name: labels[:100] for name, labels in p.labels.items()},
            ca=p.ca[:100],
            cb=p.cb[:100],
        )
        for p in proteins
    ]
    expected = pf.analyze(bert, short, PROPERTIES)
    for name in PROPERTIES:
        np.testing.assert_array_equal(cut.eligible[name], expected.eligible[name])
        np.testing.assert_array_equal(cut.background[name], expected.background[name])
    for name in ("contact", "binding_site", "amino_acid"):
        np.testing.assert_array_equal(cut.counts[name], expected.counts[name])
    # A cut that still does not fit is no reason to cut further.
    assert pf.analyze(bert, proteins, max_length=200).skipped == 2


def test_longer_than_trained_is_one_warning_and_one_note(esm, caplog):
    proteins = analysis_cases.random_proteins([98, 99, 300])
    result = pf.analyze(esm, proteins)
    assert result.analysed == 3
    assert len([r for r in caplog.records if "trained on" in r.getMessage()]) == 1
    assert [note for note in result.notes if note.startswith("2 protein(s) longer than the 98")]


def test_a_pack_that_is_too_large_is_halved_and_halved_again(bert, monkeypatch):
    """Only two of eight fit: 8, then twice 4, then four times 2; nothing goes one by one."""
    proteins = analysis_cases.random_proteins([30] * 8)
    expected = pf.analyze(bert, proteins, PROPERTIES, batch_tokens=64)
    usual, sizes = Worker._forward, []

    def scarce(self, pack, room):
        sizes.append(len(pack.entries))
        if sizes[-1] > 2:
            raise MemoryError
        return usual(self, pack, room)

    monkeypatch.setattr(Worker, "_forward", scarce)
    result = pf.analyze(bert, proteins, PROPERTIES, batch_tokens=1000)
    assert sizes == [8, 4, 2, 2, 4, 2, 2] and result.analysed == 8
    assert result.totals.equals(expected.totals)


def test_bad_proteins_are_set_aside_and_the_rest_goes_on(bert):
    good = analysis_cases.random_proteins([20, 30, 40])
    bad = pf.Protein("odd", "ACDJEF")
    prop = pf.KeyClass(
        "mine", ["yes"], {"p0": [1] * 20, "p1": [1, 0], "p2": [0] * 40, "odd": [1] * 6}
    )
    records = [bad, *good, pf.Protein("p2", "ACD")]
    result = pf.analyze(bert, records, ["amino_acid", prop])
    assert result.analysed == 2 and result.read == 5
    reasons = {(a["id"], a["status"]): a["reason"] for a in result.set_aside}
    assert set(reasons) == {("odd", "failed"), ("p1", "failed"), ("p2", "failed")}
    assert "'J'" in reasons["odd", "failed"]
    assert "'p1'" in reasons["p1", "failed"] and "shape [30]" in reasons["p1", "failed"]
    assert [a["id"] for a in result.set_aside] == ["odd", "p1", "p2"]  # the input's order
    alone = pf.analyze(bert, [good[0], good[2]], ["amino_acid", prop])
    np.testing.assert_array_equal(result.arcs, alone.arcs)


def test_an_unreadable_file_is_set_aside_and_the_rest_goes_on(bert, tmp_path):
    (tmp_path / "good.fa").write_text(">p\nACDEF\n")
    (tmp_path / "gone.fa").symlink_to(tmp_path / "absent.fa")
    result = pf.analyze(bert, tmp_path)
    assert (result.analysed, result.failed) == (1, 1)
    assert result.set_aside[0]["id"] == "gone.fa"
    gone, good = sorted(result.inputs, key=lambda entry: "error" not in entry)
    assert gone["sha256"] is None and "No such file" in gone["error"] and good["sha256"]
    result.save(tmp_path / "out")
    assert pf.load_result(tmp_path / "out").equals(result)


def test_one_residue_and_nothing_known(bert):
    lonely = pf.Protein("one", "A")
    blank = pf.Protein("blank", "XXXX", labels={"binding_site": np.full(4, -1)})
    result = pf.analyze(bert, [lonely, blank], PROPERTIES)
    assert result.analysed == 2
    assert result.residues == 5
    for name in ("binding_site", "contact", "secondary_structure"):
        assert not result.eligible[name].any()
        assert np.isnan(result.background[name]).all()
        assert f"{name}: known for no residue of any analysed protein" in result.notes
    assert result.background["amino_acid"][-1] == 4 / 5


def test_nothing_to_analyse(bert):
    odd = [pf.Protein(f"odd{n}", "J", source="in.fasta") for n in range(7)]
    with pytest.raises(InputError, match="no protein could be analysed, of 7 read") as caught:
        pf.analyze(bert, odd)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("failed: odd0 (in.fasta): ") and "'J'" in lines[1]
    assert len(lines) == 7 and lines[-1] == "... and 2 more"
    too_long = analysis_cases.random_proteins([400])
    with pytest.raises(InputError, match=r"skipped: p0: 400 residues, but"):
        pf.analyze(bert, too_long)


def test_what_is_missing_is_told(bert, caplog):
    proteins = [*analysis_cases.random_proteins([20, 400, 30]), pf.Protein("odd", "J")]
    result = pf.analyze(bert, proteins)
    assert "2 proteins, " in repr(result) and repr(result).endswith("; 1 skipped; 1 failed>")
    told = [r.getMessage() for r in caplog.records if "not analysed" in r.getMessage()]
    (line,) = told
    assert line.startswith("2 of 4 records were not analysed: 1 skipped, 1 failed; the reasons are")
    assert "set_aside, such as: failed: odd: residue 1 is 'J'" in line
    whole = pf.analyze(bert, proteins[:1])
    assert "skipped" not in repr(whole) and len(caplog.records) == 1


def test_a_cut_that_is_too_long_is_told_with_both_lengths(bert):
    proteins = analysis_cases.random_proteins([20, 400])
    result = pf.analyze(bert, proteins, max_length=200)
    reason = result.set_aside[0]["reason"]
    assert reason.startswith("400 residues, of which max_length=200 keeps 200, but")


def test_not_finite_sets_the_guilty_aside_alone(bert):
    """Letter U has NaN for an embedding: packs with a U run again, protein by protein."""
    proteins = analysis_cases.random_proteins([30] * 8, seed=5)
    poisoned = [
        dataclasses.replace(p, sequence="U" + p.sequence[1:]) if k in (2, 5) else p
        for k, p in enumerate(proteins)
    ]
    number = bert.tokens.encode("U")[1]
    embedding = bert.module.embeddings.word_embeddings.weight
    # B, Z, U and O share X's token here.
    with torch.no_grad():
        usual = embedding[number].clone()
        embedding[number] = float("nan")
    try:
        result = pf.analyze(bert, poisoned, PROPERTIES)
    finally:
        with torch.no_grad():
            embedding[number] = usual
    assert {a["id"] for a in result.set_aside} == {"p2", "p5"}
    assert all("NaN" in a["reason"] and a["status"] == "failed" for a in result.set_aside)
    clean = pf.analyze(bert, [p for k, p in enumerate(proteins) if k not in (2, 5)], PROPERTIES)
    np.testing.assert_array_equal(result.arcs, clean.arcs)
    np.testing.assert_array_equal(result.background["amino_acid"], clean.background["amino_acid"])
    assert result.analysed == 6


@pytest.mark.parametrize("error", [ZeroDivisionError("no backbone"), KeyError("C"), MemoryError()])
def test_labels_that_cannot_be_computed_set_their_protein_aside(bert, error):
    """KeyError too, which Mapping.get would turn into "unknown" without a word."""

    def fail():
        raise error

    good = analysis_cases.random_proteins([20, 30])
    bad = pf.Protein("bad", "ACDEF", labels=LazyLabels({}, {"secondary_structure": fail}))
    for name in ("secondary_structure", "secondary_structure_query"):
        result = pf.analyze(bert, [good[0], bad, good[1]], name)
        assert result.analysed == 2
        (aside,) = result.set_aside
        assert (aside["id"], aside["status"]) == ("bad", "failed")
        assert "protein 'bad': labels['secondary_structure']" in aside["reason"]
        assert type(error).__name__ in aside["reason"]
    assert pf.analyze(bert, [good[0], bad], "amino_acid").analysed == 2


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["forward", "attend", "add_to"])
def test_out_of_memory_once_changes_nothing(bert, monkeypatch, error, where):
    proteins = analysis_cases.random_proteins([30] * 6)
    expected = pf.analyze(bert, proteins, PROPERTIES, batch_tokens=1)
    owner = Worker if where == "forward" else BatchStatistics
    name = "_forward" if where == "forward" else where
    usual, calls = getattr(owner, name), []

    def scarce(*args, **named):
        calls.append(args)
        if len(calls) == 1:
            raise error
        return usual(*args, **named)

    monkeypatch.setattr(owner, name, scarce)
    result = pf.analyze(bert, proteins, PROPERTIES, batch_tokens=1000)
    assert len(calls) >= 3 and (result.analysed, result.failed) == (6, 0)
    (note,) = result.notes
    assert note.startswith("1 pack(s) of proteins did not fit into memory and were run in halves")
    assert result.totals.equals(expected.totals)
    np.testing.assert_array_equal(result.protein_digests, expected.protein_digests)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["forward", "pack", "encode"])
def test_out_of_memory_always_sets_the_guilty_aside(bert, monkeypatch, error, where):
    """The reading thread may run out of memory too, while it prepares a pack or a protein."""
    proteins = analysis_cases.random_proteins([30, 31, 32, 90, 33])
    expected = pf.analyze(bert, [*proteins[:3], proteins[4]], PROPERTIES, batch_tokens=1)
    owner = Worker if where == "forward" else plan.PackPlanner
    usual = getattr(owner, f"_{where}" if where != "pack" else where)

    def ids(item):
        entries = getattr(item, "entries", item)
        return [x.id for x in entries] if isinstance(entries, (list, tuple)) else []

    def scarce(self, *args):
        if any("p3" in ids(x) or getattr(x, "id", "") == "p3" for x in args):
            raise error
        return usual(self, *args)

    monkeypatch.setattr(owner, f"_{where}" if where != "pack" else where, scarce)
    result = pf.analyze(bert, proteins, PROPERTIES, batch_tokens=1000)
    assert [(a["id"], a["status"]) for a in result.set_aside] == [("p3", "failed")]
    assert "not enough memory for this protein" in result.set_aside[0]["reason"]
    assert (result.analysed, result.residues) == (4, expected.residues)
    np.testing.assert_array_equal(result.arcs, expected.arcs)
    np.testing.assert_array_equal(result.background["contact"], expected.background["contact"])


def test_other_errors_of_a_forward_pass_are_not_hidden(bert, monkeypatch):
    def broken(self, pack, room):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Worker, "_forward", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        pf.analyze(bert, analysis_cases.random_proteins([5]))


def test_interruption_keeps_what_was_done(bert):
    proteins = analysis_cases.random_proteins([60] * 10)
    done = []

    def progress(proteins, tokens, total):
        done.append(proteins)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        pf.analyze(bert, proteins, batch_tokens=64, progress=progress)
    partial = caught.value.partial
    assert isinstance(caught.value, KeyboardInterrupt)
    assert not partial.complete
    assert partial.analysed == 3
    np.testing.assert_array_equal(
        partial.arcs, pf.analyze(bert, proteins[:3], batch_tokens=64).arcs
    )
    assert not [t for t in threading.enumerate() if "prefetch" in t.name]
    assert bert.module.config._attn_implementation != "provis_fast"


def test_errors_of_the_reading_thread_arrive(bert):
    class Broken(pf.Contact):
        def rows(self, protein):
            raise ZeroDivisionError("a mistake of ours")

    with pytest.raises(ZeroDivisionError, match="of ours"):
        pf.analyze(bert, analysis_cases.random_proteins([5]), Broken())
    assert not [t for t in threading.enumerate() if "prefetch" in t.name]


@pytest.mark.parametrize("kind", ["KeyClass", "KeyValue", "Pair"])
def test_a_user_function_that_raises_sets_its_protein_aside(bert, kind):
    def function(protein):
        if protein.id == "p1":
            raise ZeroDivisionError("no such residue")

    prop = getattr(pf, kind)("mine", *((["a"],) if kind == "KeyClass" else ()), function)
    result = pf.analyze(bert, analysis_cases.random_proteins([5, 6, 7]), prop)
    (aside,) = result.set_aside
    assert (result.analysed, aside["id"], aside["status"]) == (2, "p1", "failed")
    assert (
        "property 'mine', protein 'p1': your function raised ZeroDivisionError: no such"
        in (aside["reason"])
    )


def test_progress_tells_proteins_tokens_and_the_total(bert):
    seen = []
    records = [*analysis_cases.random_proteins([60] * 5), pf.Protein("odd", "J")]
    pf.analyze(bert, records, batch_tokens=64, progress=lambda *a: seen.append(a))
    assert seen[-1] == (6, 310, 6)
    # The odd one, planned as the shortest, is known first.
    assert [s[:2] for s in seen[:3]] == [(1, 0), (2, 62), (3, 124)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0}, "threshold"),
        ({"threshold": 1.01}, "threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"threshold": ()}, "threshold"),
        ({"threshold": (0.3, 0.3)}, "threshold"),
        ({"threshold": "0.3"}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"layers": [3]}, "layers: expected numbers from 0 to 2"),
        ({"layers": [-1]}, "layers"),
        ({"layers": []}, "layers"),
        ({"layers": [0, 0]}, "layers"),
        ({"layers": 1}, "layers"),
        ({"weighting": "mass"}, "weighting"),
        ({"batch_tokens": 0}, "batch_tokens"),
        ({"max_length": -3}, "max_length"),
        ({"min_arcs": -1}, "min_arcs"),
        ({"threads": 0}, "threads"),
        ({"threads": 1025}, "threads: expected an integer from 1 to 1024, got 1025"),
        ({"compat": "tape"}, "compat"),
        ({"background": []}, "background"),
        ({"compat": "provis", "max_length": 100}, "max_length"),
        ({"compat": "provis", "properties": "charge"}, "charge"),
        ({"properties": "contacts"}, "did you mean 'contact'"),
    ],
)
def test_bad_arguments(bert, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        pf.analyze(bert, analysis_cases.random_proteins([5]), **arguments)


def test_a_model_whose_attention_never_comes_is_an_error(bert, monkeypatch):
    monkeypatch.setattr(Worker, "_attend", lambda self, layer, q, *rest: q.transpose(1, 2))
    with pytest.raises(ModelError, match="never reached"):
        pf.analyze(bert, analysis_cases.random_proteins([5]))
