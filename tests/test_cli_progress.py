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
from provis_fast.events import Ended, Progress, Started


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


def started(proteins: int, device: str = "cpu") -> Started:
    return Started({}, [], {}, {}, device, proteins)


def test_what_was_done_before_does_not_count_into_the_speed(seconds):
    stream = io.StringIO()
    with ProgressReport(stream) as report:
        report.listen(started(1000))
        for done in range(1001, 1005):
            report.listen(Progress(done, 10 * (done - 1000), 1100, 0.0))
    first, *_, last = stream.getvalue().splitlines()
    assert first == "Resumed after 1,000 proteins."
    assert last == "1,004/1,100 proteins (91%), 1.0 proteins/s, 10 tokens/s, 1:36 left"


def test_lines_grow_rarer(seconds):
    stream = io.StringIO()
    with ProgressReport(stream) as report:
        for done in range(1, 2001):
            report(done, done, None)
    done = [int(line.split()[0].replace(",", "")) for line in stream.getvalue().splitlines()]
    gaps = [b - a for a, b in itertools.pairwise(done)]
    assert gaps[:9] == [10] * 9 and gaps[-2] == 60
    assert gaps[:-1] == sorted(gaps[:-1])


def test_the_last_words_say_what_limits_the_run(seconds):
    ended = Ended(
        *("complete", 2, 0, 0, 20, 3.0),
        stage_seconds={"forward": 61.0},
        rates={"read": 1200.0, "forward": 41.25},
        limit="forward",
        cpu_seconds=3600.0,
    )
    for device, gpu in (("cpu", ""), ("cuda:0", ", 1:01 of GPU time")):
        with ProgressReport(stream := io.StringIO()) as report:
            report.listen(started(0, device))
            report.listen(Progress(2, 20, 2, 3.0))
            report.listen(ended)
        assert stream.getvalue().splitlines() == [
            "2/2 proteins (100%), 2.0 proteins/s, 20 tokens/s, 0:00 left",
            "read 1,200 proteins/s, forward 41.2: the forward pass limits the run; "
            f"1:00:00 of CPU time{gpu}",
        ]


def test_lines_stand_above_the_bar(seconds, monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setenv("COLUMNS", "40")
    with ProgressReport(stream) as report:
        report(1, 1, 2)
        report.listen(started(1))
        report(2, 2, 2)
    bar, line, last = filter(None, stream.getvalue().replace("\n", "\r").split("\r"))
    assert bar.startswith("[##########")
    assert line.rstrip() == "Resumed after 1 proteins."
    assert last.startswith("[####################]")
