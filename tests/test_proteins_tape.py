"""TAPE data sets in LMDB, and the unpickler that runs no code."""

from __future__ import annotations

import operator
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from provis_fast.errors import InputError
from provis_fast.proteins import SetAside, limits, load_proteins, plain_pickle

lmdb = pytest.importorskip("lmdb")


def write_lmdb(path: Path, records: list, count: int | None = None, subdir: bool = True) -> Path:
    """Write a TAPE data set; bytes are stored as they are, all else is pickled."""
    with lmdb.open(str(path), map_size=1 << 24, subdir=subdir) as environment:
        with environment.begin(write=True) as transaction:
            for index, record in enumerate(records):
                raw = record if isinstance(record, bytes) else pickle.dumps(record)
                transaction.put(str(index).encode(), raw)
            count = len(records) if count is None else count
            transaction.put(b"num_examples", pickle.dumps(count))
    return path


def site_record(**changes) -> dict:
    record = {"id": "1abc.A", "primary": "MKVLA", "positions": [4, 5, 5, 9, 10], "sites": [5, 10]}
    return {**record, **changes}


@pytest.mark.parametrize("subdir", [True, False])
def test_sites_are_residue_numbers_not_indices(tmp_path, subdir):
    path = write_lmdb(tmp_path / "binding_site_valid.lmdb", [site_record()], subdir=subdir)
    (protein,) = load_proteins(path)
    assert (protein.id, protein.sequence) == ("1abc.A", "MKVLA")
    assert protein.labels["binding_site"].tolist() == [0, 1, 1, 0, 1]
    assert list(protein.residue_numbers) == ["4", "5", "5", "9", "10"]
    assert "modification" not in protein.labels


def test_the_name_tells_what_sites_are(tmp_path):
    path = write_lmdb(tmp_path / "protein_modification_valid.lmdb", [site_record()])
    (protein,) = load_proteins(path)
    assert protein.labels["modification"].tolist() == [0, 1, 1, 0, 1]
    (protein,) = load_proteins(path, site_label="active_site")
    assert list(protein.labels) == ["active_site"]


def test_modifications_have_a_key_of_their_own(tmp_path):
    record = site_record(modifications=[4, 9, 77])
    del record["sites"]
    (protein,) = load_proteins(write_lmdb(tmp_path / "a.lmdb", [record]))
    assert {n: a.tolist() for n, a in protein.labels.items()} == {"modification": [1, 0, 0, 1, 0]}
    assert protein.notes == ("modifications that are not among the positions: ['77']",)
    (protein,) = load_proteins(write_lmdb(tmp_path / "b.lmdb", [site_record(modifications=[4])]))
    assert protein.labels["binding_site"].tolist() == [0, 1, 1, 0, 1]
    assert protein.labels["modification"].tolist() == [1, 0, 0, 0, 0]


def test_a_site_without_a_position_is_noted(tmp_path):
    path = write_lmdb(tmp_path / "a.lmdb", [site_record(sites=[5, 338])])
    (protein,) = load_proteins(path)
    assert protein.labels["binding_site"].sum() == 2
    assert "338" in protein.notes[0]


def test_secondary_structure_and_mask(tmp_path):
    record = {
        "id": b"casp",
        "primary": "MKVLA",
        "ss3": np.array([0, 1, 2, 2, 0]),
        "ss8": np.array([1, 4, 6, 7, 1]),
        "valid_mask": np.array([True, True, True, True, False]),
    }
    (protein,) = load_proteins(write_lmdb(tmp_path / "secondary_structure_valid.lmdb", [record]))
    assert protein.id == "casp"
    assert protein.labels["secondary_structure"].tolist() == [0, 1, 2, 3, -1]
    assert protein.labels["secondary_structure_unmasked"].tolist() == [0, 1, 2, 3, 0]


