"""The run of an analysis as JSON lines."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys

import analysis_cases
import numpy as np
import pytest

from provis_fast.cli import json_log, main
from provis_fast.cli.json_log import JsonLog
from provis_fast.errors import ResultError
from provis_fast.events import (
    Checkpointed,
    Ended,
    Progress,
    RecordSetAside,
    Started,
    WorkerDied,
    WorkerStarted,
)


def lines(path) -> list[dict]:
    """Objects of a log; strict JSON, one per line."""

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    text = path.read_text("ascii")
    assert text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(json_log, "time", found)
    return found


def test_every_event_has_its_line(tmp_path, monkeypatch, clock):
    monkeypatch.setattr(sys, "argv", ["provis-fast", "analyze", "bad\udce9name"])
    path = tmp_path / "log"
    path.write_text("what was there before")
    inputs = [{"path": f"{k}.fasta", "sha256": None, "bytes": None} for k in range(101)]
    with JsonLog(str(path)) as log:
        log.listen(Started({"name": "m"}, inputs, {"max_length": None}, {"torch": "2"}, "cpu"))
        log.listen(Progress(1, 10, None, 0.1))
        clock.now += 0.9
        log.listen(Progress(2, 20, None, 0.2))
        log.listen(RecordSetAside("id", "failed", "why", "file.fasta", 7))
        clock.now += 0.2
        log.listen(Progress(3, 30, 9, 1.2, float("inf"), {"forward": np.float32("nan")}, "forward"))
        log.listen(Checkpointed(3, "/out", 0.25))
        log.listen(WorkerStarted("worker 1", "cuda:0"))
        log.listen(WorkerDied("worker 1", "was killed by SIGKILL"))
        logging.getLogger("provis_fast.some.module").warning("no %s", "news")
        logging.getLogger("provis_fast.some.module").info("not told")
        logging.getLogger("elsewhere").warning("not told")
        log.listen(Progress(4, 40, 9, 1.3))
        log.listen(Ended("complete", 3, 0, 1, 40, 1.3, {"forward": 1.0}, {"forward": 3.0}))
        assert log.exits(3) == 3
    found = lines(path)
    assert [one.pop("event") for one in found] == [
        *("start", "progress", "set_aside", "progress", "checkpoint", "worker_started"),
        *("worker_died", "warning", "progress", "end", "exit"),
    ]
    assert all(one.pop("time").endswith("Z") for one in found)
    start, first, aside, second, checkpoint, started, died, warning, last, end, final = found
    assert start["format"] == "provis_fast.log" and start["format_version"] == 1
    assert start["command"] == ["provis-fast", "analyze", "bad\\udce9name"]
    assert start["inputs"] == inputs[:100] and start["n_inputs"] == 101
    assert start["options"] == {"max_length": None} and start["shard"] == [1, 1]
    assert first == {
        **{"proteins": 1, "tokens": 10, "total": None, "seconds": 0.1, "seconds_left": None},
        **{"rates": {}, "limit": None},
    }
    assert aside == {
        **{"id": "id", "status": "failed", "reason": "why", "file": "file.fasta", "line": 7}
    }
    assert (second["proteins"], second["seconds_left"], second["rates"]) == (
        3,
        None,
        {"forward": None},
    )
    assert checkpoint == {"proteins": 3, "path": "/out", "seconds": 0.25}
    assert started == {"worker": "worker 1", "device": "cuda:0"}
    assert died == {"worker": "worker 1", "reason": "was killed by SIGKILL"}
    assert warning == {
        **{"level": "WARNING", "logger": "provis_fast.some.module", "message": "no news"}
    }
    assert last["proteins"] == 4, "the last progress is told in any case"
    assert (end["status"], end["analysed"], end["failed"]) == ("complete", 3, 1)
    assert final == {"exit_status": 3, "message": None, "lost_lines": 0}


def test_lines_are_there_as_soon_as_they_are_written(tmp_path):
    with JsonLog(str(tmp_path / "log")) as log:
        log.listen(WorkerStarted("one"))
        assert [one["event"] for one in lines(tmp_path / "log")] == ["worker_started"]


def test_a_full_disk_stops_nothing(tmp_path, monkeypatch):
    path = tmp_path / "log"
    write = os.write
    room = [1000]

    def limited(descriptor, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        n = write(descriptor, data[: room[0]])
        room[0] -= n
        return n

    monkeypatch.setattr(json_log.os, "write", limited)
    with JsonLog(str(path)) as log:
        for k in range(20):
            log.listen(WorkerStarted(f"worker {k}"))
        kept = len(lines(path))  # and no half a line
        assert 0 < kept < 20
        room[0] = 10_000
    assert lines(path)[-1]["lost_lines"] == 20 - kept


def test_a_reader_that_goes_away_stops_nothing():
    read, write = os.pipe()
    os.close(read)
    with JsonLog(f"/proc/self/fd/{write}") as log:
        log.listen(WorkerStarted("one"))
        assert log._lost == 1
    os.close(write)


def test_a_line_that_cannot_be_taken_back_is_ended(monkeypatch):
    read, write = os.pipe()
    usual, failing = os.write, [True]

    def half(descriptor, data):
        if failing[0] == "now":
            raise OSError(errno.EIO, "broken")
        if failing[0]:
            failing[0] = "now"
            return usual(descriptor, data[:5])
        return usual(descriptor, data)

    with JsonLog(f"/proc/self/fd/{write}") as log:
        monkeypatch.setattr(json_log.os, "write", half)
        log.listen(WorkerStarted("one"))
        failing[0] = False
        log.listen(WorkerStarted("two"))
    os.close(write)
    with os.fdopen(read) as stream:
        torn, two, final = stream.read().splitlines()
    assert torn == '{"eve'
    assert json.loads(two)["worker"] == "two"
    assert json.loads(final)["lost_lines"] == 1


def test_places_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(ResultError, match="expected the name of a file"):
        json_log.opened("")
    with pytest.raises(ResultError, match="cannot be written"):
        json_log.opened(str(tmp_path / "no" / "log"))
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(ResultError, match="stderr"):
        json_log.opened("-")
    assert json_log.opened(None) is None


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(analysis_cases.save_bert(tmp_path_factory.mktemp("bert")))


@pytest.fixture
def fasta(tmp_path) -> str:
    path = tmp_path / "some.fasta"
    path.write_text(">one\nMKVLAGMKVL\n>two\nMK1\n>three\nGAVGAVGAV\n")
    return str(path)


def test_the_log_of_the_command(model, fasta, tmp_path, capfd):
    log, trace = tmp_path / "log", tmp_path / "trace.json"
    options = ["--log-json", str(log), "--profile", str(trace), "--readers", "1"]
    assert main(["analyze", model, fasta, "--out", str(tmp_path / "out"), *options]) == 3
    events = [one["event"] for one in lines(log)]
    assert events[0] == "start" and events[-2:] == ["end", "exit"]
    assert events.count("set_aside") == 1
    assert {"progress", "warning"} <= set(events)
    assert lines(log)[-1]["exit_status"] == 3
    assert json.loads(trace.read_text())["traceEvents"]
    err = capfd.readouterr().err
    assert "3/3 proteins (100%)" in err
    assert " limits the run; 0:0" in err


def test_the_log_tells_why_the_command_failed(model, tmp_path, capfd):
    log = tmp_path / "log"
    nothing = str(tmp_path / "nothing.fasta")
    status = main(
        ["analyze", model, nothing, "--out", str(tmp_path / "out"), "--log-json", str(log)]
    )
    assert status == 2
    (only,) = lines(log)
    assert (only["event"], only["exit_status"]) == ("exit", 2)
    assert only["message"] in capfd.readouterr().err


def test_the_log_on_stderr_takes_the_place_of_the_bar(model, fasta, tmp_path, capfd):
    out = str(tmp_path / "out")
    assert main(["analyze", model, fasta, "--out", out, "--log-json", "-"]) == 3
    err = capfd.readouterr().err
    events = [json.loads(line)["event"] for line in err.splitlines() if line[0] == "{"]
    assert events[0] == "start" and events[-1] == "exit"
    assert "proteins/s" not in err
