"""Tables as input: which columns mean what, and rows that cannot be used."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest

from provis_fast.errors import ArgumentError, InputError
from provis_fast.proteins import Protein, SetAside, load_proteins, table_files
from provis_fast.proteins.columns import numbers_in, words_in


def records(path, **options):
    return list(load_proteins(path, **options).records())


def write(folder, text, name="a.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_what_cells_become(tmp_path):
    path = write(
        tmp_path,
        "id,sequence,ss,flags,score,json,species,none,Cluster\n"
        'P1,mkvl,HE-?,"1,0,1,1",0.5 1 nan 2,"[1, null, 0.25, true]",Homo sapiens,,fam1\n',
    )
    (one,) = records(path)
    assert (one.id, one.sequence, one.cluster, one.source) == ("P1", "MKVL", "fam1", "a.csv")
    assert one.text == {"ss": "HE-?", "species": "Homo sapiens"}
    np.testing.assert_array_equal(one.values["flags"], [1, 0, 1, 1])
    np.testing.assert_array_equal(one.values["score"], [0.5, 1, np.nan, 2])
    np.testing.assert_array_equal(one.values["json"], [1, np.nan, 0.25, 1])
    assert not one.labels and "none" not in one.values
    (note,) = one.notes
    assert "species (12)" in note and "4 residues" in note


def test_columns_of_no_use_are_told_once(tmp_path):
    path = write(tmp_path, "id,sequence,species\na,MKV,mouse\nb,MK,mouse\nc,MKVLA,mouse\n")
    notes = [one.notes for one in records(path)]
    assert [len(n) for n in notes] == [1, 0, 0] and "species (5)" in notes[0][0]


@pytest.mark.parametrize(
    ("header", "options", "id_", "sequence"),
    [
        ("id,sequence", {}, "a", "MKV"),
        ("Sequence,ID", {}, "MKV", "A"),
        ("name,SEQ", {}, "a", "MKV"),
        ("name,accession,seq", {}, "b", "MKV"),
        ("key,prot", {"id_column": "key", "sequence_column": "PROT"}, "a", "MKV"),
        ("x,sequence", {}, "t.csv:1", "MKV"),
        ("\ufeffid,sequence", {}, "a", "MKV"),
        ("\n\nid,sequence", {}, "a", "MKV"),
    ],
)
def test_names_of_columns(tmp_path, header, options, id_, sequence):
    cells = {2: "a,MKV", 3: "a,b,MKV"}[header.count(",") + 1]
    (one,) = records(write(tmp_path, f"{header}\n{cells}\n", "t.csv"), **options)
    assert (one.id, one.sequence) == (id_, sequence)
    assert any("named by their numbers" in note for note in one.notes) == (id_ == "t.csv:1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the table is empty"),
        ("id,sequence\n", "no row"),
        ("id,length\na,3\n", "found the columns 'id', 'length'.*--sequence-column"),
        ("id,id,sequence\na,b,MKV\n", "'id' comes 2 times"),
        ("id;sequence\na;MKV\n", "semicolons"),
        ("id\tsequence\na\tMKV\n", "suffix .tsv"),
        ("id,sequence\na,MKV\n".encode("utf-16"), "UTF-16"),
        (b'id,"seq\n', "quoted"),
        (b"i\xffd,sequence\n", "UTF-8"),
    ],
)
def test_files_of_no_use(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        records(write(tmp_path, text))


def test_columns_asked_for_must_be_there(tmp_path):
    path = write(tmp_path, "id,sequence\na,MKV\n")
    with pytest.raises(InputError, match=r"--id-column.*'id', 'sequence'.*'key'"):
        records(path, id_column="key")


def test_quoting_and_line_ends(tmp_path):
    text = 'id,sequence,note\r\n"a, ""b""",MKV,"two\r\nlines"\r\n\r\nlast,GAV,x'
    first, last = records(write(tmp_path, text))
    assert first.id == 'a, "b"' and first.text["note"] == "two\r\nlines"
    assert (last.id, last.sequence) == ("last", "GAV")


