"""Processes that work for this one, and how they end."""

from __future__ import annotations

import fcntl
import gc
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from provis_fast import child_process
from provis_fast.child_process import ChildDiedError, ChildProcess


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("message", ["text", 7, np.arange(300_000), b"x" * 5_000_000])
def test_messages_come_back_as_they_went(message):
    with ChildProcess("child_targets:echo", "echo") as child:
        child.send(message)
        np.testing.assert_array_equal(child.receive(), message)
    assert gone(child.pid)


def test_the_child_is_a_fresh_interpreter_that_finds_what_we_find(monkeypatch):
    monkeypatch.setenv("PROVIS_FAST_TEST_VARIABLE", "ours")
    with ChildProcess("child_targets:describe", "describe") as child:
        told = child.receive()
        assert told["group"] == child.pid, "Ctrl-C on the terminal would reach it"
    assert told["main"] is None, "our main module was imported"
    assert not told["torch"]
    assert told["path"] == [entry or os.getcwd() for entry in sys.path]
    assert told["variable"] == "ours"
    given = {"PROVIS_FAST_TEST_VARIABLE": "the child's"}
    with ChildProcess("child_targets:describe", "describe", environment=given) as child:
        assert child.receive()["variable"] == "the child's"


def test_an_exception_ends_the_child_and_is_told():
    with ChildProcess("child_targets:chatter", "chatterbox") as child:
        child.send("go on")
        with pytest.raises(ChildDiedError) as caught:
            child.receive()
    assert caught.value.how == "ended with status 1"
    assert str(caught.value) == (
        "the process chatterbox ended with status 1; its last words: "
        "ValueError: no such thing as a free lunch"
    )
    assert len(caught.value.output) <= child_process._OUTPUT_BYTES
    assert gone(child.pid)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.how) == (str(caught.value), caught.value.how)


@pytest.mark.parametrize(
    ("target", "how"),
    [
        ("child_targets:killed", "was killed by SIGKILL, perhaps because memory ran short"),
        ("child_targets:nothing", "ended with status 1"),
        ("no_such_module:nothing", "ended with status 1"),
    ],
)
def test_a_dead_child_is_told_by_receive(target, how):
    with ChildProcess(target, "victim") as child, pytest.raises(ChildDiedError) as caught:
        child.receive()
    assert caught.value.how == how


def test_a_dead_child_is_told_by_send():
    with ChildProcess("child_targets:killed", "victim") as child:
        child._process.wait()
        with pytest.raises(ChildDiedError, match="SIGKILL"):
            child.send("anything")


def test_closing_ends_a_child_that_does_not_listen_and_wakes_who_waits_for_it():
    child = ChildProcess("child_targets:busy", "busy")
    assert child.receive() == "begun"
    errors = []

    def wait():
        try:
            child.receive()
        except ChildDiedError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    child.close()
    child.close()
    waiting.join()
    assert [error.how for error in errors] == ["was ended by this one"]
    assert gone(child.pid)


def test_a_forgotten_child_ends():
    child = ChildProcess("child_targets:busy", "busy")
    pid = child.pid
    del child
    gc.collect()
    assert gone(pid)


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_a_child_does_not_outlive_its_parent(end, tmp_path):
    script = (
        "import os\n"
        "from provis_fast.child_process import ChildProcess\n"
        "child = ChildProcess('child_targets:locking', 'locking')\n"
        f"child.send({str(tmp_path / 'lock')!r})\n"
        "print(child.receive())\n" + end
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.run(
        [sys.executable, "-u", "-c", script], env=environment, capture_output=True, text=True
    )
    assert parent.stdout == "locked\n", parent.stderr
    with (tmp_path / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # ours as soon as the child is no more


def test_a_frozen_program_is_not_started_again(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not child_process.can_start()
    with pytest.raises(ChildDiedError, match="cannot be started"):
        ChildProcess("child_targets:echo", "echo")
