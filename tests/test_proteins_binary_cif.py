"""BinaryCIF: the same proteins as from mmCIF; files that are damaged or lie about their size."""

from __future__ import annotations

import copy
import gzip
import sys
import tracemalloc

import msgpack
import numpy as np
import pytest
from binary_cif_files import binary_cif
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structure_text import Atom, chain, cif_text, residue

from provis_fast.errors import InputError
from provis_fast.proteins import Protein, SetAside, load_proteins
from provis_fast.proteins import binary_cif as reader

NAMES = "MET LYS VAL LEU ALA GLY TRP SEP SER THR"
MORE = (
    "_struct.title\n;of 'many' words, \"quoted\" # so\nand lines\n;\n"
    "loop_\n_chem_comp.id\n_chem_comp.type\nNAG 'D-saccharide, beta linking'\nALA .\nGLY ?\n"
    "loop_\n_struct_site_gen.auth_asym_id\n_struct_site_gen.auth_seq_id\nA 3\nA 5\n"
)
TEXT = cif_text(
    chain(NAMES, [1, 2, 3, 5, 6, 7, 8, 9, 10, 11], label=None)
    + residue("ATP", "A", 301, 2, y=4.0, het=True)
    + [Atom("C1", "NAG", "A", 302, (11.4, -1.0, 2.6), het=True)],
    more=MORE,
)


def assert_same(one: Protein | SetAside, other: Protein | SetAside) -> None:
    if isinstance(one, SetAside):
        assert (one.id, one.status, one.reason) == (other.id, other.status, other.reason)
        return
    for name in ("id", "sequence", "residue_numbers", "notes", "cluster"):
        assert getattr(one, name) == getattr(other, name), name
    np.testing.assert_array_equal(one.ca, other.ca)
    np.testing.assert_array_equal(one.cb, other.cb)
    assert set(one.labels) == set(other.labels) and set(one.values) == set(other.values)
    for name in one.labels:
        np.testing.assert_array_equal(one.labels[name], other.labels[name], err_msg=name)
    for name in one.values:
        np.testing.assert_array_equal(one.values[name], other.values[name], err_msg=name)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("suffix", [".bcif", ".bcif.gz"])
def test_the_same_proteins_as_from_mmcif(tmp_path, compressed, suffix):
    (tmp_path / "x.cif").write_text(TEXT)
    raw = binary_cif(TEXT, compressed)
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(raw) if suffix.endswith(".gz") else raw)
    (expected,) = load_proteins(tmp_path / "x.cif").records()
    (found,) = load_proteins(path).records()
    assert (expected.labels["binding_site"] == 1).any()
    assert (expected.labels["modification"] == 1).any()
    assert (expected.labels["site_record"] == 1).sum() == 2
    assert_same(expected, found)


SHARED = ("1A8O", "2BEG", "2XHE", "4CUP", "7CFN", "complexes/1BD2", "complexes/3KPR")


@pytest.mark.parametrize("entry", SHARED)
def test_the_same_proteins_as_from_mmcif_of_shared_entries(shared, tmp_path, entry):
    (source,) = (shared / "data" / "structures").glob(f"{entry}.cif*")
    opened = gzip.open if source.suffix == ".gz" else open
    with opened(source, "rt") as file:
        (tmp_path / f"{source.name.split('.')[0]}.bcif").write_bytes(binary_cif(file.read()))
    expected = list(load_proteins(source, unique="none").records())
    found = list(load_proteins(tmp_path, unique="none").records())
    assert len(found) == len(expected) > 0
    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)


def content() -> dict:
    return msgpack.unpackb(binary_cif(TEXT))


def column_of(entry: dict, category: str, name: str) -> dict:
    (found,) = (c for c in entry["dataBlocks"][0]["categories"] if c["name"] == f"_{category}")
    (column,) = (c for c in found["columns"] if c["name"] == name)
    return column


def packed(*numbers: int) -> bytes:
    return np.array(numbers, "<i4").tobytes()


def encoded(data: bytes, *encodings: dict) -> dict:
    return {"data": data, "encoding": [*encodings, {"kind": "ByteArray", "type": 3}]}


