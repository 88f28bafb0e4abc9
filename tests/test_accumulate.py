"""What is measured, and what happens to a Ctrl-C while a batch is added."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from provis_fast.accumulate import Measures, uninterrupted
from provis_fast.errors import ArgumentError


def measures(**options) -> Measures:
    arguments = dict(properties=(), threshold=0.3, layers=None, n_layers=2, n_heads=2)
    return Measures.checked(**(arguments | options))


def test_numbers_of_numpy_are_numbers():
    found = measures(threshold=np.float32(0.25), min_arcs=np.int64(7), layers=np.array([1]))
    assert (found.thresholds, found.scalar_threshold) == ((0.25,), True)
    assert (found.min_arcs, found.layers) == (7, (1,))
    assert type(found.thresholds[0]) is float and type(found.min_arcs) is int
    several = measures(threshold=np.array([0.5, 0.25]))
    assert (several.thresholds, several.scalar_threshold) == ((0.5, 0.25), False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *[
            (dict(threshold=theta), "threshold: expected a number")
            for theta in (True, [0.3, False], "0.3", None, torch.tensor(0.3), np.array(0.3), 2)
        ],
        (dict(threshold=()), "threshold: expected at least one"),
        (dict(threshold=(0.3, 0.3)), "threshold: expected every number once"),
        *[
            (dict(min_arcs=n), "min_arcs: expected an integer of at least 0")
            for n in (-1, True, 1.0, "100", None)
        ],
    ],
)
def test_other_types_are_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        measures(**options)


def test_ctrl_c_waits_for_the_end_of_the_block():
    done = False
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done = True
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with uninterrupted():
        pass


def test_sigterm_waits_as_well():
    def interrupt(number, frame):
        raise KeyboardInterrupt

    usual, done = signal.signal(signal.SIGTERM, interrupt), False
    try:
        with pytest.raises(KeyboardInterrupt):
            with uninterrupted():
                os.kill(os.getpid(), signal.SIGTERM)
                done = True
        assert done and signal.getsignal(signal.SIGTERM) is interrupt
    finally:
        signal.signal(signal.SIGTERM, usual)


def test_ctrl_c_is_not_lost_when_the_block_fails():
    with pytest.raises(KeyboardInterrupt) as caught:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            raise ZeroDivisionError
    assert isinstance(caught.value.__context__, ZeroDivisionError)


@pytest.mark.parametrize(("handler", "ends"), [("SIG_DFL", -signal.SIGINT), ("SIG_IGN", 0)])
def test_ctrl_c_without_a_handler(handler, ends, tmp_path):
    program = f"""
        import os, signal
        from provis_fast.accumulate import uninterrupted
        signal.signal(signal.SIGINT, signal.{handler})
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            print("block done", flush=True)
        print("not reached by the default", flush=True)
    """
    # Elsewhere than in a clone, whose sources would come before an installed package.
    command = [sys.executable, "-c", textwrap.dedent(program)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == ends, run.stderr
    assert run.stdout.startswith("block done")
    assert ("not reached" in run.stdout) == (handler == "SIG_IGN")
