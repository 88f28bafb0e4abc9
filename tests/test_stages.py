"""Where the time goes: stages, their rates, and traces."""

from __future__ import annotations

import json
import logging
import pickle
import threading
from itertools import pairwise

import analysis_cases
import pytest

import provis_fast as pf
from provis_fast import stages as timing
from provis_fast import trace
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.stages import Lane, Span, Stages, Total, in_words


@pytest.fixture
def clock(monkeypatch):
    """The seconds that stages see; set by the test."""

    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    found = Clock()
    monkeypatch.setattr(timing, "time", found)
    return found


def totals(stages: Stages) -> dict[str, Total]:
    """By stage; of a single lane each."""
    found = {stage: total for (_, stage), total in stages.totals.items()}
    assert len(found) == len(stages.totals)
    return found


def test_what_is_timed_inside_counts_once(clock):
    stages = Stages()
    with stages.timed("forward") as outer:
        outer.count(proteins=3, tokens=30)
        clock.now = 1.0
        with stages.timed("statistics") as inner:
            inner.count(proteins=3)
            clock.now = 3.0
            with stages.timed("checkpoint"):
                clock.now = 3.5
        clock.now = 10.0
        outer.part("attention", 4.0)
    assert totals(stages) == {
        "forward": Total(10.0 - 2.5 - 4.0, 3, 30),
        "attention": Total(4.0, 3, 30),
        "statistics": Total(2.0, 3),
        "checkpoint": Total(0.5),
    }
    assert stages.seconds() == {
        "forward": 3.5,
        "attention": 4.0,
        "statistics": 2.0,
        "checkpoint": 0.5,
    }
    # Attention is part of the forward pass.
    assert stages.rates() == {"forward": 6 / 7.5, "statistics": 1.5}
    assert stages.limit() == "forward"
    assert stages.spans == ()


def test_exceptions_and_blocks_left_open_do_no_harm(clock):
    stages = Stages()
    with pytest.raises(ZeroDivisionError), stages.timed("forward"):
        clock.now = 2.0
        raise ZeroDivisionError
    with stages.timed("read"):
        stages.timed("statistics").__enter__()  # Ctrl-C may come before it can be closed
        clock.now = 5.0
    with stages.timed("read"):
        clock.now = 6.0
    assert totals(stages) == {"forward": Total(2.0), "read": Total(4.0)}
    with pytest.raises(ValueError, match="stage: expected one of read"):
        stages.timed("thinking")


def test_waiting_is_timed_and_limits_nothing(clock):
    stages = Stages()

    def items():
        for k in range(3):
            clock.now += 1.0
            yield k
        clock.now += 1.0

    seen = []
    for item in stages.waiting(items()):
        with stages.timed("forward") as span:
            span.count(proteins=1)
            clock.now += 0.25
        seen.append(item)
    assert seen == [0, 1, 2]
    assert totals(stages) == {"wait": Total(4.0), "forward": Total(0.75, 3)}
    assert stages.limit() == "forward"
    assert stages.rates() == {"forward": 4.0}


def test_threads_are_lanes_and_lanes_add_their_speed(clock):
    stages = Stages()
    for _ in range(2):
        with stages.timed("read") as span:
            span.count(proteins=10)
            clock.now += 1.0

    def other():
        with stages.timed("read") as span:
            span.count(proteins=10)
            clock.now += 2.0

    thread = threading.Thread(target=other, name="provis_fast-other")
    thread.start()
    thread.join()
    main = Lane("provis_fast", threading.current_thread().name)
    assert stages.totals == {
        (main, "read"): Total(2.0, 20),
        (Lane("provis_fast", "other"), "read"): Total(2.0, 10),
    }
    assert stages.rates() == {"read": 30 * 2 / 4.0}


