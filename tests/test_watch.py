"""What an analysis tells while it runs, and how much time it says is left."""

from __future__ import annotations

import logging
import shutil
from dataclasses import FrozenInstanceError

import analysis_cases
import pytest

import provis_fast as pf
from provis_fast import watch
from provis_fast.errors import InputError
from provis_fast.events import Checkpointed, Ended, Progress, RecordSetAside, Started
from provis_fast.proteins import Protein, SetAside
from provis_fast.watch import Pace, Watch


def test_nothing_is_foretold_at_first():
    pace = Pace()
    assert pace.left(100) is None and pace.rate() is None
    pace.update(5, 0.5)
    assert pace.left(100) is None
    pace.update(5, 2.0)
    assert pace.rate() == 2.5
    assert pace.left(105) == 40.0
    assert pace.left(None) is None
    assert pace.left(5) == pace.left(4) == 0.0


def test_what_was_done_before_is_no_speed():
    pace = Pace(done=1_000_000, now=50.0)
    pace.update(1_000_000, 60.0)
    assert pace.left(1_000_100) is None
    pace.update(1_000_020, 70.0)
    assert pace.left(1_000_100) == 80.0


def test_the_speed_is_that_of_late():
    pace = Pace()
    for second in range(1, 61):  # one a second, after a slow start
        pace.update(max(0, second - 20), float(second))
    assert pace.rate() == pytest.approx(1.0, rel=0.02)
    for second in range(61, 161):  # ten a second: the last 40 s of 160 s count
        pace.update(40 + 10 * (second - 60), float(second))
    assert pace.rate() == pytest.approx(10.0, rel=0.02)
    assert pace.left(2040) == pytest.approx(100.0, rel=0.02)


def test_a_day_takes_no_more_memory_than_a_minute():
    pace = Pace()
    for step in range(1, 100_000):
        pace.update(step, float(step))
        assert len(pace._samples) <= 80
    assert pace.rate() == pytest.approx(1.0)


@pytest.fixture
def now(monkeypatch):
    """The time that a `Watch` sees; set by the test."""

    class Now:
        seconds = 0.0

        def perf_counter(self):
            return self.seconds

    found = Now()
    monkeypatch.setattr(watch, "time", found)
    return found


def test_progress_is_told_ten_times_a_second_at_most(now):
    calls, events = [], []
    watching = Watch(lambda *call: calls.append(call), events.append)
    for done in range(1, 8):
        now.seconds += 0.04
        watching.progressed(done, 10 * done, None, last=done == 7)
    assert calls == [(done, 10 * done, None) for done in range(1, 8)]
    assert [event.proteins for event in events] == [1, 4, 7]
    now.seconds = 10.0
    watching.progressed(20, 200, 40)
    assert events[-1] == Progress(20, 200, 40, 10.0, 10.0)


def files(tmp_path):
    path = tmp_path / "some.fasta"
    path.write_text(">one\nMKVLAGMKVL\n>two\nMK1\n>one\nMKVLAGMKVL\n>three\nGAVGAVGAV\n")
    return path


def test_events_of_an_analysis(esm, tmp_path):
    events = []
    result = pf.analyze(esm, files(tmp_path), ["amino_acid"], events=events.append)
    begin, *between, end = events
    assert isinstance(begin, Started)
    assert begin.model["name"] == esm.name
    assert [entry["path"] for entry in begin.inputs] == ["some.fasta"]
    assert begin.options["properties"] == ["amino_acid"]
    assert begin.versions["provis_fast"] == pf.__version__
    assert (begin.device, begin.proteins, begin.tokens, begin.shard) == ("cpu", 0, 0, (1, 1))
    assert [event for event in between if isinstance(event, RecordSetAside)] == [
        RecordSetAside(
            "two",
            "failed",
            "expected one letter per residue, got the character '1' at residue 3",
            "some.fasta",
            4,
        ),
        RecordSetAside("one", "skipped", "duplicate id, first in some.fasta", "some.fasta", 5),
    ]
    last = between[-1]
    assert isinstance(last, Progress)
    assert (last.proteins, last.total, last.seconds_left) == (4, 4, 0.0)
    assert last.tokens == result.run[0]["tokens"] == 10 + 9 + 4
    assert list(last.rates) == ["read", "featurise", "forward", "statistics"]
    assert isinstance(end, Ended)
    assert (end.status, end.analysed, end.skipped, end.failed) == ("complete", 2, 1, 1)
    assert end.tokens == last.tokens
    assert set(end.stage_seconds) == {*last.rates, "attention", "wait"}
    assert end.limit in end.rates
    assert end.reason == ""
    with pytest.raises(FrozenInstanceError):
        end.status = "anything"


