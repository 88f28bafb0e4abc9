"""The command line: what it refuses, writes, prints and returns; the analysis is a stand-in."""

from __future__ import annotations

import argparse
import errno
import io
import json
import os
import re
import sys
import tempfile
from types import ModuleType, SimpleNamespace

import pytest
from result_cases import random_result
from test_cli_progress import FullDisk

from provis_fast import storage
from provis_fast.cli import argument_types, main
from provis_fast.errors import InputError
from provis_fast.events import Progress
from provis_fast.record_log import Remark


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "in.fasta"
    path.write_text(">a\nACDE\n")
    return path


@pytest.fixture
def engine(monkeypatch):
    """Stands in for models and engine; keeps the calls, answers `engine.result`."""
    state = SimpleNamespace(calls=[], result=random_result(1), interrupt=False, error=None)
    state.result.run = [{"seconds": 61.0}]

    class Interrupted(KeyboardInterrupt):
        partial = state.result

    def analyze(model, proteins, properties, threshold, **options):
        state.calls.append((model, proteins, properties, threshold, options))
        options["events"](Progress(1, 100, 2, 1.0))
        if state.error is not None:
            raise state.error
        if state.interrupt:
            state.result.complete = False
            raise Interrupted
        return state.result

    def stand_in(name, **content):
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)

    def describe(model, proteins, properties, threshold, **options):
        return state.result.copy()

    stand_in("provis_fast.engine", analyze=analyze, describe=describe)
    stand_in("provis_fast.models", load_model=lambda name, **_: SimpleNamespace(n_layers=4))
    return state


def _aside(status):
    return SimpleNamespace(id="bad", status=status, reason="because", source="x", line=3)


def test_analyze_writes_and_prints(engine, fasta, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--properties", "amino_acid,contact", "--threshold", "0.1,0.3", "--layers", "1-2,4"]
    options += ["--contact-cutoff", "6", "--max-length", "510", "--threads", "1"]
    assert main(["analyze", "tiny", str(fasta), "--out", str(out), *options]) == 0
    assert sorted(os.listdir(out)) == sorted(storage.FILES)
    (_, inputs, properties, threshold, given), *_ = engine.calls
    assert [p.sequence for p in inputs] == ["ACDE"] and threshold == (0.1, 0.3)
    assert [prop.name for prop in properties] == ["amino_acid", "contact"]
    assert properties[1].cutoff == 6.0
    assert (given["layers"], given["max_length"], given["threads"]) == ((0, 1, 3), 510, 1)
    printed = capsys.readouterr()
    assert "counted from 1" in printed.out and str(out) in printed.out
    assert "3 proteins read: 3 analysed, 0 skipped, 0 failed" in printed.out
    assert "Analysed in 1:01" in printed.err
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["unique"] == ["auto"]
    assert manifest["run"] == [{"seconds": 61.0, "command": sys.argv}]


def test_entropy_and_background_are_handed_on(engine, fasta, tmp_path, capsys):
    other = tmp_path / "other.fasta"
    other.write_text(">b\nMKV\n")
    command = ["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    more = ["--entropy", "--compat", "provis", "--background", str(other), str(fasta)]
    assert main([*command, "--overwrite", *more]) == 0
    (*_, usual), (*_, given) = engine.calls
    assert (usual["entropy"], usual["background"]) == (False, None)
    assert given["entropy"] is True
    assert [p.sequence for p in given["background"]] == ["MKV", "ACDE"]
    assert main(["analyze", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "--entropy" in shown and "--background INPUT [INPUT ...]" in shown


@pytest.mark.parametrize(("status", "code"), [("skipped", 0), ("failed", 3)])
def test_exit_status_tells_failures(engine, fasta, tmp_path, capsys, status, code):
    engine.result.note(_aside(status))
    engine.result.note("mind this")
    assert main(["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out")]) == code
    printed = capsys.readouterr().err
    assert f"{status}: bad (x:3): because" in printed and "note: mind this" in printed


def test_long_lists_of_reasons_are_cut(engine, fasta, tmp_path, capsys):
    for _ in range(25):
        engine.result.note(_aside("failed"))
    assert main(["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out")]) == 3
    printed = capsys.readouterr().err
    assert printed.count("because") == 10 and "15 more" in printed


def test_nothing_analysed_is_no_success(engine, fasta, tmp_path, capsys):
    engine.error = InputError("no protein could be analysed, of 1 read")
    assert main(["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out")]) == 2
    assert "error: no protein could be analysed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_interruption_keeps_what_there_is(engine, fasta, tmp_path, capsys):
    engine.interrupt = True
    out = tmp_path / "out"
    assert main(["analyze", "tiny", str(fasta), "--out", str(out)]) == 130
    assert not out.exists()
    partial = tmp_path / "out.partial"
    assert str(partial) in capsys.readouterr().err
    merge = ["merge", str(partial), "--out", str(tmp_path / "merged")]
    assert main(merge) == 2
    assert "--allow-partial" in capsys.readouterr().err
    assert main([*merge, "--allow-partial"]) == 0
    assert not storage.load(tmp_path / "merged", allow_partial=True).complete


def test_interruption_before_the_analysis(engine, fasta, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["provis_fast.models"], "load_model", interrupted)
    assert main(["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out")]) == 130
    assert "provis-fast: interrupted" in capsys.readouterr().err


def test_a_bad_out_folder_is_found_before_the_run(engine, fasta, tmp_path, capsys):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious")
    for out in (tmp_path / "thesis", fasta, fasta / "below"):
        assert main(["analyze", "tiny", str(fasta), "--out", str(out)]) == 2
        assert str(out) in capsys.readouterr().err
    assert engine.calls == []