def test_the_limit_is_what_the_busiest_lane_does_most():
    stages = Stages()
    one, two = Lane("here", "reading"), Lane("here", "main")
    stages.add(one, "read", Total(4.0, 8))
    stages.add(one, "featurise", Total(3.0, 8))
    stages.add(two, "forward", Total(5.0, 8))
    stages.add(two, "wait", Total(90.0))
    assert stages.limit() == "read"
    stages.add(two, "checkpoint", Total(2.5))
    assert stages.limit() == "forward"
    assert stages.rates(8) == {"read": 2.0, "featurise": 8 / 3, "forward": 1.6, "checkpoint": 3.2}
    assert Stages().limit() is None
    assert Stages().rates() == {}


def test_times_of_other_processes_are_added(clock):
    ours, theirs = Stages(spans=10), Stages("worker 1", spans=10)
    with ours.timed("forward", unit="0.1") as span:
        span.count(proteins=1)
        clock.now += 1.0
    for _ in range(2):
        with theirs.timed("forward", unit="0.2") as span:
            span.count(proteins=5, tokens=7, bytes=9)
            clock.now += 1.0
        ours.merge(pickle.loads(pickle.dumps(theirs.take())))
    assert theirs.totals == {} and theirs.spans == ()
    thread = threading.current_thread().name
    assert ours.totals == {
        (Lane("provis_fast", thread), "forward"): Total(1.0, 1),
        (Lane("worker 1", thread), "forward"): Total(2.0, 10, 14, 18),
    }
    assert [span.lane.process for span in ours.spans] == ["provis_fast", "worker 1", "worker 1"]
    assert ours.spans[1].sizes == {"unit": "0.2", "proteins": 5, "tokens": 7, "bytes": 9}


def test_the_latest_spans_are_kept(clock):
    stages = Stages(spans=3)
    for k in range(5):
        with stages.timed("read", unit=k):
            clock.now += 1.0
    assert [span.sizes["unit"] for span in stages.spans] == [2, 3, 4]
    assert stages.dropped == 2
    assert trace.chrome_trace(stages)["otherData"] == {"dropped_earlier_spans": 2}
    assert totals(stages) == {"read": Total(5.0)}


def test_rates_in_words():
    assert in_words({}, None) == ""
    assert in_words({"forward": 0.01234}, None) == "forward 0.0123 proteins/s"


def test_trace_has_a_track_for_each_thread():
    stages = Stages(spans=10)
    a, b = Lane("provis_fast", "main"), Lane("reader 1", "files")
    for lane, stage, began, seconds in (
        (a, "statistics", 101.0, 1.0),
        (a, "forward", 100.0, 3.0),
        (b, "read", 99.5, 0.25),
    ):
        stages.add(lane, stage, Total(), Span(lane, stage, began, seconds, {"unit": stage}))
    events = trace.chrome_trace(stages)["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert [(s["name"], s["ts"], s["dur"], s["args"]["unit"]) for s in spans] == [
        ("read", 0.0, 0.25e6, "read"),
        ("forward", 0.5e6, 3e6, "forward"),
        ("statistics", 1.5e6, 1e6, "statistics"),
    ]
    assert len({(s["pid"], s["tid"]) for s in spans}) == 2
    names = {
        (e["name"], e["pid"], e.get("tid")): e["args"]["name"] for e in events if e["ph"] == "M"
    }
    reading, forward = spans[0], spans[1]
    assert names["process_name", reading["pid"], None] == "reader 1"
    assert names["thread_name", reading["pid"], reading["tid"]] == "files"
    assert names["process_name", forward["pid"], None] == "provis_fast"
    assert trace.chrome_trace(Stages())["traceEvents"][1:] == []


def spans_of(path, thread: str) -> list[dict]:
    """Stretches of one thread of this process in a trace, in order."""
    events = json.loads(path.read_text())["traceEvents"]
    (tid,) = [
        e["tid"] for e in events if e["name"] == "thread_name" and e["args"]["name"] == thread
    ]
    return [e for e in events if e["ph"] == "X" and e["tid"] == tid]