def test_proteinnet_coordinates(tmp_path):
    xyz = np.arange(15, dtype=np.float32).reshape(5, 3)
    mask = np.array([1, 1, 0, 1, 1], bool)
    record = {"primary": "MKVLA", "tertiary": xyz, "valid_mask": mask}
    (protein,) = load_proteins(write_lmdb(tmp_path / "proteinnet_valid.lmdb", [record]))
    assert protein.id == "0"
    np.testing.assert_array_equal(np.isnan(protein.ca[:, 0]), ~mask)
    np.testing.assert_array_equal(protein.ca[mask], xyz[mask])


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ([1, 2], "dictionary"),
        ({"id": "p"}, "'primary' is missing"),
        (site_record(positions=[1, 2]), "'positions' must have one number per residue"),
        ({"primary": ""}, "one letter"),
        ({"primary": "MKV", "tertiary": np.zeros((2, 3))}, "tertiary"),
        ({"primary": "MK", "ss3": [0, 9], "ss8": [1, 1]}, "'ss3' must hold"),
        ({"primary": "MK", "ss3": [0], "ss8": [1]}, "'ss3' must have one entry"),
        (b"\x80\x04garbage", "pickle"),
        (b"", "damaged pickle"),
    ],
)
def test_a_bad_record_is_set_aside_and_the_rest_read(tmp_path, record, said):
    path = write_lmdb(tmp_path / "a.lmdb", [site_record(id="p"), record, site_record(id="q")])
    first, bad, last = load_proteins(path).records()
    assert (first.id, last.id) == ("p", "q")
    assert isinstance(bad, SetAside) and bad.status == "failed"
    assert bad.id == (record.get("id", "1") if isinstance(record, dict) else "record 1")
    assert said in bad.reason


