"""Progress on stderr, and streams that cannot be written."""

from __future__ import annotations

import errno
import io
import itertools
import os
import sys
from types import SimpleNamespace

import pytest

from provis_fast.cli import main, progress
from provis_fast.cli.progress import ProgressReport, clock


@pytest.fixture
def seconds(monkeypatch):
    """Seconds that a `ProgressReport` believes to have passed, each step one more."""
    steps = itertools.count()
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: float(next(steps))))


def test_progress_is_lines_where_there_is_no_terminal(seconds):
    stream = io.StringIO()
    with ProgressReport(stream) as report:
        for done in range(1, 50):
            report(done, 100 * done, 98)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "1/98 proteins (1%), 1.0 proteins/s, 100 tokens/s, 1:37 left"
    assert lines[-1] == "49/98 proteins (50%), 1.0 proteins/s, 100 tokens/s, 0:49 left"
    assert len(lines) == 6  # at once, every ten seconds, and at the end
    stream = io.StringIO()
    with ProgressReport(stream) as report:
        report(5, 50)
    assert stream.getvalue() == "5 proteins, 5.0 proteins/s, 50 tokens/s\n"
    with ProgressReport(stream := io.StringIO()):
        pass
    assert stream.getvalue() == ""


def test_progress_is_a_bar_on_a_terminal(seconds, monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setenv("COLUMNS", "60")
    with ProgressReport(stream) as report:
        report(2, 50, 4)
    written = stream.getvalue()
    assert written.startswith("\r[##########..........] 2/4 proteins (50%)")
    assert written.endswith("\n") and len(written.strip()) < 60
    assert clock(3725) == "1:02:05"


class FullDisk(io.StringIO):
    def write(self, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_progress_that_cannot_be_written_stops_nothing():
    with ProgressReport(FullDisk()) as report:
        report(1, 100, 2)


def test_streams_that_are_closed_change_no_status(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["merge", "/nowhere", "--out", "/nowhere/else"]) == 2