def test_the_profile_of_an_analysis_is_without_gaps_and_overlaps(esm, tmp_path):
    path = tmp_path / "trace.json"
    path.write_text("earlier")
    proteins = analysis_cases.random_proteins([30] * 300)
    pf.analyze(esm, proteins, batch_tokens=640, profile=path)
    main = spans_of(path, threading.current_thread().name)
    reading = spans_of(path, "prefetch")
    assert {s["name"] for s in main} == {"wait", "forward", "statistics"}
    assert {s["name"] for s in reading} == {"read", "featurise"}
    for spans in (main, reading):  # nothing overlaps: what is inside would have to lie within
        # Rounded to nanoseconds.
        assert all(a["ts"] + a["dur"] <= b["ts"] + 0.002 for a, b in pairwise(spans))
    forward = [s for s in main if s["name"] == "forward"]
    assert sum(s["args"]["proteins"] for s in forward) == 300
    assert sum(s["args"]["tokens"] for s in forward) == 300 * 32
    assert len({s["args"]["unit"] for s in forward}) == len(forward) == 7 + 7 + 3
    assert all(0 < s["args"]["attention_seconds"] <= s["dur"] / 1e6 for s in forward)
    for stage in ("read", "featurise"):
        stretches = [s for s in reading if s["name"] == stage]
        assert sum(s["args"].get("proteins", 0) for s in stretches) == 300
    # Between these there is nothing else to do: a pack, or the remarks of a block.
    names = " ".join(s["name"] for s in main).replace("wait forward statistics", "pack")
    assert names.split() == [*("wait", *["pack"] * 7) * 2, "wait", *["pack"] * 3, "wait", "wait"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_the_profile_of_an_analysis_that_ends_early_is_whole(esm, tmp_path, error):
    path = tmp_path / "trace.json"

    def stop(proteins, tokens, total):
        raise error

    with pytest.raises(error):
        pf.analyze(esm, analysis_cases.random_proteins([20] * 9), progress=stop, profile=path)
    assert [s["name"] for s in spans_of(path, threading.current_thread().name)][:1] == ["wait"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["trace.json"]


def test_places_where_no_profile_can_be_written(esm, tmp_path, monkeypatch, caplog):
    proteins = analysis_cases.random_proteins([20])
    for bad, kind in (
        (tmp_path, ResultError),
        (tmp_path / "no" / "folder" / "trace.json", ResultError),
        ("", ArgumentError),
    ):
        with pytest.raises(kind):
            pf.analyze(esm, proteins, profile=bad, progress=lambda *_: pytest.fail("it ran"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trace.os, "replace", full)
    with caplog.at_level(logging.WARNING, "provis_fast"):
        assert pf.analyze(esm, proteins, profile=tmp_path / "trace.json").analysed == 1
    assert "the disk is full" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_workers_tell_their_times(esm):
    from provis_fast.measures import Measures
    from provis_fast.plan import PackPlanner
    from provis_fast.units import blocks
    from provis_fast.worker_spec import WorkerSpec

    measures = Measures.checked(
        ["amino_acid"], 0.3, None, esm.n_layers, esm.n_heads, "arcs", 100, False
    )
    planner = PackPlanner(esm, measures.properties, batch_tokens=640, stages=Stages(spans=7))
    spec = pickle.loads(pickle.dumps(WorkerSpec.of(esm, measures, planner)))
    (block,) = blocks(analysis_cases.random_proteins([20, 30]))
    with spec.start() as worker:
        for unit in worker.planner.units(block):
            worker.run(worker.planner.prepare(unit))
        partial = pickle.loads(pickle.dumps(worker.take()))
        assert worker.take().stages.totals == {}
    found = {stage: total for (_, stage), total in partial.stages.totals.items()}
    assert {stage: total.proteins for stage, total in found.items()} == {
        "featurise": 2,
        "forward": 2,
        "attention": 2,
        "statistics": 2,
    }
    assert found["forward"].tokens == 20 + 30 + 4
    assert {span.lane.process[:7] for span in partial.stages.spans} == {"worker "}