def test_bad_rows_are_set_aside_with_their_line(tmp_path):
    text = 'id,sequence,x\nfew,MKV\na,MKV,\nstop,MK1,\n,MKV,\nempty,,\nquote,"MK"V,\nb,GAV*,\n'
    found = records(write(tmp_path, text))
    kinds = [(one.id, one.line) for one in found]
    assert kinds == [
        ("few", 2), ("a", 3), ("stop", 4), ("row 4", 5), ("empty", 6), ("line 7", 7),
        ("b", 8),
    ]  # fmt: skip
    reasons = [one.reason for one in found if isinstance(one, SetAside)]
    assert "expected 3 fields" in reasons[0] and "one letter A-Z" in reasons[1]
    assert "expected an id" in reasons[2] and "got ''" in reasons[3] and "quoted" in reasons[4]
    assert found[-1].sequence == "GAV"


def test_text_that_is_not_utf8_costs_its_row(tmp_path):
    path = write(tmp_path, b"id,sequence,x\na,MKV,\xe4\nb,GAV,\n")
    bad, good = records(path)
    assert "UTF-8" in bad.reason and bad.line == 2 and good.id == "b"


def test_an_open_quote_ends_at_the_limit_and_the_rest_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "MAX_RECORD_BYTES", 1000)
    rows = "".join(f"p{i},MKV\n" for i in range(300))
    path = write(tmp_path, f'id,sequence\nopen,"MKV\n{rows}')
    found = records(path)
    assert "never closed" in found[0].reason and found[0].line == 2
    good = [one.id for one in found if isinstance(one, Protein)]
    assert good == [f"p{i}" for i in range(300 - len(good), 300)] and len(good) > 150


def test_limits(tmp_path, monkeypatch):
    monkeypatch.setattr("provis_fast.proteins.columns.MAX_RESIDUES", 5)
    monkeypatch.setattr("provis_fast.proteins.columns.MAX_RECORD_BYTES", 100)
    text = f"id,sequence,x\na,{'M' * 6},\nb,MKV,{'x' * 100}\nc,MKV,\n"
    long, large, good = records(write(tmp_path, text))
    assert "at most 5 residues" in long.reason and "MiB" in large.reason and good.id == "c"


def test_compressed_and_cut_off(tmp_path):
    rows = "".join(f"p{i},{'MKVLAAGWCST'[i % 7 :] * 5}\n" for i in range(2000))
    raw = gzip.compress(f"id,sequence\n{rows}".encode())
    assert len(records(write(tmp_path, raw, "a.csv.gz"))) == 2000
    found = records(write(tmp_path, raw[:-300], "b.csv.gz"))
    assert "damaged or cut off" in found[-1].reason
    assert 0 < len(found) < 2000 and all(isinstance(one, Protein) for one in found[:-1])


def test_tsv(tmp_path):
    path = write(tmp_path, 'id\tsequence\tx\na\tMKV\t"1\t2"\n', "a.tsv")
    (one,) = records(path)
    assert one.text == {"x": "1\t2"}


TABLE = pa.table(
    {
        "id": pa.array(["a", "b", None, "d"]),
        "sequence": ["MKV", "MK", "M", "GAVL"],
        "length": [3, 2, 1, 4],
        "flag": [[1, 0, None], [1], [0], None],
        "sure": [[True, False, None], [True, True], [None], None],
        "big": [[1, 70000, None], [2, 3], [4], None],
        "score": [[1.0, 2.5, None], None, [0.5], [1.0, 2.0, 3.0, 4.0]],
        "words": [["helix", "coil", None], None, None, None],
        "ss": pa.array(["HHE", "EE", "H", None]).dictionary_encode(),
        "other": [{"a": 1}] * 4,
    }
)


def write_table(path, table):
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=2)
    elif path.suffix == ".arrows":
        with ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    else:
        with ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.feather", "t.arrows"])
