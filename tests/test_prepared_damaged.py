"""Prepared data sets that are not as they were written: what is told of them."""

from __future__ import annotations

import hashlib
import json

import pytest
from analysis_cases import random_proteins

import provis_fast as pf
from provis_fast.errors import InputError
from provis_fast.proteins import Protein, load_proteins
from provis_fast.proteins.prepared_manifest import count, is_prepared


@pytest.fixture
def data_set(tmp_path):
    proteins = random_proteins([20, 30, 5, 12, 9], seed=2)
    pf.prepare([*proteins, proteins[1]], tmp_path / "set", records_per_part=2)
    return tmp_path / "set"


def change(folder, **changes) -> None:
    path = folder / "manifest.json"
    content = json.loads(path.read_text())
    for key, value in changes.items():
        place = content
        *above, last = key.split("__")
        for name in above:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
    path.write_text(json.dumps(content))


def refused(folder, message: str) -> None:
    source = load_proteins(folder)
    with pytest.raises(InputError, match=message):
        list(source.records())
    assert source.digests()  # whatever is the matter


def test_missing_files(data_set):
    (data_set / "part-00001.arrow").unlink()
    refused(data_set, r"set: part-00001.arrow is missing.*prepare the data set again")


def test_a_part_cut_off_is_seen_before_anything_is_read(data_set):
    path = data_set / "part-00002.arrow"
    path.write_bytes(path.read_bytes()[:-8])
    records = load_proteins(data_set).records()
    with pytest.raises(
        InputError, match=r"part-00002.arrow: changed or cut off.*expected .* bytes"
    ):
        next(records)


@pytest.mark.parametrize("name", ["part-00000.arrow", "part-00002.arrow", "failed.tsv"])
def test_a_changed_file(data_set, name):
    path = data_set / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    refused(data_set, f"{name}: changed or damaged since it was prepared: its digest")


def test_other_versions_and_formats(data_set):
    change(data_set, format_version=2)
    refused(data_set, r"version 2 of prepared data sets is not known.*reads version 1.*provis_fast")
    change(data_set, format="provis_fast.result")
    refused(data_set, 'expected "format": "provis_fast.prepared", got')
    assert count(data_set) is None
    (digest,) = load_proteins(data_set).digests()
    assert digest["sha256"] is None and "expected" in digest["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"records__read": 7},
        {"records__kept": 4},
        {"parts__0__records": -1},
        {"parts__0__records": True},
        {"parts__0__file": "../../etc/passwd"},
        {"parts__0__file": "/etc/passwd"},
        {"parts": None},
        {"contacts": {"atom": "CA"}},
        {"inputs": {}},
        {"set_aside": []},
    ],
)
def test_a_manifest_that_contradicts_itself(data_set, changes):
    change(data_set, **changes)
    refused(data_set, "manifest.json: incomplete or damaged")


def test_parts_that_are_not_those_of_the_manifest(data_set):
    content = json.loads((data_set / "manifest.json").read_text())
    first, second, *others = content["parts"]
    swapped = [second | {"first": first["first"]}, first | {"first": second["first"]}, *others]
    change(data_set, parts=swapped)
    refused(data_set, "expected the record 0, got 2")
    change(data_set, parts=[first | {"records": 1}, second | {"records": 3}, *others])
    refused(data_set, "part-00000.arrow: expected 1 proteins, as the manifest says, got 2")
    change(data_set, parts=content["parts"], contacts=None)
    refused(data_set, "part-00000.arrow: contacts, which the manifest does not define")


def test_no_manifest(data_set):
    for text in ("", "{", "[]", '"provis"', "[" * 100_000, '{"format": []}'):
        (data_set / "manifest.json").write_text(text)
        assert is_prepared(data_set)
        refused(data_set, "manifest.json: ")
    (data_set / "manifest.json").unlink()
    for record in load_proteins(data_set).records():  # nothing is taken for tables
        assert record.status == "failed"


def test_one_damaged_data_set_among_others_is_set_aside(data_set, tmp_path):
    (data_set / "part-00000.arrow").unlink()
    (tmp_path / "b.fasta").write_text(">b\nMKV\n")
    bad, good = load_proteins([data_set, tmp_path / "b.fasta"]).records()
    assert (bad.status, bad.id, good.id) == ("failed", "set", "b")


@pytest.mark.parametrize("cut", [1, 8])
def test_a_list_of_records_set_aside_that_is_cut_off(tmp_path, cut):
    """By somebody who has mended the digest too."""
    pf.prepare([Protein("p", "MKV"), Protein("p", "MMM")], tmp_path / "set")
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    path = tmp_path / "set" / manifest["set_aside"]["file"]
    content = path.read_bytes()[:-cut]
    path.write_bytes(content)
    manifest["set_aside"] |= {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (tmp_path / "set" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="cut off"):
        list(load_proteins(tmp_path / "set").records())
