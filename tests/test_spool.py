"""Spools: any order, killed and resumed, damaged, full disks; and the bytes of what they write."""

from __future__ import annotations

import errno
import json
import os
import pickle
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from provis_fast import row_groups
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.spool import INDEX, ROWS, Spool, partition

NUMBERS = pa.schema([("record", pa.int64()), ("protein", pa.string())], metadata={"what": "ids"})
LISTS = pa.schema([("record", pa.int64()), ("received", pa.list_(pa.float32()))])
SCHEMAS = {"numbers": NUMBERS, "lists": LISTS}
UNITS = [(block, part) for block in range(4) for part in range(1, 6)]


def rows(unit, rng=None):
    """Rows of a unit: some, sometimes none; text as a dictionary."""
    n = (7 * unit[0] + 3 * unit[1]) % 5
    record = np.arange(n) + 1000 * unit[0] + 10 * unit[1]
    ids = pa.DictionaryArray.from_arrays(
        pa.array(np.arange(n) % 2, pa.int32()), pa.array([f"even {unit}", f"odd {unit}"])
    )
    lists = [[float(r)] * (r % 4) if r % 3 else None for r in record.tolist()]
    return {
        "numbers": pa.record_batch([pa.array(record), ids], names=["record", "protein"]),
        "lists": pa.record_batch(
            [pa.array(record), pa.array(lists, pa.list_(pa.float32()))],
            names=["record", "received"],
        ),
    }


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    spool = Spool(folder / "spool", SCHEMAS)
    for unit in UNITS:
        spool.append(unit, rows(unit))
    spool.finish(folder / "out")
    spool.close()
    return files(folder / "out")


def finished(spool, folder):
    spool.finish(folder / "out")
    spool.close()
    return files(folder / "out")


def test_rows_in_the_order_of_units(expected, tmp_path):
    assert sorted(expected) == [
        "lists/shard=0001-of-0001/part-0.parquet",
        "numbers/shard=0001-of-0001/part-0.parquet",
    ]
    for name, schema in SCHEMAS.items():
        path = tmp_path / name
        path.write_bytes(expected[f"{name}/shard=0001-of-0001/part-0.parquet"])
        table = pq.ParquetFile(path).read()
        assert table.schema.equals(schema) and table.schema.metadata == schema.metadata
        batches = [pa.Table.from_batches([rows(unit)[name]]).cast(schema) for unit in UNITS]
        assert table.num_rows > 20
        assert table.equals(pa.concat_tables(batches))


@pytest.mark.parametrize("seed", range(3))
def test_bytes_do_not_depend_on_the_order_of_units(expected, tmp_path, seed):
    spool = Spool(tmp_path / "spool", SCHEMAS)
    for index in np.random.default_rng(seed).permutation(len(UNITS)):
        spool.append(UNITS[index], pickle.loads(pickle.dumps(rows(UNITS[index]))))
    assert finished(spool, tmp_path) == expected


def test_units_in_parts(expected, tmp_path):
    """Rows of a unit that was run in pieces are those of the unit, to the byte."""
    spool = Spool(tmp_path / "spool", SCHEMAS)
    parts = []
    for unit in UNITS:
        tables = rows(unit)
        for begin in range(max(1, tables["lists"].num_rows)):
            parts.append((unit, {name: t.slice(begin, 1) for name, t in tables.items()}))
    spool.append_parts(parts)
    assert len(parts) > len(UNITS) and finished(spool, tmp_path) == expected


@pytest.mark.parametrize("tail", [b"", b"x", b"garbage " * 1000])
@pytest.mark.parametrize("at", [0, 1, 9, len(UNITS)])
def test_killed_and_resumed(expected, tmp_path, at, tail):
    """What comes after the last commit is cut off, be it rows, half a frame or garbage."""
    order = np.random.default_rng(5).permutation(len(UNITS))
    spool = Spool(tmp_path / "spool", SCHEMAS)
    for index in order[:at]:
        spool.append(UNITS[index], rows(UNITS[index]))
    state = json.loads(json.dumps(spool.commit()))
    for index in order[at : at + 3]:
        spool.append(UNITS[index], rows(UNITS[index]))
    spool.close()
    for name in (ROWS, INDEX):
        with open(tmp_path / "spool" / name, "ab") as stream:
            stream.write(tail)
    spool = Spool.resume(tmp_path / "spool", state, SCHEMAS)
    again = spool.commit()
    assert again == state
    for index in order[at:]:
        spool.append(UNITS[index], rows(UNITS[index]))
    assert finished(spool, tmp_path) == expected


