"""Analyses by worker processes give what one process gives, whatever happens to the workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap

import analysis_cases
import distributed_cases
import numpy as np
import pytest

import provis_fast as pf
from provis_fast import cli, distributed
from provis_fast.distributed import processes
from provis_fast.distributed.pool import Began
from provis_fast.engine import Interrupted
from provis_fast.errors import ArgumentError, ModelError, WorkerError
from provis_fast.events import Ended, Started, WorkerDied, WorkerStarted
from provis_fast.properties import KeyClass
from provis_fast.proteins import SetAside

PROPERTIES = ("amino_acid", "contact", "secondary_structure")


@pytest.fixture(scope="module")
def proteins():
    """Three blocks; some records are of no use, one protein is too long for the BERT."""
    found = analysis_cases.random_proteins([20 + (7 * k) % 90 for k in range(300)])
    found[100] = analysis_cases.random_proteins([140])[0]
    found[17] = SetAside("broken", "failed", "no sequence", "some.fasta", 12)
    return found


class Records:
    """An input whose records are proteins and what was set aside."""

    def __init__(self, records):
        self._records = records

    def records(self):
        return iter(self._records)

    def digests(self):
        return []


def analyse(bert, proteins, **options):
    options = {"batch_tokens": 600, "threads": 1} | options
    return pf.analyze(bert, Records(proteins), PROPERTIES, **options)


@pytest.fixture(scope="module")
def serial(bert, proteins):
    result = analyse(bert, proteins)
    assert (result.analysed, result.skipped, result.failed) == (298, 1, 1)
    assert result.arcs.sum() > 1000
    return result


def watch(monkeypatch, seen=lambda process, message: None):
    """All processes that are started; `seen` is called with each message of each."""
    started = []

    class Watched(processes._Process):
        def __init__(self, name, start, threads, post):
            def heard(message):
                post(message)
                seen(self, message)

            super().__init__(name, start, threads, heard)
            started.append(self)

    monkeypatch.setattr(processes, "_Process", Watched)
    return started


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_workers_give_what_one_process_gives(bert, proteins, serial, monkeypatch):
    started = watch(monkeypatch)
    result = analyse(bert, proteins, workers=2, devices=["cpu"])
    assert result.equals(serial)
    assert result.run[0]["engine"] == "processes" and result.run[0]["workers"] == 2
    assert result.run[0]["tokens"] == serial.run[0]["tokens"]
    assert len(started) == 2 and not any(is_running(worker.pid) for worker in started)


def test_a_killed_worker_costs_nothing_but_time(bert, proteins, serial, monkeypatch, caplog):
    began = 0

    def seen(process, message):
        nonlocal began
        began += isinstance(message, Began)
        if began == 9 and isinstance(message, Began):
            os.kill(process.pid, signal.SIGKILL)

    started, told = watch(monkeypatch, seen), []
    result = analyse(bert, proteins, workers=1, events=told.append)
    assert len(started) == 2 and "was killed by SIGKILL" in caplog.text
    assert result.equals(serial)
    assert isinstance(told[0], Started) and isinstance(told[-1], Ended)
    ready, died, again = (e for e in told if isinstance(e, WorkerStarted | WorkerDied))
    assert ready == again == WorkerStarted("worker 1", "cpu")
    assert died.name == "worker 1" and died.reason.startswith("was killed by SIGKILL")


def test_a_protein_that_ends_its_worker_is_set_aside(bert, monkeypatch):
    proteins = analysis_cases.random_proteins([30 + k % 50 for k in range(60)])
    deadly = KeyClass("deadly", ("even", "odd"), distributed_cases.mortal)
    started = watch(monkeypatch)
    result = pf.analyze(
        bert, Records(proteins), ("amino_acid", deadly), batch_tokens=300, workers=2, threads=1
    )
    assert (result.read, result.analysed, result.failed) == (60, 59, 1)
    assert result.set_aside[0]["id"] == "p40"
    assert "was killed by SIGKILL" in result.set_aside[0]["reason"]
    others = [protein for protein in proteins if protein.id != "p40"]
    expected = pf.analyze(bert, Records(others), ("amino_acid", deadly), batch_tokens=300)
    assert np.array_equal(result.background["deadly"], expected.background["deadly"])
    assert np.array_equal(result.protein_digests, expected.protein_digests)
    assert np.allclose(result.arcs, expected.arcs, rtol=0.01), "packs differ"
    assert len(started) == 5, "with the others in work, alone, protein by protein"


def test_an_interrupted_analysis_keeps_what_was_absorbed(bert, proteins, monkeypatch):
    def progress(done, tokens, total):
        if tokens:
            raise KeyboardInterrupt

    started = watch(monkeypatch)
    with pytest.raises(Interrupted) as caught:
        analyse(bert, proteins, workers=1, progress=progress)
    partial = caught.value.partial
    assert not partial.complete and partial.analysed == len(partial.protein_digests) > 0
    assert not is_running(started[0].pid)


def test_a_model_that_workers_cannot_load_is_told(tmp_path, proteins):
    folder = analysis_cases.save_bert(tmp_path / "model")
    model = pf.load_model(folder, device="cpu")
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="there is no folder") as caught:
        analyse(model, proteins, workers=1)
    assert "In a worker process" in caught.value.__notes__[0]


def test_a_script_needs_no_guard_but_its_functions_a_module(bert, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import numpy as np
        import provis_fast as pf
        import analysis_cases
        from provis_fast.properties import KeyClass

        def mine(protein):
            return np.zeros(len(protein), int)

        model = pf.load_model({bert.origin.place!r}, device="cpu")
        proteins = analysis_cases.random_proteins(range(20, 60))
        try:
            pf.analyze(model, proteins, KeyClass("mine", ("a", "b"), mine), workers=1)
        except pf.errors.ArgumentError as error:
            print("refused:", error)
        one, two = (pf.analyze(model, proteins, threads=1, workers=n) for n in (None, 1))
        print("equal:", one.equals(two))
        """)
    )
    ran = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert "refused: properties: something of them cannot be found by a worker" in ran.stdout
    assert "equal: True" in ran.stdout