def test_a_full_disk_loses_nothing(engine, fasta, tmp_path, capsys, monkeypatch):
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    fsync, calls = os.fsync, []

    def full_at_first(descriptor):
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_first)
    assert main(["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert "disk is full" in message and not (tmp_path / "out").exists()
    (rescued,) = spare.iterdir()  # a name of its own, so that nothing there is in the way
    assert storage.load(rescued).equals(engine.result)
    assert rescued.name != "provis_fast-out" and str(rescued) in message


def test_a_full_disk_everywhere_leaves_nothing_behind(engine, fasta, tmp_path, capsys, monkeypatch):
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert main(["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out")]) == 2
    assert "disk is full" in capsys.readouterr().err and os.listdir(spare) == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--threshold", "0"], "above 0 and at most 1"),
        (["--threshold", "1.01"], "above 0 and at most 1"),
        (["--threshold", "nan"], "above 0 and at most 1"),
        (["--threshold", "0.3,0.3"], "different thresholds"),
        (["--layers", "0-2"], "counted from 1"),
        (["--layers", "3-2"], "counted from 1"),
        (["--layers", "9"], "layers 1 to 4, got 9"),
        (["--properties", ","], "names separated by commas"),
        (["--properties", "amino_acids"], "did you mean 'amino_acid'"),
        (["--contact-cutoff", "-1", "--properties", "contact"], "cutoff: expected a positive"),
        (["--contact-atom", "CB"], "--contact-atom: expected contact among --properties"),
        (["--background", "x.fasta"], "--background: expected only with --compat provis"),
        (["--threads", "0"], "whole number from 1 to 1024"),
        (["--threads", "100000"], "whole number from 1 to 1024, got '100000'"),
        (["--out", ""], "--out: expected the name of a folder, got ''"),
        (["--contact-cutoff", "nan"], "--contact-cutoff: expected a positive distance"),
        (["--min-arcs", "many"], "whole number from 0 on"),
        (["--properties", "contact", "--contact-cutoff", "x"], "expected a positive distance"),
    ],
)
def test_bad_options_are_named(engine, fasta, tmp_path, capsys, options, named):
    arguments = ["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out"), *options]
    assert main(arguments) == 2
    assert named in capsys.readouterr().err
    assert engine.calls == [] and not (tmp_path / "out").exists()


def test_an_earlier_result_is_not_overwritten_unasked(engine, fasta, tmp_path, capsys):
    out = tmp_path / "out"
    random_result(7).save(out)
    command = ["analyze", "tiny", str(fasta), "--out", str(out)]
    assert main(command) == 2
    assert "holds an earlier result" in capsys.readouterr().err and engine.calls == []
    assert storage.load(out).equals(random_result(7))
    assert main([*command, "--overwrite"]) == 0
    assert storage.load(out).equals(engine.result)


def test_a_usage_error_is_two_lines(capsys):
    assert main(["analyze", "tiny", "in.fasta"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "error: the following arguments are required: --out" in first
    assert second == "Try: provis-fast analyze --help"


def test_what_concerns_all_numbers_is_said_first(engine, fasta, tmp_path, capsys):
    result = engine.result
    total = result.totals["background_den"]
    total.hi[2], total.lo[2] = 0, 0
    for number in range(20):
        result.note(Remark(number, f"p{number}", "noted", "cut from 900 to 510 residues"))
    assert main(["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    notes = [line for line in printed.err.splitlines() if line.startswith("note")]
    assert notes[0] == "note: contact: known for no residue of any analysed protein"
    assert notes[1] == "note: p0: cut from 900 to 510 residues" and len(notes) == 10
    assert f"11 more notes: see {tmp_path / 'out' / 'failed.tsv'}" in printed.err
    assert re.search(r"contact +- +unknown in this input", printed.out)


def test_a_missing_input_is_named(engine, tmp_path, capsys):
    assert main(["analyze", "tiny", "nowhere.fasta", "--out", str(tmp_path / "out")]) == 2
    assert "nowhere.fasta: no such file or folder" in capsys.readouterr().err


def test_layers_and_thresholds():
    assert argument_types.layers("1-3,6,2") == (0, 1, 2, 5)
    assert argument_types.thresholds("0.3") == 0.3
    assert argument_types.thresholds("0.1,1") == (0.1, 1.0)
    with pytest.raises(argparse.ArgumentTypeError):
        argument_types.layers("all")


def test_a_table_that_cannot_be_printed_changes_no_status(engine, fasta, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", FullDisk())
    monkeypatch.setattr(sys, "stderr", errors := io.StringIO())
    assert main(["analyze", "tiny", str(fasta), "--out", str(tmp_path / "out")]) == 0
    assert f"the result is in {tmp_path / 'out'}" in errors.getvalue()
    assert storage.load(tmp_path / "out").equals(engine.result)
    monkeypatch.setattr(sys, "stderr", FullDisk())
    for _ in range(2):  # the second time the result is there already
        assert main(["analyze", "tiny", str(fasta), "--out", str(tmp_path / "again")]) == 0
    assert len(engine.calls) == 2


def test_a_result_that_came_meanwhile_is_left_alone(engine, fasta, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    analyze = sys.modules["provis_fast.engine"].analyze

    def slow(*arguments, **options):
        random_result(7).save(out)
        return analyze(*arguments, **options)

    monkeypatch.setattr(sys.modules["provis_fast.engine"], "analyze", slow)
    assert main(["analyze", "tiny", str(fasta), "--out", str(out)]) == 2
    printed = capsys.readouterr().err
    assert "another result has been written there meanwhile" in printed
    assert storage.load(out).equals(random_result(7))
    (spare,) = tmp_path.glob("provis_fast-out-*")
    assert str(spare) in printed and storage.load(spare).equals(engine.result)
