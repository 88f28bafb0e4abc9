"""What figures refuse to draw, and names that are hard to draw."""

from __future__ import annotations

import numpy as np
import pytest
from figure_cases import SPECS, made_up, scattered
from PIL import Image

from provis_fast import figures
from provis_fast.errors import ArgumentError, ResultError
from provis_fast.statistics import HeadStatistics


@pytest.mark.parametrize(
    "draw, error, message",
    [
        (lambda r: figures.heat_map(r, "sheet"), ArgumentError, "no property 'sheet' here"),
        (
            lambda r: figures.heat_map(r, "secondary_structure"),
            ArgumentError,
            "class_name: expected one of secondary_structure's classes, helix, strand, .* got None",
        ),
        (
            lambda r: figures.top_heads(r, "secondary_structure", "loop"),
            ArgumentError,
            "class_name: expected one of .* got 'loop'",
        ),
        (
            lambda r: figures.heat_map(r, "contact", threshold=0.2),
            ArgumentError,
            "threshold: this result has 0.3; got 0.2",
        ),
        (
            lambda r: figures.heat_map(r, "contact", statistic="mass"),
            ArgumentError,
            "statistic: this result has arcs; got 'mass'",
        ),
        (
            lambda r: figures.top_heads(r, "contact", k=0),
            ArgumentError,
            "k: expected a number of heads from 1 on, got 0",
        ),
        (
            lambda r: figures.thresholds(r, "contact"),
            ArgumentError,
            "thresholds: expected a result with several, this one has 0.3; analyse with",
        ),
        (
            lambda r: figures.layers(r, ["hydrophobicity"]),
            ArgumentError,
            "properties: expected properties with a share, got the key value 'hydrophobicity'",
        ),
        (
            lambda r: figures.layers(r, ["amino_acid"] * 3),
            ArgumentError,
            "properties: expected at most 60 classes altogether, got 63",
        ),
        (
            lambda r: figures.similarity(r, "contact"),
            ArgumentError,
            "property_name: expected one with a class for each amino acid",
        ),
        (
            lambda r: figures.separation(r, heads=[(6, 0)]),
            ArgumentError,
            r"heads: layer 6, head 0 \(from 0\) was not analysed",
        ),
        (
            lambda r: figures.separation(r, heads=[1, 2]),
            ArgumentError,
            r"heads: expected pairs \(layer, head\)",
        ),
        (
            lambda r: figures.separation(r, heads=[(0, k) for k in range(8)] * 2),
            ArgumentError,
            "heads: expected one to 8, which can be told apart, got 16",
        ),
        (
            lambda r: figures.separation(made_up(properties=["contact"])),
            ArgumentError,
            "separation: this result has no property of that kind, only contact",
        ),
        (
            lambda r: figures.top_heads(made_up(min_arcs=10**9), "contact"),
            ResultError,
            "no head has 1000000000 eligible arcs",
        ),
        (
            lambda r: figures.similarity(made_up(min_arcs=10**9)),
            ResultError,
            "the similarity of no two amino acids is defined",
        ),
        (
            lambda r: figures.layers(made_up(min_arcs=10**9)),
            ResultError,
            "no property of shares has a layer with enough arcs",
        ),
        (
            lambda r: figures.arcs_per_head(made_up(weighting="attention")),
            ArgumentError,
            "statistic: this result has mass; got 'arcs'",
        ),
        (
            lambda r: figures.heat_map(made_up(weighting="both"), "contact", statistic="mass",
                                       threshold=0.3),
            ArgumentError,
            "threshold: attention-weighted numbers have none",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_told(draw, error, message):
    with pytest.raises(error, match=message):
        draw(made_up())


def test_an_empty_result_and_an_unknown_property_are_told():
    empty = HeadStatistics.empty(range(2), 2, 3, (0.3,), True, [SPECS["contact"]])
    for draw in (figures.planned, figures.layers, figures.arcs_per_head, figures.separation):
        with pytest.raises(ResultError, match="this result is empty: no protein was analysed"):
            draw(empty)
    nothing = np.zeros((1, 1), np.int64)
    empty.add(np.ones((1, 1, 2, 3, 3), np.int64), None, None, nothing, nothing, 9)
    with pytest.raises(ResultError, match="contact: known for no residue"):
        figures.heat_map(empty, "contact")
    assert [plan.name for plan in figures.planned(empty)] == ["arcs_per_head"]
    with pytest.raises(ResultError, match="contact: known for no residue"):
        figures.planned(empty, ["contact"])


def test_names_with_signs_are_written_as_they_are(tmp_path):
    spec = type(SPECS["contact"])("x", "key_class", ("$a_1$", "b>c", "B>C", "b/c"))
    result = HeadStatistics.empty(range(2), 2, 3, (0.3,), True, [spec])
    counts = 200 + (100 * scattered(2, 1, 2, 3, 6)).astype(np.int64)
    counts[..., 1] = 1000
    result.add(counts, None, None, np.full((2, 4), 2), np.full((2, 1), 10), 20)
    path = figures.save(figures.heat_map(result, "x", "$a_1$"), tmp_path / "a.svg")
    assert "$a 1$" in path.read_text()
    names = [plan.name.lower() for plan in figures.planned(result)]
    assert len(set(names)) == len(names) and not any("/" in name for name in names)


def test_long_names_make_room(tmp_path):
    name = "a_rather_long_name_of_a_property_that_somebody_has_made_up"
    spec = type(SPECS["contact"])(name, "key_class", (name,))
    result = HeadStatistics.empty(range(1), 1, 1, (0.1, 0.3), False, [spec])
    counts = np.array([[[[[400, 300, 200]]], [[[400, 300, 200]]]]])
    result.add(counts, None, None, np.full((1, 1), 2), np.full((1, 1), 10), 20)
    for draw in (figures.heat_map, figures.top_heads, figures.thresholds):
        path = figures.save(draw(result, name), tmp_path / "a.png")
        grey = np.asarray(Image.open(path).convert("L"))
        assert grey[:, -4:].min() == 255 and grey[:, :4].min() == 255, draw
