"""Checkpoints: going on to the same bytes, refusing what is another run's, disks that are full."""

from __future__ import annotations

import errno
import json
import logging
import os
import random

import analysis_cases
import corpus_cases
import pytest
from safetensors.numpy import load_file, save_file

import provis_fast as pf
from provis_fast import checkpoint, storage
from provis_fast.analysis_run import AnalysisRun
from provis_fast.cli import main
from provis_fast.engine import Interrupted
from provis_fast.errors import ArgumentError, InputError, ResultError
from provis_fast.units import Done
from provis_fast.worker import Worker

OPTIONS = {"properties": ("amino_acid", "contact"), "weighting": "both", "batch_tokens": 300}


class Killed(BaseException):
    """Ends a run without leaving it time for anything."""


@pytest.fixture
def kill(monkeypatch):
    """Make runs end as if killed once so many more units were run; a clock ticks with each unit."""
    state = {"left": None, "ran": [], "now": 0.0}
    run, keep = Worker.run, AnalysisRun.checkpoint

    def counted(self, prepared):
        if state["left"] == 0:
            raise Killed
        if state["left"] is not None:
            state["left"] -= 1
        run(self, prepared)
        state["ran"].append(prepared.key)
        state["now"] += 1

    def unless_killed(self):
        if state["left"] != 0:
            keep(self)

    monkeypatch.setattr(Worker, "run", counted)
    monkeypatch.setattr(AnalysisRun, "checkpoint", unless_killed)
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: state["now"])
    return state


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return corpus_cases.write_corpus(tmp_path_factory.mktemp("corpus") / "data", 300)


@pytest.fixture(scope="module")
def whole(bert, corpus):
    result = pf.analyze(bert, corpus, **OPTIONS)
    assert result.arcs.sum() > 1000
    return result


@pytest.mark.parametrize("seconds", [0, 5, 1000])
@pytest.mark.parametrize("shard", [None, (2, 3)])
def test_killed_again_and_again(bert, corpus, whole, tmp_path, kill, seconds, shard):
    rng = random.Random(seconds)
    options = OPTIONS | {"checkpoint": tmp_path / "kept", "checkpoint_seconds": seconds}
    expected = whole if shard is None else pf.analyze(bert, corpus, shard=shard, **OPTIONS)
    kill["ran"].clear()
    kills, redone, result = 0, [], None
    while result is None:
        before = len(kill["ran"])
        # The last session is left alone: without a checkpoint there would be no end.
        kill["left"] = rng.randrange(2, 9) if kills < 8 else None
        try:
            result = pf.analyze(bert, corpus, shard=shard, **options)
        except Killed:
            kills += 1
        new = kill["ran"][before:]
        redone.append(len(set(new) & set(kill["ran"][:before])))
    assert result.equals(expected) and kills >= 2
    assert max(redone) <= seconds + 1
    assert sum(session["tokens"] for session in result.run) == expected.run[0]["tokens"]
    if seconds in (0, 1000):  # sessions that were killed before their first checkpoint left nothing
        assert len(result.run) == (kills + 1 if seconds == 0 else 1)
    # What is finished is not run again.
    kill["left"] = 0
    assert pf.analyze(bert, corpus, shard=shard, **options).equals(expected)


def test_interrupted_by_hand(bert, corpus, whole, tmp_path, caplog):
    caplog.set_level(logging.INFO, checkpoint.__name__)

    def progress(done, tokens, total):
        if done > 100:
            raise KeyboardInterrupt

    options = OPTIONS | {"checkpoint": tmp_path / "kept"}
    with pytest.raises(Interrupted) as caught:
        pf.analyze(bert, corpus, progress=progress, **options)
    partial = caught.value.partial
    assert not partial.complete and 0 < partial.read < whole.read
    ran = []
    result = pf.analyze(bert, corpus, progress=lambda *a: ran.append(a), **options)
    assert result.equals(whole) and len(result.run) == 2
    assert partial.run[0]["tokens"] == result.run[0]["tokens"] and ran[0][0] > partial.read
    (said,) = [r.getMessage() for r in caplog.records if r.name == checkpoint.__name__]
    assert f"{partial.read:,} proteins are done, {partial.analysed:,} analysed and" in said


def test_any_error_leaves_a_checkpoint(bert, corpus, whole, tmp_path, monkeypatch):
    forward, calls = Worker._forward, []

    def broken(self, *arguments):
        calls.append(arguments)
        if len(calls) == 9:
            raise RuntimeError("mat1 and mat2")
        return forward(self, *arguments)

    monkeypatch.setattr(Worker, "_forward", broken)
    options = OPTIONS | {"checkpoint": tmp_path / "kept"}
    with pytest.raises(RuntimeError, match="mat1"):
        pf.analyze(bert, corpus, **options)
    result = pf.analyze(bert, corpus, **options)
    assert result.equals(whole)