RUNS = {"kind": "RunLength", "srcType": 3, "srcSize": 2_000_000_000}
SMALL = {"kind": "IntegerPacking", "byteCount": 1, "isUnsigned": False, "srcSize": 5}
LIES = {
    "run lengths of a bomb": (encoded(packed(7, 2_000_000_000), RUNS), "RunLength says"),
    "less than announced": (encoded(packed(7, 3), RUNS), "RunLength says"),
    "negative run": (encoded(packed(7, -3), RUNS), "negative length"),
    "half a run": (encoded(packed(7), RUNS), "odd number"),
    "several of them": (
        encoded(packed(7, 1_000_000), RUNS, RUNS | {"srcSize": 1_000_000}),
        "RunLength says",
    ),
    "packed too short": (
        {
            "data": b"\x01\x02",
            "encoding": [SMALL, {"kind": "ByteArray", "type": 1}],
        },
        "IntegerPacking says",
    ),
    "packed without an end": (
        {"data": b"\x01\x7f", "encoding": [SMALL, {"kind": "ByteArray", "type": 1}]},
        "ends within a number",
    ),
    "another number of rows": (encoded(packed(1, 2, 3)), "expected .* values, got 3"),
    "bytes without end": (encoded(packed(1) * 100_000), "bytes for"),
    "unknown encoding": (encoded(packed(1), {"kind": "Gzip"}), "expected one of the encodings"),
    "no bytes at the end": (
        {"data": packed(1), "encoding": [{"kind": "Delta", "srcType": 3, "origin": 0}]},
        "as the last of the encodings",
    ),
    "bytes in between": (
        encoded(packed(1), {"kind": "ByteArray", "type": 3}),
        "not the last of the encodings",
    ),
    "no encoding": ({"data": packed(1), "encoding": []}, "expected bytes and their encodings"),
    "factor": (
        encoded(packed(*range(55)), {"kind": "FixedPoint", "factor": 0, "srcType": 33}),
        "factor",
    ),
    "nothing at all": ({}, "data"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_about_its_size_is_refused(tmp_path, lie):
    entry = content()
    column_of(entry, "atom_site", "id")["data"], message = LIES[lie]
    path = tmp_path / "x.bcif"
    path.write_bytes(msgpack.packb(entry))
    tracemalloc.start()
    with pytest.raises(InputError, match=rf"x\.bcif: damaged: _atom_site\.id: .*{message}"):
        list(load_proteins(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stringData": "A" * 20}, "beyond the 20 characters"),
        ({"stringData": b"A"}, "stringData to be text"),
        ({"offsets": packed(0, 3, 1), "offsetEncoding": [{"kind": "ByteArray", "type": 3}]}, "asc"),
        ({"offsets": packed(0, 1), "offsetEncoding": [{"kind": "ByteArray", "type": 3}]}, "number"),
        ({"offsets": packed(1, 1 << 30), "offsetEncoding": [RUNS, RUNS]}, "ByteArray as the last"),
    ],
)
def test_strings_that_are_not_there(tmp_path, change, message):
    entry = content()
    column_of(entry, "atom_site", "label_comp_id")["data"]["encoding"][0].update(change)
    (tmp_path / "x.bcif").write_bytes(msgpack.packb(entry))
    with pytest.raises(InputError, match=rf"_atom_site\.label_comp_id: .*{message}"):
        list(load_proteins(tmp_path / "x.bcif"))


def test_one_long_text_in_many_rows(tmp_path):
    entry = content()
    category = entry["dataBlocks"][0]["categories"][-1]
    rows = reader.MAX_VALUES // (len(category["columns"]) + 1)
    category["rowCount"], n = rows, reader.MAX_CHARACTERS // rows + 1
    packing = [
        {"kind": "RunLength", "srcType": 3, "srcSize": rows},
        {"kind": "ByteArray", "type": 3},
    ]
    category["columns"][0]["data"] = {
        "data": packed(0, rows),
        "encoding": [
            {
                "kind": "StringArray",
                "stringData": "A" * n,
                "offsets": packed(0, n),
                "offsetEncoding": packing[1:],
                "dataEncoding": packing,
            }
        ],
    }
    category["columns"][0]["mask"] = None
    (tmp_path / "x.bcif").write_bytes(msgpack.packb(entry))
    with pytest.raises(InputError, match="have more than 268,435,456 characters"):
        list(load_proteins(tmp_path / "x.bcif"))


def test_more_rows_than_a_file_may_have(tmp_path):
    entry = content()
    category = entry["dataBlocks"][0]["categories"][-1]
    category["rowCount"] = reader.MAX_VALUES
    (tmp_path / "x.bcif").write_bytes(msgpack.packb(entry))
    with pytest.raises(InputError, match="exceed the limit of"):
        list(load_proteins(tmp_path / "x.bcif"))
    for rows in (-1, 0, None, "5"):
        category["rowCount"] = rows
        (tmp_path / "x.bcif").write_bytes(msgpack.packb(entry))
        with pytest.raises(InputError, match="expected rowCount"):
            list(load_proteins(tmp_path / "x.bcif"))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b"\x80", "no data block"),
        (b"data_X\n_entry.id X\n", "not BinaryCIF"),
        (msgpack.packb({"dataBlocks": []}), "no data block"),
        (msgpack.packb({"dataBlocks": [5]}), "not BinaryCIF"),
        (b"\x91" * 100_000 + b"\x90", "not BinaryCIF"),  # a list in a list in a list
        (b"\xdd\x00\x12\x4f\x80" + b"\x90" * 1_200_000, "lists, maps and entries"),
        (b"\xdd\xff\xff\xff\xff\x01", "not BinaryCIF"),
    ],
)
def test_what_is_no_binary_cif(tmp_path, raw, message):
    (tmp_path / "x.bcif").write_bytes(raw)
    with pytest.raises(InputError, match=message):
        list(load_proteins(tmp_path / "x.bcif"))


