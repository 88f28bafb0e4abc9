"""Remarks about records: in order, complete, in little memory; failed.tsv and older manifests."""

from __future__ import annotations

import hashlib
import json
import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_cases import random_result

from provis_fast import failed_table, record_log, storage
from provis_fast.errors import ResultError
from provis_fast.record_log import RecordLog, Remark, View


def _remarks(n, seed=0):
    """In an order as workers have it, several of some records."""
    rng = random.Random(seed)
    remarks = []
    for number in range(n):
        for k in range(rng.choice([0, 1, 1, 2])):
            status = rng.choice(record_log.STATUSES)
            remarks.append(Remark(number, f"p{number}", status, f"reason {k}", "in.fa", number + 2))
    return sorted(remarks, key=lambda remark: remark.number // 7 % 5)


@pytest.mark.parametrize("chunk", [1, 3, 16, 10**6])
def test_the_order_is_that_of_the_input(monkeypatch, chunk):
    monkeypatch.setattr(record_log, "_CHUNK", chunk)
    remarks = _remarks(200)
    log = RecordLog(remarks)
    expected = sorted(remarks, key=lambda remark: remark.number)
    assert list(log) == list(log) == expected and len(log) == len(remarks)
    assert log.end == expected[-1].number + 1
    for status in record_log.STATUSES:
        assert log.count(status) == sum(remark.status == status for remark in remarks)
    content, description = log.to_tensor()
    assert RecordLog.from_tensor(content, json.loads(json.dumps(description))) == log
    with pytest.raises(ValueError, match="bytes of remarks"):
        RecordLog.from_tensor(content[:-1], description)


def test_logs_join_in_any_order_and_with_an_offset(monkeypatch):
    monkeypatch.setattr(record_log, "_CHUNK", 5)
    remarks = _remarks(60)
    whole = RecordLog(remarks)
    logs = [RecordLog(r for r in remarks if r.number % 3 == k) for k in (2, 0, 1)]
    joined = logs[0].copy()
    joined.extend(logs[1])
    joined.extend(logs[2])
    assert joined == whole and len(logs[0]) < len(whole)
    twice = whole.copy()
    twice.extend(whole, 100)
    twice.extend(whole, 200)
    assert [r.number for r in twice] == [n + r.number for n in (0, 100, 200) for r in whole]
    assert whole != logs[0]
    content, description = twice.to_tensor()
    assert RecordLog.from_tensor(content, description) == twice


def test_millions_of_remarks_take_little_memory():
    rng = random.Random(0)
    tracemalloc.start()
    log = RecordLog()
    for number in range(20_000):
        reason = f"{rng.randrange(1023, 9000)} residues, but the model has positions for 1022; cut"
        log.add(Remark(number, f"UniRef50_A0A{number:06X}", "skipped", reason, "uniref50.fasta"))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / len(log) < 60  # in bytes; a dict of these takes 500


def test_views_are_sequences():
    view = View(5, lambda: iter("abcde"))
    assert len(view) == 5 and list(view) == list("abcde") == view and view != list("abcd")
    assert (view[0], view[-1], view[1:3], view[::-2], view[9:]) == (
        "a",
        "e",
        ["b", "c"],
        ["e", "c", "a"],
        [],
    )
    assert "c" in view and repr(view) == "['a', 'b', 'c', 'd', 'e']"
    with pytest.raises(IndexError):
        view[5]


text = st.text(st.characters(), max_size=20)


@given(st.lists(st.tuples(text, text, text, st.none() | st.integers(1, 10**9)), max_size=5))
def test_failed_tsv_brings_any_text_back(tmp_path_factory, cells):
    remarks = [
        Remark(number * 3, name, record_log.STATUSES[number % 3], reason, source, line)
        for number, (name, reason, source, line) in enumerate(cells)
    ]
    path = tmp_path_factory.mktemp("table") / "failed.tsv"
    path.write_bytes(b"".join(failed_table.lines(remarks)))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert list(failed_table.read(path, digest)) == remarks
    written = path.read_bytes().decode()
    assert written.count("\n") == len(remarks) + 1
    assert all(line.count("\t") == 5 for line in written.split("\n")[:-1])


@pytest.mark.parametrize(
    "damage", ["1\tp\tskipped\n", "x\tp\tfailed\tf\t\tr\n", "1\tp\todd\tf\t\tr\n"]
)
def test_a_damaged_line_is_named(tmp_path, damage):
    path = tmp_path / "failed.tsv"
    path.write_text("\t".join(failed_table.COLUMNS) + "\n" + damage)
    with pytest.raises(ResultError, match=r"failed\.tsv:2: expected record, id, status"):
        failed_table.read(path, None)


def test_the_manifest_lists_the_first_thousand(tmp_path):
    result = random_result(1)
    for number in range(3000):
        result.note(Remark(number, f"p{number}", record_log.STATUSES[number % 3], "why"))
    result.save(tmp_path / "out")
    proteins = json.loads((tmp_path / "out" / "manifest.json").read_text())["proteins"]
    assert [proteins[name] for name in ("skipped", "failed", "noted")] == [1000] * 3
    assert len(proteins["set_aside"]) == len(proteins["notes"]) == 1000
    assert proteins["set_aside"][0] == {
        "record": 1, "id": "p0", "status": "skipped", "reason": "why", "source": "", "line": None,
    }  # fmt: skip
    assert proteins["set_aside"][-1]["record"] < 1502 and proteins["notes"][-1]["record"] == 3000
    again = storage.load(tmp_path / "out")
    assert again.equals(result) and len(again.set_aside) == 2000 and len(again.notes) == 1000


def test_results_of_version_1_are_read(tmp_path):
    """They had no failed.tsv; all that was set aside stood in the manifest."""
    result = random_result(1)
    result.note(Remark(0, "q", "failed", "because", "in.fasta", 7))
    result.note("p: cut from 5 to 3 residues")
    result.save(tmp_path / "out")
    path = tmp_path / "out" / "manifest.json"
    head = json.loads(path.read_text())
    entry = {"id": "q", "status": "failed", "reason": "because", "source": "in.fasta", "line": 7}
    proteins = {name: head["proteins"][name] for name in ("read", "analysed", "skipped", "failed")}
    proteins |= {"residues": result.residues, "set_aside": [entry]}
    for name in ("shard", "counted_notes"):
        del head[name]
    path.write_text(json.dumps(head | {"format_version": 1, "proteins": proteins}))
    (tmp_path / "out" / "failed.tsv").unlink()
    again = storage.load(tmp_path / "out")
    assert again.equals(result) and np.array_equal(again.arcs, result.arcs)
    again.save(tmp_path / "out")  # as one of this version
    assert json.loads(path.read_text())["format_version"] == 3
    assert storage.load(tmp_path / "out").equals(result)
