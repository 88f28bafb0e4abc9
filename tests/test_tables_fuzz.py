"""Damaged tables and prepared data sets: each is read, set aside or refused, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import shutil

import damage
import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from analysis_cases import random_proteins

import provis_fast as pf
from provis_fast.errors import InputError
from provis_fast.properties import resolve
from provis_fast.proteins import Protein, SetAside, load_proteins

CSV = (
    'id,sequence,ss,score,flags,words,species\n'
    'P1,MKVLAAGWC,HHHEEE-CC,"0.1,0.2,nan,4,5,6,7,8,9",1 0 1 0 1 0 1 0 1,"[""a"", null]",mouse\n'
    '"P""2",GAV,HEC,1 2 3,"[1, 0, null]",a b a,"a, b"\n'
    "P3,MMM,HHH,,,,\n"
)  # fmt: skip
TABLE = pa.table(
    {
        "id": ["a", "b", "c", "d"],
        "sequence": pa.array(["MKVLA", "MK", "M", "GAVL"]).dictionary_encode(),
        "flag": [[1, 0, None, 1, 1], [1], [0], None],
        "sure": [[True, False, None, True, True], [True, True], [None], None],
        "score": pa.array(
            [[1.0, 2.5, None, 4, 5], None, [0.5], [1.0, 2, 3, 4]], pa.large_list(pa.float32())
        ),
        "fixed": pa.array([[1, 2]] * 4, pa.list_(pa.int64(), 2)),
        "words": [["helix", "coil", None, "x", "y"], ["a", "b"], None, None],
        "ss": pa.array(["HHEEC", "EE", "H", None], pa.string_view()),
        "other": [{"a": 1}] * 4,
    }
)  # fmt: skip
#: Most of a small Parquet file is its footer, without which there is nothing to read.
LONG = pa.concat_tables([TABLE] * 40).set_column(0, "id", pa.array([f"p{i}" for i in range(160)]))
PROPERTIES = resolve(
    ["amino_acid", "contact", "binding_site", "label:ss:HEC", "value:score", "label:flag",
     "label:words:a/b", "value:sure", "label:flags"]
)  # fmt: skip


def _bytes(write) -> bytes:
    sink = io.BytesIO()
    write(sink)
    return sink.getvalue()


def _file(sink) -> None:
    with ipc.new_file(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=3)


def _stream(sink) -> None:
    with ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=3)


def _compressed(sink) -> None:
    options = ipc.IpcWriteOptions(compression="zstd")
    with ipc.new_file(sink, TABLE.schema, options=options) as writer:
        writer.write_table(TABLE, max_chunksize=3)


WHOLE = {
    "a.csv": CSV.encode(),
    "a.tsv": CSV.replace(",", "\t").encode(),
    "a.parquet": _bytes(lambda sink: pq.write_table(LONG, sink, row_group_size=60)),
    "b.parquet": _bytes(lambda sink: pq.write_table(LONG, sink, compression="none")),
    "a.arrow": _bytes(_file),
    "z.arrow": _bytes(_compressed),
    "a.arrows": _bytes(_stream),
}


def read_all(path) -> tuple[int, int]:
    """Read and encode every record; (proteins, set aside or refused)."""
    good = bad = 0
    try:
        for record in load_proteins(path).records():
            if isinstance(record, SetAside):
                assert record.reason and record.status in ("failed", "skipped")
                bad += 1
                continue
            assert isinstance(record, Protein) and len(record) == len(record.sequence) > 0
            good += 1
            list(record.residue_numbers or ())
            for prop in PROPERTIES:
                try:
                    encoded = prop.encode(record)
                except InputError as error:
                    assert repr(record.id)[1:-1] in str(error)
                else:
                    assert prop.background(encoded).denominator >= 0
    except InputError as error:
        assert str(error)
        bad += 1
    return good, bad


many = pytest.mark.parametrize("cases", [500, pytest.param(10_000, marks=pytest.mark.slow)])


@pytest.mark.parametrize("name", WHOLE)
@many
def test_damaged_tables(tmp_path, name, cases):
    path = tmp_path / name

    def read(data: bytes) -> tuple[int, int]:
        path.write_bytes(data)
        return read_all(path)

    kinds = damage.TEXT if name.endswith("sv") else damage.BINARY
    damage.check_damage(WHOLE[name], cases, read, kinds)


@pytest.fixture
def data_set(tmp_path):
    """A small data set with everything that one may have."""
    proteins = random_proteins([30, 5, 12, 1], seed=3)
    proteins += [
        Protein("text", "MKV", text={"ss": "HE-"}, values={"score": [0.1, np.nan, 3]}, cluster="c"),
        Protein("numbered", "GA", residue_numbers=["1", "1A"], notes=("odd",)),
        Protein("p0", "MMM"),  # fails: another sequence of the same id
    ]
    pf.prepare(proteins, tmp_path / "whole", coordinates=True)
    return tmp_path / "whole"


@pytest.mark.parametrize("file", ["manifest.json", "failed.tsv", "part-00000.arrow"])
@pytest.mark.parametrize("forged", [False, True])
@many
def test_damaged_data_sets(data_set, tmp_path, file, forged, cases):
    """With `forged` the manifest has the size and the digest of the damaged file."""
    if file == "manifest.json" and forged:
        pytest.skip("a manifest has no digest of its own")
    copy = tmp_path / "copy"
    shutil.copytree(data_set, copy)
    whole = (data_set / file).read_bytes()

    def read(data: bytes) -> tuple[int, int]:
        (copy / file).write_bytes(data)
        if forged:
            manifest = json.loads((data_set / "manifest.json").read_text())
            for entry in (*manifest["parts"], manifest["set_aside"]):
                if entry["file"] == file:
                    entry["bytes"] = len(data)
                    entry["sha256"] = hashlib.sha256(data).hexdigest()
            (copy / "manifest.json").write_text(json.dumps(manifest))
        found = read_all(copy)
        load_proteins(copy).digests()
        return found

    assert read(whole) == (6, 1)  # one record was set aside
    n = cases // 5  # five data sets, each damaged so many times
    totals = damage.try_damage(whole, n, read, damage.BINARY)
    assert totals[1] > n // 2, totals
