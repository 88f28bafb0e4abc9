"""What cannot be compared: refused, or left out with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from result_cases import PROPERTIES, Batch, empty_result, random_result

import provis_fast as pf
from provis_fast.errors import ArgumentError, ResultError


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"thresholds": (0.2, 0.7)},
            "no threshold, nor attention mass, in common: a has .*0.1, 0.3",
        ),
        ({"weighting": "attention"}, "in common"),
        ({"compat": "provis"}, "compat is None in a and 'provis' in b"),
        (
            {"layers": (0, 2)},
            r"no analysed layer in common: layers \(from 1\) 2, 4 in a, 1, 3 in b",
        ),
        (
            {"properties": (replace(PROPERTIES[2], options={"cutoff": 10.0}),)},
            "no property in common.*contact: another definition: cutoff is 8.0 in A, 10.0 in B",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(change, named):
    a = random_result(1, weighting="arcs")
    b = empty_result(**({"weighting": "arcs", "entropy": False} | change))
    if b.weighting == "arcs" and len(b.properties) == 3:
        Batch.random(2).add_to(b)
    b.analysed = 3
    with pytest.raises(ResultError, match=named):
        pf.compare(a, b)


def test_properties_of_another_definition_are_left_out_with_the_reason():
    a, b = random_result(1, weighting="arcs"), random_result(2, weighting="arcs")
    others = (
        replace(PROPERTIES[0], classes=("A", "B", "D")),
        PROPERTIES[1],
        replace(PROPERTIES[2], kind="key_class"),
    )
    b = replace(b, properties=others)
    table = pf.compare(a, b)
    assert set(table["property"]) == {"scale"}
    assert table.attrs["left_out"] == {
        "kind": "other classes: C only in A and D only in B",
        "contact": "of another kind: pair in A, key_class in B",
    }
    assert set(table["threshold"]) == {0.1, 0.3}


def test_bad_arguments_are_named():
    a, b = random_result(1, weighting="arcs"), random_result(2, weighting="arcs")
    other = random_result(3, weighting="arcs", n_layers=5)
    for arguments, named in (
        (
            {"properties": "colour"},
            "properties: expected some of kind, scale, contact, got 'colour'",
        ),
        ({"statistic": "arc"}, "statistic"),
        ({"threshold": 0.2}, r"threshold: expected one that both results have \(0.1, 0.3\)"),
        ({"threshold": 0.1, "statistic": "mass"}, "threshold"),
        ({"confidence": 95}, "confidence: expected a number between 0 and 1"),
        ({"unit": "family"}, "unit"),
        ({"unit": "cluster"}, "per_protein: expected folders of both results"),
        ({"clusters": {}}, "clusters: expected only with"),
        ({"per_protein": "folder"}, "per_protein: expected a pair"),
    ):
        with pytest.raises(ArgumentError, match=named):
            pf.compare(a, b, **arguments)
    with pytest.raises(
        ArgumentError, match=r"matched: .*4 layers x 3 heads and 5 layers x 3 heads"
    ):
        pf.compare(a, other, matched=True)
    with pytest.raises(ArgumentError, match="a: expected HeadStatistics, got str; read a folder"):
        pf.compare("folder", b)
    with pytest.raises(ResultError, match="b: this result holds no protein"):
        pf.compare(a, empty_result(weighting="arcs"))
    partial = random_result(3, weighting="arcs")
    partial.complete = False
    with pytest.raises(ResultError, match=r"b: this result is incomplete.*allow_partial=True"):
        pf.compare(a, partial)
    assert len(pf.compare(a, partial, allow_partial=True))