def test_columnar_files(tmp_path, name):
    a, b, c, d = records(write_table(tmp_path / name, TABLE))
    assert {n: x.tolist() for n, x in a.labels.items()} == {"flag": [1, 0, -1], "sure": [1, 0, -1]}
    np.testing.assert_array_equal(a.values["score"], [1, 2.5, np.nan])
    np.testing.assert_array_equal(a.values["big"], [1, 70000, np.nan])
    assert a.text == {"words": json.dumps(["helix", "coil", None]), "ss": "HHE"}
    assert "length, other" in a.notes[0]
    assert b.labels["big"].tolist() == [2, 3] and "flag (1)" in b.notes[0]
    with pytest.raises(InputError, match=r"'b'.*'flag'.*one entry per residue \(2\), got 1"):
        b.labels["flag"]
    assert isinstance(c, SetAside) and c.reason.startswith("row 3: expected an id")
    assert d.id == "d" and list(d.values) == ["score"] and not d.labels


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int8()), pa.large_list(pa.uint64()), pa.list_(pa.int64(), 3),
        pa.list_view(pa.int32()), pa.large_list_view(pa.int16()),
    ],
)  # fmt: skip
def test_every_kind_of_list(tmp_path, kind):
    table = pa.table({"id": ["a"], "sequence": ["MKV"], "x": pa.array([[1, 0, 2]], kind)})
    (one,) = records(write_table(tmp_path / "t.arrow", table))
    assert one.labels["x"].tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()]
)
def test_every_kind_of_text(tmp_path, kind):
    cells = [one.encode() if "binary" in str(kind) else one for one in ("a", "MKV")]
    table = pa.table({"id": pa.array(cells[:1], kind), "sequence": pa.array(cells[1:], kind)})
    (one,) = records(write_table(tmp_path / "t.arrow", table))
    assert (one.id, one.sequence) == ("a", "MKV")


def test_a_long_text_in_many_rows_is_held_once(tmp_path):
    long = "A" * 1000
    indices = pa.array([0, None, 1, 0], pa.int32())
    columns = {"id": list("abcd"), "sequence": ["MKV"] * 4}
    columns["text"] = pa.DictionaryArray.from_arrays(indices, pa.array([long, "HEC"]))
    found = records(write_table(tmp_path / "a.arrow", pa.table(columns)))
    texts = [(p.text or {}).get("text") for p in found]
    assert texts == [long, None, "HEC", long] and texts[0] is texts[3]


def test_ids_and_clusters_may_be_numbers(tmp_path):
    table = pa.table({"id": [7], "sequence": ["MKV"], "cluster": [12]})
    (one,) = records(write_table(tmp_path / "t.parquet", table))
    assert (one.id, one.cluster) == ("7", "12")


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "t.arrows"])
def test_columnar_files_of_no_use(tmp_path, name):
    path = write_table(tmp_path / name, TABLE.select(["id", "length"]))
    with pytest.raises(InputError, match="found the columns 'id', 'length'"):
        records(path)
    path = write_table(tmp_path / name, TABLE.slice(0, 0))
    with pytest.raises(InputError, match="no row"):
        records(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="empty"):
        records(path)
    path.write_bytes(b"no table at all" * 10)
    with pytest.raises(InputError, match="damaged or cut off"):
        records(path)


def test_a_stream_cut_off_keeps_what_came_before(tmp_path):
    path = write_table(tmp_path / "t.arrows", TABLE)
    raw = path.read_bytes()
    path.write_bytes(raw[:-100])
    found = records(path)
    assert [one.id for one in found[:2]] == ["a", "b"]
    assert "from row 3 on" in found[-1].reason and found[-1].status == "failed"


def test_formats_are_told_by_their_beginning_too(tmp_path):
    path = write_table(tmp_path / "t.parquet", TABLE)
    other = tmp_path / "without_suffix"
    other.write_bytes(path.read_bytes())
    assert len(records(other)) == 4
    assert len(records(path, format="parquet")) == 4
    with pytest.raises(ArgumentError, match="csv"):
        load_proteins(path, format="excel")


@pytest.mark.parametrize(
    ("text", "n", "found"),
    [
        ("1 2 3", 3, [1, 2, 3]),
        ("1,,3", 3, [1, np.nan, 3]),
        (",1", 2, [np.nan, 1]),
        ("1;2;", 2, [1, 2]),
        ("[0.5 1.5]", 2, [0.5, 1.5]),
        ("[1, NaN, null]", 3, [1, np.nan, np.nan]),
        ("-1e3 NA", 2, [-1000, np.nan]),
        ("1 2", 3, None),
        ("1 x", 2, None),
        ("[1, [2]]", 2, None),
        ("[" * 5000 + "1" + "]" * 5000, 1, None),
    ],
)
def test_numbers_in_text(text, n, found):
    numbers = numbers_in(text, n)
    if found is None:
        assert numbers is None
    else:
        np.testing.assert_array_equal(numbers, found)


def test_words_in_text():
    assert words_in("helix; coil ;", 2) == ["helix", "coil"]
    assert words_in('["a b", null, 1]', 3) == ["a b", "", "1"]
    assert words_in("ab", 2) is None
