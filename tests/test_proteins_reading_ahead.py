"""Reading in other processes: the same records in the same order, whatever happens to them."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reader_targets
from structure_text import chain, pdb_text

import provis_fast
import provis_fast.engine
from provis_fast import child_process
from provis_fast.errors import ArgumentError, InputError, ProvisError
from provis_fast.proteins import Protein, ProteinSource, SetAside, load_proteins, reading_ahead
from provis_fast.proteins.inputs import InputFile
from provis_fast.proteins.reading_ahead import ReadingAhead, automatic_readers

ENTRIES = sorted((Path(provis_fast.__file__).parent / "data" / "general").glob("*.gz"))


def told(folder: Path, **files: str) -> ProteinSource:
    """Files that say themselves what happens when they are read."""
    inputs = []
    for name, text in files.items():
        path = folder / f"{name}.txt"
        path.write_text("\n".join(text.split("; ")))
        inputs.append(InputFile(path, reader_targets.FORMAT, path.name))
    return ProteinSource(inputs, unique="none")


def plain(record: Protein | SetAside) -> object:
    """A record as something that can be compared."""
    if isinstance(record, SetAside):
        return record
    return (
        *(record.id, record.sequence, record.source, record.notes, record.cluster),
        *(record.residue_numbers,),
        *(None if xyz is None else xyz.tobytes() for xyz in (record.ca, record.cb)),
        {name: np.asarray(labels).tolist() for name, labels in record.labels.items()},
        {name: values.tobytes() for name, values in record.values.items()},  # NaN too
    )


def messages(caplog) -> list[tuple]:
    """What was logged."""
    return [
        (record.name, record.levelno, record.getMessage(), getattr(record, "noted", False))
        for record in caplog.records
    ]


def ids(records) -> list[str]:
    return [record.id for record in records]


@pytest.mark.parametrize("readers", [1, 3])
@pytest.mark.parametrize("labels", [(), ("secondary_structure", "no such label")])
def test_records_and_log_are_those_of_reading_here(tmp_path, caplog, readers, labels):
    for entry in ENTRIES[:5]:
        shutil.copy(entry, tmp_path)
    shutil.copy(ENTRIES[0], tmp_path / "again.cif.gz")  # an id twice
    (tmp_path / "broken.pdb").write_text("ATOM      1  N   MET A   1      11.1")
    (tmp_path / "empty.cif").write_text("")
    (tmp_path / "gap.pdb").write_text(pdb_text(chain("MET LYS VAL", [1, 2, 9])))
    (tmp_path / "some.fasta").write_text(
        ">one\nMKV\n>bad\nMK1\n>long\n" + "MKV" * 9000 + f"\n>dna\n{'ACGT' * 20}\n" + ">two\nGA-V\n"
    )
    with caplog.at_level(logging.INFO, "provis_fast"):
        here = [plain(record) for record in load_proteins(tmp_path).records()]
        logged = messages(caplog)
        caplog.clear()
        source = load_proteins(tmp_path)
        there = [plain(record) for record in source.records(readers=readers, labels=labels)]
    assert there == here
    assert messages(caplog) == logged
    assert logged
    assert {type(record) for record in here} == {tuple, SetAside}
    assert source.__length_hint__() == len(here)


def test_labels_are_computed_there_when_they_are_wanted():
    for labels, computed in (((), False), (("secondary_structure",), True)):
        source = load_proteins(ENTRIES[0])
        (protein,) = source.records(readers=1, labels=labels)
        assert ("secondary_structure" in protein.labels._ready) is computed


def test_a_single_file_of_no_use_raises_as_it_does_here(tmp_path):
    path = tmp_path / "broken.pdb"
    path.write_text("ATOM      1  N   MET A   1      11.1")
    errors = []
    for readers in (0, 1):
        with pytest.raises(InputError) as caught:
            list(load_proteins(path).records(readers=readers))
        errors.append(caught.value)
    assert str(errors[1]) == str(errors[0])
    assert [vars(error) for error in errors[1:]] == [vars(errors[0])]


@pytest.mark.parametrize(
    ("end", "how"),
    [
        ("kill now", "was killed by SIGKILL, perhaps because memory ran short"),
        ("exit 7", "ended with status 7"),
    ],
)
@pytest.mark.parametrize("readers", [1, 2])
def test_a_file_that_its_reader_dies_of_is_set_aside_alone(tmp_path, end, how, readers):
    source = told(
        tmp_path, a="proteins 2", b=f"proteins 300; {end}", c="proteins 1", d=end, e="proteins 1"
    )
    records = list(source.records(readers=readers))
    failed = [record for record in records if isinstance(record, SetAside)]
    assert [record.id for record in failed] == ["b.txt", "d.txt"]
    assert all(how in record.reason for record in failed)
    # What a full batch had of b has come; what was not sent yet is lost with the process.
    assert ids(records) == [
        *("a_0_0", "a_0_1"),
        *(f"b_0_{k}" for k in range(256)),
        *("b.txt", "c_0_0", "d.txt", "e_0_0"),
    ]


def test_a_single_file_that_its_reader_dies_of_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"one\.txt: the process that read it ended with status 3"):
        list(told(tmp_path, one="exit 3").records(readers=1))


def test_a_process_that_dies_between_two_files_costs_none(tmp_path, monkeypatch):
    monkeypatch.setattr(reading_ahead, "_WINDOW", 1)
    source = told(tmp_path, a="pid", b="pid", c="pid")
    seen = []
    for record in source.records(readers=1):
        seen.append(record.id)
        pid = int(record.id[2:])
        (ahead,) = source._ahead
        ahead._readers[0]._child._process.kill()
        ahead._readers[0]._child._process.wait()
        assert gone(pid)
    assert [name[0] for name in seen] == ["a", "b", "c"]
    assert len(set(name[2:] for name in seen)) == 3, "each was read by a process of its own"


def test_a_reader_that_cannot_start_leaves_the_files_to_this_process(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no such python"))
    source = told(tmp_path, a="proteins 1", b="pid")
    assert ids(source.records(readers=2)) == ["a_0_0", f"b_{os.getpid()}"]
    assert "cannot be started; its files are read here instead" in caplog.text


def test_records_that_cannot_be_sent_are_read_here(tmp_path):
    source = told(tmp_path, a="proteins 300; lazily; proteins 300", b="proteins 1")
    records = list(source.records(readers=1))
    assert ids(records) == ids(source.records())
    (lazy,) = (record for record in records if record.labels)
    assert lazy.labels["lazy"] == [1, 0, 1]


def test_a_file_without_a_name_is_read_here(tmp_path):
    (item,) = told(tmp_path, a="pid")._inputs
    with item.path.open() as file:
        unnamed = replace(item, path=Path(f"/dev/fd/{file.fileno()}"))
        (record,) = ProteinSource([unnamed]).records(readers=1)
    assert record.id.endswith(f"_{os.getpid()}")


def test_formats_that_cannot_be_pickled_are_read_there_all_the_same(tmp_path):
    (item,) = told(tmp_path, a="pid")._inputs
    odd = replace(item, format=replace(item.format, begins=lambda head: False))
    (record,) = ProteinSource([odd]).records(readers=1)
    assert record.id != f"a_{os.getpid()}"


def top_level_reader(path, source, reading):
    yield Protein(f"by_{os.getpid()}", "MKV")


def test_readers_that_others_cannot_import_are_used_here(tmp_path, monkeypatch):
    (item,) = told(tmp_path, a="proteins 1")._inputs

    def by(reader) -> str:
        source = ProteinSource([replace(item, format=replace(item.format, reader=reader))])
        return ids(source.records(readers=1))[0]

    here = f"by_{os.getpid()}"
    assert by(lambda *arguments: top_level_reader(*arguments)) == here
    assert by(top_level_reader) != here
    monkeypatch.setattr(top_level_reader, "__module__", "__main__")
    monkeypatch.setattr(
        sys.modules["__main__"], "top_level_reader", top_level_reader, raising=False
    )
    assert by(top_level_reader) == here


@pytest.mark.parametrize("readers", [0, 1])
def test_exceptions_come_as_they_are(tmp_path, readers):
    source = told(tmp_path, a="proteins 1; raise memory", b="proteins 1")
    records = list(source.records(readers=readers))
    assert ids(records) == ["a_0_0", "a.txt", "b_0_0"]
    assert "does not fit into memory" in records[1].reason
    for what, kind in (("bug", ZeroDivisionError), ("ours", ProvisError)):
        records = told(tmp_path, a=f"proteins 1; raise {what}").records(readers=readers)
        assert next(records).id == "a_0_0"
        with pytest.raises(kind, match=f"raise {what}") as caught:
            next(records)
        assert bool(getattr(caught.value, "__notes__", ())) is bool(readers)


def test_readers_import_no_torch(tmp_path):
    (record,) = told(tmp_path, a="modules").records(readers=1)
    assert "provis_fast.proteins.reader_process" in record.notes
    assert "torch" not in record.notes


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_closing_ends_the_processes_in_the_middle_of_anything(tmp_path):
    records = told(tmp_path, a="pid; endless", b="wait").records(readers=2)
    first = next(records)
    assert [next(records).id for _ in range(600)] == [f"a_{k}" for k in range(600)]
    records.close()
    assert gone(int(first.id[2:]))


def test_another_thread_can_stop_reading(tmp_path):
    source = told(tmp_path, a="pid; proteins 255; wait")
    records = source.records(readers=1)
    pid = int(next(records).id[2:])
    raised = []

    def read() -> None:
        try:
            list(records)
        except ProvisError as error:
            raised.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    source.stop_reading()
    thread.join()
    assert [str(error) for error in raised] == ["the process reader 1 was ended by this one"]
    assert gone(pid)
    assert len(ids(told(tmp_path, a="proteins 3").records(readers=1))) == 3


def test_a_script_needs_no_guard_and_leaves_nothing_behind(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from provis_fast.proteins import load_proteins\n"
        "print('once')\n"
        f"records = load_proteins({str(ENTRIES[0].parent)!r}).records(readers=2)\n"
        "print(next(records).id, flush=True)\n"
        "raise SystemExit(5)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    run = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (5, "once\n1A8O_A\n", "")


def test_the_number_of_readers_follows_from_the_input(tmp_path, monkeypatch):
    monkeypatch.setattr(reading_ahead, "SMALL_FILES", 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(32))
    (tmp_path / "one.fasta").write_text(">a\n" + "MKV" * 100)
    for k in range(3):
        shutil.copy(ENTRIES[0], tmp_path / f"{k}.cif.gz")
    assert automatic_readers(load_proteins(tmp_path)._inputs) == 0
    shutil.copy(ENTRIES[0], tmp_path / "3.cif.gz")
    files = load_proteins(tmp_path)._inputs
    for cores, readers in ((32, 4), (8, 2), (4, 1), (1, 1)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: range(n))
        assert automatic_readers(files) == readers
    monkeypatch.setattr(reading_ahead, "SMALL_FILES", 4)
    assert automatic_readers(files) == 0
    monkeypatch.setattr(reading_ahead, "SMALL_BYTES", 4 * files[0].path.stat().st_size - 1)
    assert automatic_readers(files) == 1
    monkeypatch.setattr(child_process.sys, "frozen", True, raising=False)
    assert automatic_readers(files) == 0


def test_none_chooses(tmp_path, monkeypatch):
    monkeypatch.setattr(reading_ahead, "SMALL_FILES", 1)
    source = told(tmp_path, a="pid", b="pid")
    assert str(os.getpid()) not in "".join(ids(source.records(readers=None)))


@pytest.mark.parametrize("readers", [-1, 1.0, True, "2"])
def test_bad_numbers_of_readers(readers):
    with pytest.raises(ArgumentError, match="readers: expected an integer of at least 0"):
        ReadingAhead([], reading_ahead.Reading(), readers)


def test_input_errors_can_be_pickled():
    error = InputError("expected this, got that", "file.pdb", 7)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (InputError, str(error), vars(error))


def test_an_analysis_that_ends_does_not_wait_for_a_reader_that_hangs(esm, tmp_path):
    source = told(tmp_path, a="proteins 128", b="pid; wait")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(provis_fast.engine.Interrupted) as caught:
        provis_fast.analyze(esm, source, readers=1, progress=stop)
    assert caught.value.partial.analysed > 0