def test_too_many_residues(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_RESIDUES", 5)
    records = [site_record(), {"id": "q", "primary": "MKVLAG"}]
    good, bad = load_proteins(write_lmdb(tmp_path / "a.lmdb", records)).records()
    assert len(good) == 5 and (bad.id, bad.status) == ("q", "failed")
    assert "at most 5 residues, got 6" in bad.reason


def test_a_missing_record_is_reported(tmp_path):
    _, bad = load_proteins(write_lmdb(tmp_path / "a.lmdb", [site_record()], count=2)).records()
    assert "no record 1 of 2" in bad.reason


class _Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_pickle_that_calls_code_is_refused(tmp_path):
    witness = tmp_path / "witness"
    hostile = pickle.dumps({"primary": _Calls(os.system, f"touch {witness}")})
    path = write_lmdb(tmp_path / "a.lmdb", [hostile, site_record()])
    bad, good = load_proteins(path).records()
    assert "system" in bad.reason and "refused" in bad.reason
    assert good.id == "1abc.A"
    assert not witness.exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, "x", b"y", None, True, (1, 2), {3}, frozenset({4}), 1 + 2j]},
        OrderedDict(a=1),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(["ab", "c"]),
        np.array([True, False]),
        np.float32(1.5),
        np.int64(7),
        np.zeros((0, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_data_of_every_protocol_is_read(value, protocol):
    found = plain_pickle.loads(pickle.dumps(value, protocol))
    np.testing.assert_equal(found, value)
    if isinstance(value, np.ndarray):
        # NumPy itself swaps the bytes of old pickles to the machine's order.
        assert found.dtype.newbyteorder("=") == value.dtype.newbyteorder("=")


@pytest.mark.parametrize(
    "value",
    [
        _Calls(eval, "1"),
        _Calls(__import__, "os"),
        _Calls(getattr, "a", "b"),
        np.array([{}], dtype=object),
        np.zeros(2, dtype=[("a", "i4")]),
        Path("a"),
        eval,
    ],
    ids=repr,
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_anything_else_is_refused(value, protocol):
    with pytest.raises(InputError, match="pickle"):
        plain_pickle.loads(pickle.dumps(value, protocol))


def test_a_pickle_cannot_change_the_functions_it_may_call():
    # GLOBAL _codecs.encode, an empty slot state, BUILD: would set attributes on the function.
    with pytest.raises(InputError, match="changes a function"):
        plain_pickle.loads(b"c_codecs\nencode\n(N}S'__defaults__'\n(S'rot13'\ntstb.")


def test_inputs_that_are_no_data_set(tmp_path):
    with pytest.raises(InputError, match="num_examples is 0"):
        list(load_proteins(write_lmdb(tmp_path / "empty.lmdb", [])))
    with lmdb.open(str(tmp_path / "other.lmdb")) as environment:
        with environment.begin(write=True) as transaction:
            transaction.put(b"a", b"b")
    with pytest.raises(InputError, match="num_examples is missing"):
        list(load_proteins(tmp_path / "other.lmdb"))
    (tmp_path / "text.lmdb").write_text("text")
    with pytest.raises(InputError, match="not a readable LMDB"):
        list(load_proteins(tmp_path / "text.lmdb"))


def test_a_cut_off_data_base_is_refused_before_it_is_touched(tmp_path):
    path = write_lmdb(tmp_path / "a.lmdb", [site_record(id=str(i)) for i in range(2000)])
    raw = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(InputError, match="cut off"):
        list(load_proteins(path))


def _overwrite_pages(path: Path, containing: bytes) -> int:
    """Put junk in the place of pages of 4 KiB; returns how many."""
    raw = bytearray((path / "data.mdb").read_bytes())
    pages = [p for p in range(2, len(raw) // 4096) if containing in raw[p * 4096 : (p + 1) * 4096]]
    for page in pages:
        raw[page * 4096 : (page + 1) * 4096] = b"\xff" * 4096
    (path / "data.mdb").write_bytes(raw)
    return len(pages)


def test_damaged_pages_set_their_records_aside(tmp_path):
    records = [site_record(id=f"<{i}>") for i in range(300)]
    path = write_lmdb(tmp_path / "a.lmdb", records)
    assert _overwrite_pages(path, b"<123>") == 1
    found = list(load_proteins(path).records())
    bad = [r for r in found if isinstance(r, SetAside)]
    assert len(found) == 300 and 1 <= len(bad) < 100
    assert "record 123" in [r.id for r in bad]
    for record in bad:
        assert record.status == "failed"
        assert f"damaged: the key {record.id.split()[1]} cannot be read" in record.reason
    assert {r.id for r in found} > {"<0>", "<299>"}


def test_a_damaged_index_fails_the_file(tmp_path):
    (tmp_path / "b.fa").write_text(">q\nMKV\n")
    path = write_lmdb(tmp_path / "a.lmdb", [site_record(id=str(i)) for i in range(300)])
    assert _overwrite_pages(path, b"num_examples") >= 1
    bad, good = load_proteins(tmp_path).records()
    assert (bad.id, bad.status, good.id) == ("a.lmdb", "failed", "q")
    assert "num_examples cannot be read" in bad.reason
    with pytest.raises(InputError, match=r"a\.lmdb: the data base is damaged"):
        list(load_proteins(path))


def test_records_are_counted(tmp_path):
    path = write_lmdb(tmp_path / "a.lmdb", [site_record(id=str(i)) for i in range(7)])
    source = load_proteins(path)
    source.digests()
    assert operator.length_hint(source, 0) == 7


def test_two_readers_at_once(tmp_path):
    records = [site_record(id=str(i)) for i in range(10)]
    source = load_proteins(write_lmdb(tmp_path / "a.lmdb", records))
    pairs = [(a.id, b.id) for a, b in zip(source, source, strict=True)]
    assert pairs == [(str(i), str(i)) for i in range(10)]
    assert len(list(source)) == 10


def test_the_binding_sites_of_provis(shared):
    path = shared / "data" / "provis" / "binding_site_valid.lmdb"
    records = list(load_proteins(path).records())
    assert len(records) == 1418
    assert not [r for r in records if isinstance(r, SetAside)]
    assert sum(len(p) for p in records) == 354_947
    environment = lmdb.open(str(path), readonly=True, lock=False)
    with environment.begin() as transaction:
        for index in range(0, 1418, 97):
            item = plain_pickle.loads(transaction.get(str(index).encode()))
            expected = [int(p in item["sites"]) for p in item["positions"]]
            assert records[index].labels["binding_site"].tolist() == expected
    environment.close()