@pytest.mark.parametrize("workers", [None, 2])
def test_what_was_absorbed_in_part_is_not_kept(
    bert, corpus, whole, tmp_path, monkeypatch, in_threads, workers
):
    """Totals are added before units are finished: a checkpoint in between would count twice."""
    add, calls = Done.add, []

    def failing(self, key):
        calls.append(key)
        if len(calls) == 5:
            raise MemoryError
        add(self, key)

    options = OPTIONS | {"checkpoint": tmp_path / "kept", "checkpoint_seconds": 0}
    with monkeypatch.context() as patched:
        patched.setattr(Done, "add", failing)
        with pytest.raises(MemoryError):
            pf.analyze(bert, corpus, workers=workers, threads=1, **options)
    assert pf.analyze(bert, corpus, **options).equals(whole)


def test_another_run_is_refused_with_what_differs(bert, esm, tmp_path):
    proteins = analysis_cases.random_proteins([20, 30, 40])
    kept = {"checkpoint": tmp_path / "kept"}
    first = pf.analyze(bert, proteins, **kept)
    for change, named in [
        ({"threshold": 0.5}, r"threshold: \[0\.3\] there, \[0\.5\] now"),
        ({"max_length": 7}, "option max_length: None there, 7 now"),
        ({"properties": "contact"}, "property contact: absent there, pair of contact now"),
        ({"batch_tokens": 77}, "setting batch_tokens: 1536 there, 77 now"),
        ({"shard": (1, 2)}, "shard: all there, 1 of 2 now"),
        ({"proteins": proteins[:2]}, "input memory: "),
        ({"model": esm}, "model: .* there, .* now"),
    ]:
        with pytest.raises(checkpoint.OtherRunError, match=named) as caught:
            pf.analyze(**({"model": bert, "proteins": proteins} | change | kept))
        assert "resume=False (--no-resume, or --overwrite)" in str(caught.value)
    assert pf.analyze(bert, proteins, **kept).equals(first)
    anew = pf.analyze(bert, proteins, (), resume=False, **kept)
    assert len(anew.run) == 1 and anew.analysed == 3
    assert pf.analyze(bert, proteins, (), **kept).equals(anew)


