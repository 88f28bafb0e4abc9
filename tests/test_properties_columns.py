"""Properties by the name of a column: label:NAME and value:NAME."""

from __future__ import annotations

import numpy as np
import pytest

from provis_fast.errors import ArgumentError, InputError
from provis_fast.properties import ColumnLabel, ColumnValue, resolve
from provis_fast.properties.columns import missing_columns
from provis_fast.proteins import LazyLabels, Protein, SetAside

NAN = np.nan


def encode(name: str, **data):
    (prop,) = resolve(name)
    return prop.encode(Protein("p", "MKVL", **data)).tolist()


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("label:x", "10-1", [0, 1, -1, 0]),
        ("label:x", "1, 0, ?, 1", [0, 1, -1, 0]),
        ("label:x", "[true, false, null, 1]", [0, 1, -1, 0]),
        ("label:x:HEC", "HC.E", [0, 2, -1, 1]),
        ("label:x:HE-", "HE-.", [0, 1, 2, -1]),
        ("label:x:HEC", "0 2 -1 1", [0, 2, -1, 1]),
        ("label:x:HEC", "H;C;;E", [0, 2, -1, 1]),
        ("label:x:helix/coil", "helix coil NA 1", [0, 1, -1, 1]),
        ("label:x:helix/coil", '["coil", null, "helix", "coil"]', [1, -1, 0, 1]),
        ("label:x:helix/coil", "01-0", [0, 1, -1, 0]),
        ("label:x:helix/C", "C1-0", [1, 1, -1, 0]),
    ],
)
def test_labels_from_text(name, text, labels):
    assert encode(name, text={"x": text}) == labels


def test_labels_from_labels_and_numbers():
    assert encode("label:x", labels={"x": np.array([1, 0, -1, 1])}) == [0, 1, -1, 0]
    assert encode("label:x:ABC", labels={"x": np.array([2, 0, -1, 1])}) == [2, 0, -1, 1]
    assert encode("label:x", values={"x": [1, 0, NAN, 1]}) == [0, 1, -1, 0]
    assert encode("label:other", text={"x": "1111"}) == [-1] * 4


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("label:x", {"text": {"x": "1021"}}, "1, 0 or - for unknown, got '2'.*label:x:AB"),
        ("label:x:HEC", {"text": {"x": "HEXC"}}, "H/E/C, got 'X'"),
        ("label:x:HEC", {"text": {"x": "HEC"}}, r"one letter per residue \(4\), got 3"),
        ("label:x:a/bc", {"text": {"x": "a bc a"}}, r"one word per residue \(4\)"),
        ("label:x:a/bc", {"text": {"x": "a bc 0 2"}}, "a/bc, got '2'"),
        ("label:x", {"values": {"x": [0, 1, 0.5, 0]}}, "whole numbers from 0, got 0.5.*value:x"),
        ("label:x", {"values": {"x": [0, 1e9, 0, 0]}}, "got 1e"),
        ("label:x", {"values": {"x": [0, np.inf, 0, 0]}}, "got inf"),
        ("label:x:AB", {"labels": {"x": np.array([0, 1, 2, 0])}}, r"labels in -1\.\.1"),
        ("value:x", {"text": {"x": "low 1 2 3"}}, "expected 4 numbers"),
        ("value:x", {"text": {"x": "abcd"}}, "expected 4 numbers"),
        ("value:x", {"text": {"x": "1 2 3"}}, "expected 4 numbers"),
    ],
)
def test_what_does_not_fit_is_told(name, data, message):
    with pytest.raises(InputError, match=message) as told:
        encode(name, **data)
    assert "property 'x', protein 'p'" in str(told.value)


def test_values():
    np.testing.assert_array_equal(encode("value:x", values={"x": [0.5, NAN, 1, -2]}),
                                  [0.5, NAN, 1, -2])  # fmt: skip
    np.testing.assert_array_equal(encode("value:x", text={"x": "90-5"}), [9, 0, NAN, 5])
    np.testing.assert_array_equal(encode("value:x", text={"x": "9 0.5 ? 5"}), [9, 0.5, NAN, 5])
    labels = {"x": np.array([3, 0, -1, 1])}
    np.testing.assert_array_equal(encode("value:x", labels=labels), [3, 0, NAN, 1])
    assert np.isnan(encode("value:other", labels=labels)).all()


def test_one_residue():
    (prop,) = resolve("label:x:buried/exposed")
    assert prop.encode(Protein("p", "M", text={"x": "exposed"})).tolist() == [1]
    assert prop.encode(Protein("p", "M", text={"x": "1"})).tolist() == [1]


def test_a_column_that_cannot_be_had_fails_its_protein_alone():
    def fail():
        raise InputError("no way")

    with pytest.raises(InputError, match=r"^no way$"):
        encode("label:x", labels=LazyLabels({}, {"x": fail}))


def test_names_and_options():
    label, value = resolve(["label:Active site:ab", "value:b.factor"])
    assert (label.name, label.classes, label.column) == ("Active_site", ("a", "b"), "Active site")
    assert label.options() == {"column": "Active site"} and value.options() == {
        "column": "b.factor"
    }
    assert isinstance(label, ColumnLabel) and isinstance(value, ColumnValue)
    assert resolve("label:x")[0].classes == ("x",)


@pytest.mark.parametrize(
    "name", ["label:", "label::AB", "label:x:", "value:", "value:x:AB", "label:x:aa", "label:x:a/"]
)
def test_bad_names(name):
    with pytest.raises(ArgumentError):
        resolve(name)


def test_one_name_once():
    with pytest.raises(ArgumentError, match="twice"):
        resolve(["binding_site", "label:binding_site"])
    with pytest.raises(ArgumentError, match="label:NAME or value:NAME"):
        resolve("column:x")


def test_a_column_that_no_record_has_is_told_at_once(caplog):
    properties = resolve(["label:disorder:OD", "value:plddt", "amino_acid"])
    records = [
        Protein("p", "MKV", values={"plddt": [1.0, 2.0, 3.0]}, text={"ss": "HEC"}),
        SetAside("q", "failed", "why"),
    ]
    missing_columns(properties, records)
    (message,) = caplog.messages
    assert "property disorder: none of the first 1 proteins" in message
    assert message.endswith("there are: plddt, ss")
    caplog.clear()
    missing_columns(properties, records[1:])
    assert not caplog.messages