def test_a_commit_is_on_the_disk(tmp_path):
    """What has been committed is there although the spool was never closed."""
    spool = Spool(tmp_path / "spool", SCHEMAS)
    spool.append((0, 1), rows((0, 1)))
    state = spool.commit()
    sizes = [os.path.getsize(tmp_path / "spool" / name) for name in (ROWS, INDEX)]
    assert sizes == [state["rows_bytes"], state["index_bytes"]] and min(sizes) > 0
    spool.close()


def test_lost_files_are_named(tmp_path):
    spool = Spool(tmp_path / "spool", SCHEMAS)
    spool.append((0, 1), rows((0, 1)))
    state = spool.commit()
    spool.close()
    os.truncate(tmp_path / "spool" / ROWS, state["rows_bytes"] - 1)
    with pytest.raises(ResultError, match=rf"{ROWS}: expected at least {state['rows_bytes']:,}"):
        Spool.resume(tmp_path / "spool", state, SCHEMAS)
    os.remove(tmp_path / "spool" / ROWS)
    with pytest.raises(ResultError, match=f"{ROWS}: the rows .* are not there"):
        Spool.resume(tmp_path / "spool", state, SCHEMAS)


def test_states_of_others_are_refused(tmp_path):
    spool = Spool(tmp_path / "spool", SCHEMAS)
    state = spool.commit()
    spool.close()
    for schemas in (
        {"numbers": NUMBERS},
        SCHEMAS | {"numbers": NUMBERS.append(pa.field("more", pa.int64()))},
        SCHEMAS | {"numbers": NUMBERS.with_metadata({"what": "others"})},
    ):
        with pytest.raises(ResultError, match="rows of other tables"):
            Spool.resume(tmp_path / "spool", state, schemas)
    with pytest.raises(ResultError, match="version 2"):
        Spool.resume(tmp_path / "spool", state | {"format_version": 2}, SCHEMAS)