@pytest.mark.parametrize("at", ["start", "middle", "end", "cut"])
def test_damage_is_named(bert, tmp_path, at):
    proteins = analysis_cases.random_proteins([20, 30, 40])
    pf.analyze(bert, proteins, checkpoint=tmp_path)
    path = tmp_path / checkpoint.FILE
    content = bytearray(path.read_bytes())
    where = {"start": 4, "middle": len(content) // 2, "end": len(content) - 1}.get(at)
    if where is None:
        del content[-99:]
    else:
        content[where] ^= 1
    path.write_bytes(content)
    with pytest.raises(ResultError, match=r"damaged .*delete it, or start anew .*--no-resume"):
        pf.analyze(bert, proteins, checkpoint=tmp_path)
    assert pf.analyze(bert, proteins, checkpoint=tmp_path, resume=False).analysed == 3
    assert pf.analyze(bert, proteins, checkpoint=tmp_path).analysed == 3


def test_other_files_and_versions_are_refused_by_name(bert, tmp_path):
    proteins = analysis_cases.random_proteins([20])
    pf.analyze(bert, proteins, checkpoint=tmp_path)
    path = tmp_path / checkpoint.FILE
    tensors = load_file(path)
    named = {"format": checkpoint.FORMAT, "format_version": "2"}
    for metadata, said in ((named, "checkpoint version 2"), ({"x": "y"}, "got no format")):
        save_file(tensors, path, metadata)
        with pytest.raises(
            ResultError, match=rf"expected provis_fast\.checkpoint version 1.*{said}|{said}"
        ):
            pf.analyze(bert, proteins, checkpoint=tmp_path)


def test_a_full_disk_is_a_warning(bert, corpus, whole, tmp_path, monkeypatch, caplog, kill):
    """The run goes on; the last good checkpoint stays; the next one is tried in its time."""
    fsync, calls = os.fsync, []

    def full(descriptor):
        calls.append(kill["now"])
        if 10 < kill["now"] < 30:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    options = OPTIONS | {"checkpoint": tmp_path / "kept", "checkpoint_seconds": 4}
    kill["left"] = 27
    with pytest.raises(Killed):
        pf.analyze(bert, corpus, **options)
    warned = [r.getMessage() for r in caplog.records if r.name == checkpoint.__name__]
    assert len(warned) == 4 and str(tmp_path / "kept") in warned[0] and "No space" in warned[0]
    assert os.listdir(tmp_path / "kept") == [checkpoint.FILE]
    kill["left"] = None
    before = len(kill["ran"])
    assert pf.analyze(bert, corpus, **options).equals(whole)
    assert kill["ran"][before:][0] == kill["ran"][8]  # eight units had been kept


def test_nothing_usable_leaves_no_checkpoint(bert, tmp_path):
    with pytest.raises(InputError, match="no protein could be analysed"):
        pf.analyze(
            bert, [pf.Protein("odd", "J")], checkpoint=tmp_path / "kept", checkpoint_seconds=0
        )
    assert not (tmp_path / "kept").exists()


def test_bad_arguments(bert, tmp_path):
    proteins = analysis_cases.random_proteins([20])
    with pytest.raises(ArgumentError, match="checkpoint_seconds: expected a number of seconds"):
        pf.analyze(bert, proteins, checkpoint=tmp_path, checkpoint_seconds=-1)


class CommandLine:
    """A model, an input, and calls of `provis-fast analyze` for them."""

    def __init__(self, folder, capsys):
        self.folder, self.capsys = folder, capsys
        self.out, self.partial = folder / "out", folder / "out.partial"
        self.model = analysis_cases.save_bert(folder / "bert")
        self.corpus = corpus_cases.write_corpus(folder / "data", 60)

    def __call__(self, *options, out=None):
        common = ["--out", str(out or self.out), "--batch-tokens", "300"]
        status = main(["analyze", str(self.model), str(self.corpus), *common, *options])
        return status, self.capsys.readouterr().err


@pytest.fixture
def call(tmp_path, capsys):
    return CommandLine(tmp_path, capsys)


def test_the_command_line_goes_on(call, monkeypatch, capsys):
    assert call(out=call.folder / "whole")[0] == 3
    run, calls = Worker.run, []

    def interrupted(self, prepared):
        calls.append(prepared)
        if len(calls) == 6:
            raise KeyboardInterrupt
        run(self, prepared)

    monkeypatch.setattr(Worker, "run", interrupted)
    status, said = call()
    assert status == 130 and "marked incomplete; the same command goes on" in said
    expected = {*storage.FILES, checkpoint.FILE}
    assert set(os.listdir(call.partial)) == expected and not call.out.exists()
    partial = storage.load(call.partial, allow_partial=True)
    assert (
        main(["merge", str(call.partial), "--allow-partial", "--out", str(call.folder / "m")]) == 0
    )
    status, said = call("--threshold", "0.5")
    assert status == 2 and "threshold: [0.3] there, [0.5] now" in said
    assert storage.load(call.partial, allow_partial=True).equals(partial)
    status, said = call("--arcs")
    assert status == 2 and "tables of single proteins: none there, arcs, proteins now" in said
    status, said = call()
    assert status == 3 and "holds the result" not in said
    assert not call.partial.exists()
    corpus_cases.assert_same_files(call.out, call.folder / "whole")
    run = json.loads((call.out / "manifest.json").read_text())["run"]
    assert len(run) == 2


def test_the_same_run_is_not_run_again(call, monkeypatch):
    assert call()[0] == 3
    before = {path.name: path.read_bytes() for path in call.out.iterdir()}
    monkeypatch.setattr(Worker, "run", None)
    status, said = call()
    assert status == 3 and "holds the result of this run already" in said and "failed: " in said
    assert {path.name: path.read_bytes() for path in call.out.iterdir()} == before
    status, said = call("--max-length", "90")
    assert status == 2 and "option max_length: None there, 90 now" in said
    assert "replace that result with --overwrite" in said
    (call.corpus / "more.fasta").write_text(">q\nACDEF\n")
    status, said = call()
    assert status == 2 and "input more.fasta: absent there" in said


def test_overwrite_and_no_resume(call, monkeypatch):
    run = Worker.run

    def interrupted(self, prepared):
        if prepared.key == (0, 4):
            raise KeyboardInterrupt
        run(self, prepared)

    monkeypatch.setattr(Worker, "run", interrupted)
    assert call()[0] == 130
    assert call("--threshold", "0.4", "--no-resume")[0] == 130
    assert call("--threshold", "0.4")[0] == 130  # it goes on from there
    status, said = call()
    assert status == 2 and "threshold: [0.4] there, [0.3] now" in said
    monkeypatch.setattr(Worker, "run", run)
    assert call("--overwrite")[0] == 3 and not call.partial.exists()
    assert storage.load(call.out).thresholds == (0.3,)
    assert call("--overwrite", "--arcs")[0] == 3
    assert (call.out / storage.PER_PROTEIN).exists() and not call.partial.exists()


def test_a_result_that_cannot_be_written_keeps_its_checkpoint(call, monkeypatch, tmp_path):
    save = storage.save

    def full(result, folder, per_protein):
        if folder == call.out:
            raise ResultError(f"{folder}: cannot be written: the disk is full")
        save(result, folder, per_protein)

    monkeypatch.setattr(storage, "save", full)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, said = call()
    assert status == 2 and "was saved in" in said
    assert os.listdir(call.partial) == [checkpoint.FILE]
    monkeypatch.setattr(storage, "save", save)
    monkeypatch.setattr(Worker, "_forward", None)  # all is done: nothing is left to be run
    assert call()[0] == 3 and call.out.is_dir() and not call.partial.exists()


def test_foreign_files_are_not_touched(call):
    call.partial.mkdir()
    (call.partial / "thesis.txt").write_text("precious")
    status, said = call("--overwrite")
    assert status == 2 and "thesis.txt" in said
    assert os.listdir(call.partial) == ["thesis.txt"]


def test_an_input_of_no_use_leaves_nothing_behind(bert, tmp_path):
    (tmp_path / "bad.csv").write_text("id,letters\none,MKV\n")
    with pytest.raises(InputError, match="sequence"):
        pf.analyze(bert, tmp_path / "bad.csv", checkpoint=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
