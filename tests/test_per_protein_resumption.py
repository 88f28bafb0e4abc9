"""Tables of single proteins in runs that are stopped: the same bytes, nothing lost or twice."""

from __future__ import annotations

import os
import shutil

import pytest
from per_protein_cases import PROPERTIES, TABLES, files, proteins, save_fasta

import provis_fast as pf
from provis_fast import storage
from provis_fast.checkpoint import SPOOL
from provis_fast.cli import main
from provis_fast.engine import Interrupted
from provis_fast.errors import ResultError
from provis_fast.spool import ROWS, Spool

LENGTHS = [40, 3, 90, 60, 25, 100] * 5


class StopError(Exception):
    """Stands for the end of a process."""


def stopping_after(n, error=StopError):
    """A callback of progress that raises when it is called for the n-th time."""
    calls = []

    def stop(done, tokens, total):
        calls.append(done)
        if len(calls) == n:
            raise error

    return stop


@pytest.fixture
def options(tmp_path):
    return {
        "properties": PROPERTIES,
        "batch_tokens": 150,
        "per_protein": TABLES,
        "per_protein_folder": tmp_path / "tables",
        "checkpoint": tmp_path / "kept",
        "checkpoint_seconds": 0,
    }


@pytest.fixture(scope="module")
def expected(bert, tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected") / "tables"
    result = pf.analyze(
        bert,
        proteins(LENGTHS),
        PROPERTIES,
        batch_tokens=150,
        per_protein=TABLES,
        per_protein_folder=folder,
    )
    return result, files(folder)


@pytest.mark.parametrize("error", [StopError, KeyboardInterrupt])
@pytest.mark.parametrize("places", [[1], [4, 3, 2]])
def test_stopped_and_resumed(bert, options, expected, tmp_path, places, error):
    result, tables = expected
    for place in places:
        with pytest.raises((Interrupted, StopError)):
            pf.analyze(bert, proteins(LENGTHS), progress=stopping_after(place, error), **options)
        assert sorted(os.listdir(tmp_path)) == ["kept"]
    resumed = pf.analyze(bert, proteins(LENGTHS), **options)
    assert resumed.equals(result) and files(tmp_path / "tables") == tables
    shutil.rmtree(tmp_path / "tables")  # the state of a finished run stays
    assert pf.analyze(bert, proteins(LENGTHS), **options).equals(result)
    assert files(tmp_path / "tables") == tables


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_make_the_same_tables(bert, expected, in_threads, tmp_path, workers):
    result, tables = expected
    found = pf.analyze(
        bert,
        proteins(LENGTHS),
        PROPERTIES,
        batch_tokens=150,
        per_protein=TABLES,
        per_protein_folder=tmp_path / "tables",
        arcs=tmp_path / "arcs",
        workers=workers,
    )
    assert found.equals(result) and files(tmp_path / "tables") == tables
    (arcs,) = (content for name, content in tables.items() if name.startswith("arcs/"))
    assert (tmp_path / "arcs").read_bytes() == arcs


@pytest.mark.parametrize(("first", "then"), [(None, 2), (2, None), (2, 3)])
def test_other_workers_go_on_with_the_tables(
    bert, options, expected, in_threads, tmp_path, first, then
):
    result, tables = expected
    with pytest.raises(StopError):
        pf.analyze(bert, proteins(LENGTHS), progress=stopping_after(3), workers=first, **options)
    again = pf.analyze(bert, proteins(LENGTHS), workers=then, **options)
    assert again.equals(result) and files(tmp_path / "tables") == tables


def test_shards_make_the_same_tables_with_workers(bert, in_threads, tmp_path):
    """As one process makes them, shard by shard."""
    options = {"batch_tokens": 150, "per_protein": TABLES, "threads": 1}
    found = proteins(LENGTHS)
    for name, number in (("one", None), ("more", 2)):
        for index in (1, 2):
            pf.analyze(
                bert,
                found,
                PROPERTIES,
                shard=(index, 2),
                workers=number,
                per_protein_folder=tmp_path / f"{name}{index}",
                **options,
            )
    for index in (1, 2):
        made = files(tmp_path / f"more{index}")
        assert made == files(tmp_path / f"one{index}") and len(made) == 4


def test_killed_between_checkpoints(bert, options, expected, tmp_path):
    """The disk as it was right after a checkpoint, but with what came after in the spool."""
    result, tables = expected
    with pytest.raises(StopError):
        pf.analyze(bert, proteins(LENGTHS), progress=stopping_after(3), **options)
    kept = tmp_path / "copy"
    shutil.copytree(tmp_path / "kept", kept)
    with pytest.raises(StopError):
        pf.analyze(bert, proteins(LENGTHS), progress=stopping_after(4), **options)
    for name in os.listdir(tmp_path / "kept" / SPOOL):
        shutil.copy(tmp_path / "kept" / SPOOL / name, kept / SPOOL / name)
    (kept / SPOOL / ".per_protein.x").mkdir()  # of a process that was killed as it finished
    options["checkpoint"] = kept
    assert pf.analyze(bert, proteins(LENGTHS), **options).equals(result)
    assert files(tmp_path / "tables") == tables
    assert not any(name.startswith(".") for name in os.listdir(kept / SPOOL))


def test_rows_that_are_lost_are_told(bert, options, tmp_path):
    with pytest.raises(StopError):
        pf.analyze(bert, proteins(LENGTHS), progress=stopping_after(3), **options)
    os.remove(tmp_path / "kept" / SPOOL / ROWS)
    with pytest.raises(ResultError, match=rf"{ROWS}: the rows of single proteins .* are not there"):
        pf.analyze(bert, proteins(LENGTHS), **options)
    result = pf.analyze(bert, proteins(LENGTHS), resume=False, **options)
    assert result.analysed == len(LENGTHS)


def test_other_tables_are_another_run(bert, options, expected, tmp_path):
    with pytest.raises(StopError):
        pf.analyze(bert, proteins(LENGTHS), progress=stopping_after(3), **options)
    for change in ({"per_protein": "counts"}, {"per_protein": (), "per_protein_folder": None}):
        with pytest.raises(ResultError, match=r"tables of single proteins: .* there, .* now"):
            pf.analyze(bert, proteins(LENGTHS), **(options | change))
    assert pf.analyze(bert, proteins(LENGTHS), **options).equals(expected[0])


def test_rows_that_cannot_be_written_end_the_run(bert, options, expected, tmp_path, monkeypatch):
    """The last checkpoint stays as it was: it knows nothing of the unit whose rows are lost."""
    append, calls = Spool.append, []

    def failing(self, unit, tables):
        calls.append(unit)
        if len(calls) == 4:
            raise ResultError("the disk is full")
        append(self, unit, tables)

    monkeypatch.setattr(Spool, "append", failing)
    with pytest.raises(ResultError, match="the disk is full"):
        pf.analyze(bert, proteins(LENGTHS), **options)
    result, tables = expected
    assert pf.analyze(bert, proteins(LENGTHS), **options).equals(result)
    assert files(tmp_path / "tables") == tables


def test_files_that_cannot_be_closed_hide_nothing(bert, options, tmp_path, monkeypatch):
    """On a full disk, closing fails as well: what the analysis ended with is still told."""

    def failing(self):
        raise ResultError("the disk is full")

    monkeypatch.setattr(Spool, "close", failing)
    with pytest.raises(Interrupted) as caught:
        pf.analyze(
            bert, proteins(LENGTHS), progress=stopping_after(3, KeyboardInterrupt), **options
        )
    assert caught.value.partial.analysed > 0


def test_writing_tables_is_part_of_the_analysis(bert, options, monkeypatch):
    told = []
    pf.analyze(bert, proteins(LENGTHS[:3]), events=told.append, **options)
    assert told[-1].status == "complete" and told[-1].stage_seconds["write"] > 0

    def failing(self, *arguments):
        raise ResultError("no room")

    monkeypatch.setattr(Spool, "finish", failing)
    with pytest.raises(ResultError, match="no room"):
        pf.analyze(bert, proteins(LENGTHS[:3]), events=told.append, **options)
    assert told[-1].status == "failed" and told[-1].reason == "no room"


def test_arcs_alone_survive(bert, tmp_path):
    options = {"batch_tokens": 150, "checkpoint": tmp_path / "kept"}
    pf.analyze(bert, proteins(LENGTHS), batch_tokens=150, arcs=tmp_path / "expected")
    with pytest.raises(StopError):
        pf.analyze(
            bert,
            proteins(LENGTHS),
            arcs=tmp_path / "arcs",
            progress=stopping_after(3),
            **options,
        )
    pf.analyze(bert, proteins(LENGTHS), arcs=tmp_path / "arcs", **options)
    assert (tmp_path / "arcs").read_bytes() == (tmp_path / "expected").read_bytes()


@pytest.fixture
def command(tmp_path, tmp_path_factory):
    import analysis_cases

    model = analysis_cases.save_bert(tmp_path_factory.mktemp("model"))
    fasta = save_fasta(tmp_path / "in.fasta", proteins(LENGTHS))
    return ["analyze", str(model), str(fasta), "--batch-tokens", "150", "--out"]


def test_the_same_command_goes_on(command, tmp_path, monkeypatch, capsys):
    asked = ["--per-protein", "counts,received", "--arcs", "--checkpoint-seconds", "0"]
    assert main([*command, str(tmp_path / "whole"), *asked]) == 0
    assert "per_protein/" in capsys.readouterr().out
    out = str(tmp_path / "out")
    append, calls = Spool.append, []

    def stopped(self, unit, tables):
        append(self, unit, tables)
        calls.append(unit)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Spool, "append", stopped)
    assert main([*command, out, *asked]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(Spool, "append", append)
    assert main([*command, out, *asked]) == 0
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert len(files(tmp_path / "out" / "per_protein")) == 4
    assert sorted(os.listdir(tmp_path)) == ["in.fasta", "out", "whole"]
    assert main([*command, out, *asked]) == 0  # it is there already
    assert "nothing is analysed again" in capsys.readouterr().err
    assert main([*command, out, "--per-protein", "counts"]) == 2
    assert "tables of single proteins: arcs, counts, proteins, received there" in (
        capsys.readouterr().err
    )
    assert main([*command, out, "--overwrite"]) == 0
    assert not (tmp_path / "out" / "per_protein").exists()


def test_shards_are_merged_with_their_tables(command, tmp_path, capsys):
    asked = ["--per-protein", "counts,arcs"]
    assert main([*command, str(tmp_path / "whole"), *asked]) == 0
    shards = [str(tmp_path / f"shard{index}") for index in (1, 2)]
    for index, shard in enumerate(shards, start=1):
        assert main([*command, shard, *asked, "--shard", f"{index}/2"]) == 0
    merged = tmp_path / "merged"
    assert main(["merge", *reversed(shards), "--out", str(merged)]) == 0
    assert storage.load(merged).totals.equals(storage.load(tmp_path / "whole").totals)
    for name in ("proteins", "counts", "arcs"):
        tables = []
        for folder in (merged, tmp_path / "whole"):
            table = pf.read_per_protein(folder, name).drop_columns("shard").to_pandas()
            table = table.astype({"residue_numbers": str} if name == "proteins" else {})
            by = [column for column in table.columns if column not in ("weight", "count")]
            tables.append(table.sort_values(by).reset_index(drop=True))
        assert tables[0].equals(tables[1]) and len(tables[0]) > 0