def test_a_model_of_unknown_origin_is_refused(bert, proteins):
    from provis_fast.models import Model

    unknown = Model(bert.module, bert.tokens, "mine")
    with pytest.raises(ArgumentError, match="was not loaded by load_model"):
        analyse(unknown, proteins, workers=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "threads"}, "engine: expected one of serial, processes, ray"),
        ({"workers": 0}, "workers: expected"),
        ({"devices": ["cpu", "cuda:0"]}, "devices: expected all of one kind"),
        ({"devices": [0]}, "devices: expected names"),
        ({"devices": "auto"}, "devices: expected names"),
        ({"engine": "serial", "workers": 2}, 'engine: "serial" is one worker'),
        ({"engine": "ray", "devices": ["cuda:0", "cuda:1"]}, "devices: expected one kind"),
    ],
)
def test_bad_arguments_are_refused(bert, proteins, options, message):
    with pytest.raises(ArgumentError, match=message):
        analyse(bert, proteins, **options)


def test_workers_share_the_cores_of_a_cpu_unless_told(bert, monkeypatch):
    monkeypatch.setattr(distributed, "_cores", lambda: 8)
    team = distributed.Workers.checked(None, 3, None)
    assert team.engine == "processes" and team.threads(None, bert) == 2
    assert team.threads(5, bert) == 5
    gpus = distributed.Workers.checked(None, None, ("cuda:0", "cuda:1"))
    assert gpus.number == 2 and gpus.threads(None, bert) is None


def test_processes_that_cannot_be_started_are_told(bert, proteins, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(WorkerError, match=r"cannot be started: .*before it had loaded the model"):
        analyse(bert, proteins, workers=2)


@pytest.mark.parametrize("device", ["auto", "cpu,cpu"])
def test_the_command_line_has_workers(bert, tmp_path, monkeypatch, capsys, device):
    teams = []

    def transport(team, spec):
        teams.append(team)
        return distributed_cases.InThreads(spec)

    monkeypatch.setattr(distributed, "_transport", transport)
    fasta = tmp_path / "some.fasta"
    proteins = analysis_cases.random_proteins(range(20, 60))
    fasta.write_text("".join(f">{p.id}\n{p.sequence}\n" for p in proteins))
    counts = []
    for name, options in (("one", []), ("more", ["--workers", "2", "--device", device])):
        out = tmp_path / name
        assert (
            cli.main(["analyze", bert.origin.place, str(fasta), "--out", str(out), *options]) == 0
        )
        counts.append((out / "counts.safetensors").read_bytes())
    assert counts[0] == counts[1]
    assert [(team.engine, team.number) for team in teams] == [("processes", 2)]
    assert (
        cli.main(
            [
                "analyze",
                bert.origin.place,
                str(fasta),
                "--out",
                str(tmp_path / "x"),
                "--engine",
                "serial",
                "--workers",
                "2",
            ]
        )
        == 2
    )
    assert 'engine: "serial" is one worker' in capsys.readouterr().err


def test_threads_as_workers_give_what_one_process_gives(bert, proteins, serial, in_threads):
    assert analyse(bert, proteins, workers=3).equals(serial)


def test_shards_by_workers_make_the_whole(bert, proteins, serial, in_threads):
    shards = [analyse(bert, proteins, workers=2, shard=(k, 3)) for k in (2, 3, 1)]
    assert all(0 < shard.analysed < 298 for shard in shards)
    assert pf.merge(shards).equals(serial)


@pytest.mark.parametrize(("first", "then"), [(2, None), (None, 3), (2, 2)])
def test_one_engine_goes_on_where_another_was_interrupted(
    bert, proteins, serial, in_threads, tmp_path, first, then
):
    seen = []

    def progress(done, tokens, total):
        seen.append(tokens)
        if tokens > 2000:
            raise KeyboardInterrupt

    kept = {"checkpoint": tmp_path / "kept", "checkpoint_seconds": 0}
    with pytest.raises(Interrupted):
        analyse(bert, proteins, workers=first, progress=progress, **kept)
    again = []
    result = analyse(
        bert,
        proteins,
        workers=then,
        progress=lambda done, tokens, total: again.append(tokens),
        **kept,
    )
    assert result.equals(serial)
    assert min(tokens for tokens in again) >= 2000, "what was done is not run again"