def test_events_of_analyses_that_end_early(esm):
    proteins = analysis_cases.random_proteins([20, 30])
    for error, status, reason in (
        (KeyboardInterrupt, "interrupted", ""),
        (ZeroDivisionError("by nothing"), "failed", "by nothing"),
    ):
        events = []

        def stop(*_, error=error):
            raise error

        with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
            pf.analyze(esm, proteins, progress=stop, events=events.append)
        assert (events[-1].status, events[-1].reason, events[-1].analysed) == (status, reason, 2)
        assert isinstance(events[0], Started)


def test_a_listener_can_stop_an_analysis(esm):
    class StopError(Exception):
        pass

    def listen(event):
        if isinstance(event, Progress):
            raise StopError

    with pytest.raises(StopError):
        pf.analyze(esm, analysis_cases.random_proteins([20] * 5), events=listen)


def test_checkpoints_and_what_they_begin_with_are_told(esm, tmp_path):
    proteins = analysis_cases.random_proteins([20] * 300)
    options = {"batch_tokens": 640, "checkpoint": tmp_path / "kept", "checkpoint_seconds": 0}
    events, calls = [], []

    def stop_later(*call):
        calls.append(call)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pf.analyze(esm, proteins, progress=stop_later, events=events.append, **options)
    written = [event for event in events if isinstance(event, Checkpointed)]
    assert [event.proteins for event in written] == [done for done, *_ in calls]
    assert {event.path for event in written} == {str(tmp_path / "kept" / "checkpoint.safetensors")}
    done, tokens, _ = calls[-1]
    assert events[-1].analysed == done and events[-1].stage_seconds["checkpoint"] > 0
    later, again = [], []
    pf.analyze(
        esm, proteins, progress=lambda *call: again.append(call), events=later.append, **options
    )
    assert (later[0].proteins, later[0].tokens) == (done, tokens)
    assert again[-1][:2] == (300, 300 * 22)
    assert (later[-1].analysed, later[-1].tokens) == (300, 300 * 22)


class Records:
    """A source of one's own."""

    def __init__(self, records):
        self._records = records

    def records(self):
        return iter(self._records)

    def digests(self):
        return []


def test_sources_of_others_are_read_as_they_are(esm):
    source = Records([Protein("one", "MKVLAG"), SetAside("two", "skipped", "no reason")])
    events = []
    result = pf.analyze(esm, source, readers=2, events=events.append)
    assert (result.analysed, result.skipped) == (1, 1)
    assert events[-1].rates["read"] > 0


@pytest.mark.parametrize("readers", [1, 2])
def test_results_do_not_depend_on_who_reads(esm, tmp_path, readers, caplog):
    (tmp_path / "in").mkdir()
    for entry in sorted((shared_entries()).glob("*.gz"))[:4]:
        shutil.copy(entry, tmp_path / "in")
    shutil.copy(files(tmp_path), tmp_path / "in")
    (tmp_path / "in" / "broken.pdb").write_text("ATOM")
    found = []
    for n in (0, readers):
        events = []
        with caplog.at_level(logging.WARNING, "provis_fast"):
            caplog.clear()
            result = pf.analyze(
                esm,
                tmp_path / "in",
                ["amino_acid", "secondary_structure", "contact", "binding_site"],
                readers=n,
                events=events.append,
            )
        result.run = []
        result.save(tmp_path / f"out{n}")
        content = {
            path.name: path.read_bytes() for path in sorted((tmp_path / f"out{n}").iterdir())
        }
        found.append((content, [record.getMessage() for record in caplog.records]))
        assert events[-1].rates["read"] > 0
    assert found[0] == found[1]
    assert result.failed == 2


def shared_entries():
    from pathlib import Path

    return Path(pf.__file__).parent / "data" / "general"


def test_a_single_unreadable_file_raises_whoever_reads(esm, tmp_path):
    path = tmp_path / "broken.pdb"
    path.write_text("ATOM")
    for readers in (0, 1):
        with pytest.raises(InputError, match=r"broken\.pdb"):
            pf.analyze(esm, path, readers=readers)
