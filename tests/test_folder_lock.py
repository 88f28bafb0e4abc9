"""Two analyses in one folder of checkpoints: the second one is refused, and spoils nothing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import analysis_cases
import pytest

import provis_fast as pf
from provis_fast import checkpoint, storage
from provis_fast.errors import ResultError
from provis_fast.folder_lock import LOCK, locked

_HOLDER = """
import sys
from pathlib import Path
from provis_fast.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of tmp_path / "kept" until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path / "kept")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_the_other_process_is_named_and_its_files_stay(bert, tmp_path, holder):
    proteins = analysis_cases.random_proteins([30] * 4)
    theirs = tmp_path / "kept" / checkpoint.FILE
    theirs.write_text("theirs")
    for resume in (True, False):
        with pytest.raises(ResultError, match=rf"another .* \(process {holder.pid} on .*another"):
            pf.analyze(bert, proteins, checkpoint=tmp_path / "kept", resume=resume)
    with pytest.raises(ResultError, match=f"process {holder.pid}"):
        storage.remove_partial(tmp_path / "kept")
    assert theirs.read_text() == "theirs"


def test_the_lock_of_a_killed_process_is_none(bert, tmp_path, holder):
    holder.kill()
    holder.wait()
    assert (tmp_path / "kept" / LOCK).exists()
    proteins = analysis_cases.random_proteins([30] * 4)
    assert pf.analyze(bert, proteins, checkpoint=tmp_path / "kept").analysed == 4
    assert os.listdir(tmp_path / "kept") == [checkpoint.FILE]


def test_two_analyses_of_one_process(bert, tmp_path):
    proteins = analysis_cases.random_proteins([30] * 4)

    def progress(done, tokens, total):
        pf.analyze(bert, proteins, checkpoint=tmp_path / "kept")

    with pytest.raises(ResultError, match=f"process {os.getpid()}"):
        pf.analyze(bert, proteins, checkpoint=tmp_path / "kept", progress=progress)
    assert pf.analyze(bert, proteins, checkpoint=tmp_path / "kept").analysed == 4


def test_a_folder_that_was_only_locked_goes(tmp_path):
    with locked(tmp_path / "new"):
        assert os.listdir(tmp_path / "new") == [LOCK]
    assert not (tmp_path / "new").exists()


def test_a_file_that_was_deleted_before_it_was_locked_locks_nothing(tmp_path, monkeypatch):
    """The holder may delete it between our opening and our locking it."""
    flock, calls = fcntl.flock, []

    def late(descriptor, how):
        if not calls:
            Path(tmp_path / LOCK).unlink()
        calls.append(descriptor)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(tmp_path):
        monkeypatch.undo()
        with pytest.raises(ResultError, match="is at work"), locked(tmp_path):
            pass
    assert len(calls) == 2


def test_where_nothing_can_be_locked_nobody_is_kept_out(tmp_path, monkeypatch):
    def unsupported(descriptor, how):
        raise OSError(38, "not implemented")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path), locked(tmp_path):
        (tmp_path / "file").write_text("")
    (tmp_path / "kept").write_text("a file")
    with locked(tmp_path / "kept"):
        pass