def test_damage_is_noticed(tmp_path):
    spool = Spool(tmp_path / "spool", SCHEMAS)
    for unit in UNITS:
        spool.append(unit, rows(unit))
    state = spool.commit()
    spool.close()
    content = bytearray((tmp_path / "spool" / ROWS).read_bytes())
    for at in range(0, len(content), len(content) // 40):
        damaged = bytearray(content)
        damaged[at] ^= 1
        (tmp_path / "spool" / ROWS).write_bytes(damaged)
        spool = Spool.resume(tmp_path / "spool", state, SCHEMAS)
        with pytest.raises(ResultError, match="damaged at byte"):
            spool.finish(tmp_path / "out")
        spool.close()
        assert not (tmp_path / "out").exists()
    assert os.listdir(tmp_path) == ["spool"]


def test_a_unit_that_comes_twice_is_noticed(tmp_path):
    spool = Spool(tmp_path / "spool", SCHEMAS)
    for unit in ((0, 1), (2, 1), (0, 1)):
        spool.append(unit, rows(unit))
    with pytest.raises(ResultError, match="unit 0, 1 stands there twice"):
        spool.finish(tmp_path / "out")
    spool.remove()
    assert not os.listdir(tmp_path)


def test_no_rows_at_all(tmp_path):
    spool = Spool(tmp_path / "spool", SCHEMAS)
    spool.append((0, 1), {name: batch.slice(0, 0) for name, batch in rows((0, 2)).items()})
    spool.append((0, 2), {})
    spool.finish(tmp_path / "out", shard=(2, 3))
    spool.close()
    for name, schema in SCHEMAS.items():
        table = pq.ParquetFile(tmp_path / "out" / name / partition(2, 3)).read()
        assert table.num_rows == 0 and table.schema.equals(schema)


def test_unknown_tables_and_columns(tmp_path):
    spool = Spool(tmp_path / "spool", SCHEMAS)
    with pytest.raises(ArgumentError, match="tables: expected some of lists, numbers, got 'more'"):
        spool.append((0, 1), {"more": rows((0, 1))["numbers"]})
    with pytest.raises(ArgumentError, match="lists: expected columns"):
        spool.append((0, 1), {"lists": rows((0, 1))["numbers"]})
    spool.finish(tmp_path / "out")  # nothing of them was taken
    spool.close()
    assert pq.ParquetFile(tmp_path / "out" / "lists" / partition(1, 1)).read().num_rows == 0


def test_one_table_as_a_file(expected, tmp_path):
    spool = Spool(tmp_path / "spool", SCHEMAS)
    for unit in reversed(UNITS):
        spool.append(unit, rows(unit))
    spool.finish_table("numbers", tmp_path / "new" / "numbers.parquet")
    spool.close()
    written = (tmp_path / "new" / "numbers.parquet").read_bytes()
    assert written == expected["numbers/shard=0001-of-0001/part-0.parquet"]
    assert os.listdir(tmp_path / "new") == ["numbers.parquet"]


def full_disk(monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)


def test_a_full_disk_leaves_nothing_half(tmp_path, monkeypatch):
    spool = Spool(tmp_path / "spool", SCHEMAS)
    spool.append((0, 1), rows((0, 1)))
    spool.finish(tmp_path / "out")
    earlier = files(tmp_path / "out")
    full_disk(monkeypatch)
    for attempt in (
        spool.commit,
        lambda: spool.finish(tmp_path / "out"),
        lambda: spool.finish_table("lists", tmp_path / "lists.parquet"),
    ):
        with pytest.raises(ResultError, match="the disk is full"):
            attempt()
    spool.close()
    assert files(tmp_path / "out") == earlier
    assert sorted(os.listdir(tmp_path)) == ["out", "spool"]


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be written"):
        Spool(tmp_path / "file" / "spool", SCHEMAS)
    spool = Spool(tmp_path / "spool", SCHEMAS)
    with pytest.raises(ResultError, match="cannot be written"):
        spool.finish_table("lists", tmp_path / "file" / "lists.parquet")
    spool.close()


def test_row_groups_depend_on_rows_alone(tmp_path, monkeypatch):
    """Groups end after 8 rows, or with the row that makes 20 elements, wherever batches end."""
    monkeypatch.setattr(row_groups, "MIN_ROWS", 8)
    monkeypatch.setattr(row_groups, "CELLS", 16)
    monkeypatch.setattr(row_groups, "ELEMENTS", 20)
    rng = np.random.default_rng(0)
    lists = [[1.0] * n for n in [0] * 20 + rng.integers(0, 9, 60).tolist() + [50, 0, 3, 17]]
    records = pa.array(range(len(lists)), pa.int64())
    whole = pa.record_batch([records, pa.array(lists, pa.list_(pa.float32()))], schema=LISTS)
    seen = set()
    for n, cuts in enumerate(([], [1, 2, 3, 30], sorted(rng.integers(0, 80, 9).tolist()))):
        writer = row_groups.RowGroupWriter(tmp_path / str(n), LISTS)
        bounds = [0, *cuts, len(whole)]
        for begin, end in pairwise(bounds):
            writer.write(whole.slice(begin, end - begin))
        writer.close()
        seen.add((tmp_path / str(n)).read_bytes())
    assert len(seen) == 1
    file = pq.ParquetFile(tmp_path / "0")
    groups = [file.read_row_group(g)["received"].to_pylist() for g in range(file.num_row_groups)]
    assert [row for group in groups for row in group] == lists
    for group in groups[:-1]:
        elements = sum(map(len, group))
        assert len(group) == 8 or 20 <= elements < 20 + len(group[-1])
    assert {len(group) for group in groups[:2]} == {8} and len(groups) > 12