def test_cut_off_anywhere(tmp_path):
    raw = binary_cif(TEXT)
    for end in range(1, len(raw), 97):
        (tmp_path / "x.bcif").write_bytes(raw[:end])
        with pytest.raises(InputError):
            list(load_proteins(tmp_path / "x.bcif"))


def test_without_biotite(tmp_path, monkeypatch):
    (tmp_path / "x.bcif").write_bytes(binary_cif(TEXT))
    reader._encodings.cache_clear()
    monkeypatch.setitem(sys.modules, "biotite.structure.io", None)
    with pytest.raises(InputError, match=r"pip install 'provis_fast\[binarycif\]'"):
        list(load_proteins(tmp_path / "x.bcif"))
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(InputError, match=r"pip install 'provis_fast\[binarycif\]'"):
        list(load_proteins(tmp_path / "x.bcif"))


def test_floats_and_quantised_floats(tmp_path):
    """Coordinates as plain float32, and B-factors in bins, as some programs write them."""
    entry = content()
    for name in ("Cartn_x", "Cartn_y", "Cartn_z"):
        column = column_of(entry, "atom_site", name)
        texts = reader._Column(column, 55).texts()
        column["data"] = {
            "data": np.array(texts, "<f4").tobytes(),
            "encoding": [{"kind": "ByteArray", "type": 32}],
        }
    bins = {"kind": "IntervalQuantization", "min": 0, "max": 100, "numSteps": 101, "srcType": 32}
    column_of(entry, "atom_site", "B_iso_or_equiv")["data"] = encoded(packed(*[20] * 55), bins)
    (tmp_path / "x.bcif").write_bytes(msgpack.packb(entry))
    (tmp_path / "x.cif").write_text(TEXT)
    for one, other in zip(
        load_proteins(tmp_path / "x.cif"), load_proteins(tmp_path / "x.bcif"), strict=True
    ):
        assert_same(one, other)


def read_all(path) -> None:
    """Read everything; nothing but our own errors may come of it."""
    try:
        records = list(load_proteins(path).records())
    except InputError:
        return
    for record in records:
        if isinstance(record, SetAside):
            assert record.reason
            continue
        for arrays in (record.labels, record.values):
            for name in arrays:
                try:
                    assert len(arrays[name]) == len(record)
                except InputError as error:
                    assert name in str(error)


ODD = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 32, 33, -1, 255, 2**31 - 1, 2**31]),
    st.floats(),
    st.binary(max_size=40),
    st.text(max_size=10),
    st.none(),
    st.booleans(),
    st.just([]),
    st.just({}),
)


def leaves(node, trail=()):
    """Paths to everything in nested maps and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        yield (*trail, key)
        if isinstance(value, (dict, list)):
            yield from leaves(value, (*trail, key))


ENTRY = content()
PATHS = [path for path in leaves(ENTRY) if len(path) > 1]


@st.composite
def changed(draw) -> bytes:
    """The entry with some of its values replaced, or some of its bytes."""
    entry = copy.deepcopy(ENTRY)
    for path in draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3)):
        node = entry
        try:
            for key in path[:-1]:
                node = node[key]
            node[path[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # gone with an earlier change
        if not isinstance(node, (dict, list)):
            continue
        value = node[path[-1]]
        if isinstance(value, bytes) and value and draw(st.booleans()):
            at = draw(st.integers(0, len(value) - 1))
            node[path[-1]] = value[:at] + draw(st.binary(max_size=8)) + value[at + 1 :]
        else:
            node[path[-1]] = draw(ODD)
    raw = msgpack.packb(entry)
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=8)) + raw[at + draw(st.integers(0, 8)) :]
    return raw


def check_damaged(path, raw: bytes) -> None:
    path.write_bytes(raw)
    read_all(path)


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=500, deadline=None, suppress_health_check=QUIET, derandomize=True)
@given(changed())
def test_damaged_content(tmp_path, raw):
    check_damaged(tmp_path / "x.bcif", raw)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=QUIET)
@given(changed())
def test_damaged_content_at_length(tmp_path, raw):
    check_damaged(tmp_path / "x.bcif", raw)
