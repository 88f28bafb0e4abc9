"""Analyses by actors of Ray give what one process gives, also where an actor dies."""

from __future__ import annotations

import os
import signal
import sys

import analysis_cases
import pytest

import provis_fast as pf
from provis_fast.distributed.pool import Began
from provis_fast.distributed.ray_engine import RayActors, _how
from provis_fast.errors import ArgumentError, WorkerError


def test_without_ray_the_extra_is_named(bert, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ArgumentError, match=r'pip install "provis_fast\[ray\]"'):
        pf.analyze(bert, analysis_cases.random_proteins([30]), engine="ray", workers=2)


def test_what_ray_says_of_a_death_is_put_shortly():
    said = (
        "The actor died unexpectedly before finishing this task.\n\tclass_name: Actor\nThe actor "
        "is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit "
        "detail: Worker unexpectedly exits with a connection error code 2. End of file. Some "
        "common causes include: (1) the process was killed by the OOM killer"
    )
    assert _how(said) == (
        "died (Worker unexpectedly exits with a connection error code 2. End of file)"
    )
    assert _how("something new") == "died (something new)"
    unborn = (
        "The actor died because of an error raised in its creation task, ray::Actor.__init__()\n"
        "  File x, line 3, in f\nImportError: cannot import name '_C'\n"
    )
    assert _how(unborn).startswith("could not be started (ImportError: cannot import name '_C')")


@pytest.fixture
def inherited(monkeypatch, tmp_path):
    """Processes of Ray on this machine find what this one finds.

    They look into the current folder too: a clone's sources would hide an installed package.
    """
    pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_actors_give_what_one_process_gives_and_ray_is_ended(bert, inherited, monkeypatch):
    import ray

    workers = []

    class Watched(RayActors):
        """Kills the process of the first actor in the middle of its work."""

        def start(self, place, post):
            began = 0

            def heard(message):
                nonlocal began
                post(message)
                began += isinstance(message, Began)
                if worker is workers[0] and began == 6 and isinstance(message, Began):
                    os.kill(worker.pid, signal.SIGKILL)

            worker = super().start(place, heard)
            workers.append(worker)
            return worker

    monkeypatch.setattr("provis_fast.distributed.ray_engine.RayActors", Watched)
    proteins = analysis_cases.random_proteins([20 + (7 * k) % 90 for k in range(400)])
    before = signal.getsignal(signal.SIGTERM)
    options = dict(batch_tokens=300, bootstrap=5, permutations=2)
    serial = pf.analyze(bert, proteins, **options)
    result = pf.analyze(bert, proteins, **options, engine="ray", workers=2, threads=1)
    assert result.equals(serial) and serial.arcs.sum() > 1000
    assert len(workers) == 3, "one was replaced"
    assert not ray.is_initialized()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cluster_that_cannot_be_reached_is_told(bert, inherited, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "nonsense://nowhere")
    with pytest.raises(WorkerError, match="the cluster at RAY_ADDRESS=nonsense://nowhere"):
        pf.analyze(bert, analysis_cases.random_proteins([30]), engine="ray", workers=1)
