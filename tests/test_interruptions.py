"""Ctrl-C and SIGTERM while something must be done whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from provis_fast.interruptions import ignoring_interruptions, uninterrupted


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
        from provis_fast.interruptions import uninterrupted
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interruption_waits_for_the_files(number):
    usual = signal.getsignal(number)
    with ignoring_interruptions():
        signal.raise_signal(number)
    assert signal.getsignal(number) is usual
