"""Figures show the numbers of the result, for any shape, and say what they show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import figure_cases
import numpy as np
import pytest
from figure_cases import made_up
from matplotlib import colormaps
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from provis_fast import figures
from provis_fast.errors import ArgumentError
from provis_fast.figures import style
from provis_fast.similarity import amino_acid_similarity
from provis_fast.statistics import HeadStatistics, PropertySpec

#: Code of another process runs here, where it finds what tests share and no other package.
TESTS = Path(__file__).parent
SHAPES = [(6, 20), (12, 12), (30, 16), (12, 64), (1, 1), (48, 3), ((1, 3), 5), ((7, 2, 4), 2)]


def image(axes) -> np.ndarray:
    """Numbers that an axes draws as colours; NaN where it draws nothing."""
    return np.ma.filled(axes.get_images()[0].get_array().astype(float), np.nan)


def bar_ends(axes) -> dict[float, float]:
    """Place of each horizontal bar -> where it ends."""
    (bars,) = [found for found in axes.collections if isinstance(found, PolyCollection)]
    corners = [path.vertices for path in bars.get_paths()]
    return {float(np.mean(c[:4, 1].round(6))): float(c[1, 0]) for c in corners}


def texts(figure) -> list[str]:
    """All that is written in a figure."""
    return [
        text.get_text() for part in (figure, *figure.axes) for text in part.texts if text.get_text()
    ]


@pytest.mark.parametrize("layers, n_heads", SHAPES)
def test_a_map_shows_the_shares_of_any_shape(layers, n_heads):
    result = made_up(layers, n_heads, n_proteins=2)
    order = np.argsort(result.layers)
    figure = figures.heat_map(result, "secondary_structure", "strand")
    cells, panel, _ = figure.axes
    want = 100 * result.proportion["secondary_structure"][order, :, 1]
    assert np.array_equal(image(cells), want, equal_nan=True)
    finite = {
        k: row[np.isfinite(row)].max() for k, row in enumerate(want) if np.isfinite(row).any()
    }
    assert bar_ends(panel) == pytest.approx(finite)
    background = 100 * result.background["secondary_structure"][1]
    assert [line.get_xdata()[0] for line in panel.lines if line.get_linestyle() == "--"] == [
        pytest.approx(background)
    ]
    assert image(figures.arcs_per_head(result).axes[0]).shape == (len(order), n_heads)


@pytest.mark.parametrize("layers, n_heads", [(1, 1), ((7, 2, 4), 2), (12, 64)])
def test_every_figure_of_any_shape_can_be_written(layers, n_heads, tmp_path):
    properties = ("amino_acid", "contact", "separation")
    result = made_up(layers, n_heads, min_arcs=1, thresholds=(0.1, 0.3), properties=properties)
    names = [path.name for path in figures.save_all(result, tmp_path, ("svg",))]
    missing = {f"{plan.name}.svg" for plan in figures.planned(result)} - set(names)
    assert missing == (set() if n_heads > 1 else {"similarity-amino_acid.svg"})  # of one head


def test_layers_and_heads_are_counted_from_1():
    result = made_up((7, 2, 4), 3)
    cells = figures.heat_map(result, "contact").axes[0]
    labels = [text.get_text() for text in cells.texts]
    assert labels == ["3", "5", "8", "layer", "1", "2", "3", "head"]
    assert image(cells)[2, 1] == pytest.approx(100 * result.proportion["contact"][0, 1, 0])
    assert np.isfinite(image(cells)[2, 1])


def test_ticks_thin_out():
    shown = style.thinned(range(1, 65), 29)
    assert [k + 1 for k in shown] == [1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60]
    assert style.thinned(range(1, 13), 12) == list(range(12))
    assert style.thinned(range(1, 13), 6) == [0, 2, 4, 6, 8, 10]
    assert style.thinned([1], 0.2) == [0]
    assert len(style.thinned(range(1, 1001), 9)) <= 9


def test_arcs_of_every_head():
    result = made_up(4, 6, thresholds=(0.1, 0.3))
    figure = figures.arcs_per_head(result, threshold=0.3)
    cells, panel, _ = figure.axes
    assert np.array_equal(image(cells), result.arcs[1])
    assert bar_ends(panel) == pytest.approx(dict(enumerate(result.arcs[1].sum(axis=1))))
    none = HeadStatistics.empty(range(2), 2, 3, (0.3,), True, [])
    nothing = np.zeros((1, 0), np.int64)
    none.add(np.zeros((1, 1, 2, 3, 1), np.int64), None, None, nothing, nothing, 9)
    assert "Hatched: 6 of 6 heads without arcs" in figures.caption(figures.arcs_per_head(none))


def test_best_heads_are_those_of_the_result_with_their_intervals():
    result = made_up()
    best = result.top_heads("contact", k=10)
    figure = figures.top_heads(result, "contact")
    (axes,) = figure.axes
    assert list(bar_ends(axes).values()) == pytest.approx(list(100 * best["proportion"]))
    written = texts(figure)
    for row in best.itertuples():
        assert f"{row.layer + 1}-{row.head + 1}" in written
        assert f"{row.eligible:,.0f}" in written
    table = result.infer(["contact"]).set_index(["layer", "head"])
    rows = table.loc[list(zip(best["layer"], best["head"], strict=True))]
    (whiskers,) = [c for c in axes.collections if not isinstance(c, PolyCollection)]
    drawn = np.array([segment[:, 0] for segment in whiskers.get_segments()])
    assert drawn == pytest.approx(100 * rows[["low", "high"]].to_numpy())
    assert figures.top_heads(result, "contact", k=3).axes[0].get_ylim() == (2.5, -0.5)


def test_best_heads_take_a_table_that_is_there_already():
    result = made_up(thresholds=(0.1, 0.3))
    table = result.infer(confidence=0.9)
    table.attrs["unit"] = "cluster"
    figure = figures.top_heads(result, "contact", threshold=0.3, inferred=table)
    assert "Whiskers: 90% cluster-robust interval, the cluster as the unit." in figures.caption(
        figure
    )
    assert "attention ≥ 0.3" in figures.caption(figure)
    with pytest.raises(ArgumentError, match="inferred: expected a row for layer"):
        figures.top_heads(result, "contact", inferred=table[table["layer"] == 0])


def test_best_heads_of_all_classes_name_the_class():
    result = made_up()
    figure = figures.top_heads(result, "separation")
    best = result.top_heads("separation", k=10)
    assert "|i − j|" in texts(figure)
    for row in best.itertuples():
        assert f"{row.excess:.1f}×" in texts(figure)
    one = texts(figures.top_heads(result, "separation", ">=24", k=2))
    assert "attention at |i − j| ≥ 24, % of arcs" in one and "ratio" in one


def test_key_values_are_means_with_a_unit():
    result = made_up()
    figure = figures.heat_map(result, "hydrophobicity")
    assert np.array_equal(
        image(figure.axes[0]), result.proportion["hydrophobicity"][..., 0], equal_nan=True
    )
    assert "mean hydrophobicity of attended residues, Kyte-Doolittle" in texts(figure)
    assert "%" not in figures.caption(figure)
    best = figures.top_heads(result, "hydrophobicity")
    assert any(text.startswith("+") for text in texts(best))


def test_attention_without_threshold():
    result = made_up(weighting="both")
    figure = figures.heat_map(result, "contact", statistic="mass")
    assert np.array_equal(image(figure.axes[0]), 100 * result.mass_proportion["contact"][..., 0])
    assert "attention on contact pairs, % of attention" in texts(figure)
    assert "without a threshold" in figures.caption(figure)
    alone = made_up(weighting="attention")
    assert "% of attention" in " ".join(texts(figures.top_heads(alone, "contact")))
    assert all(plan.name != "arcs_per_head" for plan in figures.planned(alone))


def test_centres_of_gravity_by_hand():
    result = made_up(3, 2, min_arcs=1)
    (profile,) = figures.layer_profiles(result, ["contact"])
    shares = 100 * result.proportion["contact"][..., 0]
    by_layer = [sum(row) / 2 for row in shares.tolist()]
    centre = sum(n * p for n, p in enumerate(by_layer, start=1)) / sum(by_layer)
    assert profile.centre == pytest.approx(centre)
    assert profile.percent == pytest.approx(by_layer) and profile.heads.tolist() == [2, 2, 2]
    figure = figures.layers(result, ["contact"])
    assert f"{centre:.2f}" in texts(figure)
    assert f"contact {centre:.2f}" in figures.caption(figure)


def test_centre_of_gravity_of_restricted_layers():
    result = made_up((3, 1), 4, min_arcs=1)
    (profile,) = figures.layer_profiles(result, "binding_site")
    assert profile.layers == [1, 3]
    p, q = profile.percent
    assert profile.centre == pytest.approx((2 * p + 4 * q) / (p + q))
    assert "Only layers 2, 4 of 4 were analysed" in figures.caption(figures.layers(result))


def test_properties_by_layer_are_ordered_by_their_centres():
    result = made_up(12, 8)
    profiles = figures.layer_profiles(result)
    centres = [profile.centre for profile in profiles]
    assert centres == sorted(centres)
    assert {(profile.property, profile.class_name) for profile in profiles} == {
        ("secondary_structure", "helix"),
        ("secondary_structure", "strand"),
        ("secondary_structure", "turn"),
        ("binding_site", "binding_site"),
        ("contact", "contact"),
    }
    figure = figures.layers(result)
    assert len(figure.axes) == 5
    titles = [axes.texts[-2].get_text() for axes in figure.axes]
    assert titles == [profile.class_name.replace("_", " ").capitalize() for profile in profiles]


def test_by_layer_prefers_attention_and_leaves_gaps():
    both = made_up(weighting="both")
    assert figures.layer_profiles(both)[0].statistic == "mass"
    assert figures.layer_profiles(both, threshold=0.3)[0].statistic == "arcs"
    few = made_up(8, 1)
    (profile,) = figures.layer_profiles(few, ["contact"])
    assert 0 < np.isnan(profile.percent).sum() < 8
    assert "Gaps: layers without a head" in figures.caption(figures.layers(few, ["contact"]))


def test_similarity_shows_both_matrices_in_one_order():
    result = made_up(12, 12)
    figure = figures.similarity(result)
    ours, theirs = image(figure.axes[0]), image(figure.axes[2])
    letters = [text.get_text() for text in figure.axes[0].texts[:20]]
    assert sorted(letters) == list("ACDEFGHIKLMNPQRSTVWY")
    found = amino_acid_similarity(result)
    order = ["ACDEFGHIKLMNPQRSTVWY".index(letter) for letter in letters]
    assert np.array_equal(ours, found.similarity[np.ix_(order, order)], equal_nan=True)
    assert np.array_equal(theirs, found.blosum62[np.ix_(order, order)], equal_nan=True)
    assert abs(letters.index("I") - letters.index("V")) == 1  # alike in BLOSUM62
    text = figures.caption(figure)
    assert f"r of both = {found.correlation:.2f} over 190 of 190 pairs" in text


def test_similarity_at_one_of_several_thresholds():
    result = made_up(12, 12, thresholds=(0.1, 0.3), weighting="both")
    for theta in (0.1, 0.3):
        alone = made_up(12, 12, thresholds=(0.1, 0.3))
        found = amino_acid_similarity(result, threshold=theta)
        shares = alone.proportion["amino_acid"][(0.1, 0.3).index(theta)][..., :20].reshape(-1, 20)
        shares = shares[np.isfinite(shares).all(axis=1)]
        assert found.similarity[0, 1] == pytest.approx(
            np.corrcoef(shares[:, 0], shares[:, 1])[0, 1]
        )
        assert found.n_heads == len(shares)
    mass = amino_acid_similarity(result, statistic="mass")
    assert mass.n_heads == 144
    with pytest.raises(ArgumentError, match=r"threshold: this result has 0.1, 0.3; got 0.5"):
        amino_acid_similarity(result, threshold=0.5)
    with pytest.raises(ArgumentError, match="property_name: expected one with a class for each"):
        amino_acid_similarity(result, property_name="contact")


def test_twenty_maps_of_amino_acids():
    result = made_up(6, 8)
    figure = figures.amino_acids(result)
    maps = figure.axes[:20]
    for k, axes in enumerate(maps):
        want = 100 * result.proportion["amino_acid"][..., k]
        assert np.array_equal(image(axes), want, equal_nan=True)
        assert axes.get_images()[0].get_clim() == (0.0, np.nanmax(want))
    whole = np.nanmax(100 * result.proportion["amino_acid"][..., :20])
    shared = figures.amino_acids(result, scale="shared")
    assert {axes.get_images()[0].get_clim() for axes in shared.axes[:20]} == {(0.0, whole)}
    assert "one colour scale" in figures.caption(shared)
    with pytest.raises(ArgumentError, match="scale: expected one of"):
        figures.amino_acids(result, scale="best")


def test_separations_of_layers_and_of_heads():
    result = made_up(4, 6, min_arcs=1)
    share, ratio = figures.separation(result).axes[:2]
    by_layer = 100 * result.proportion["separation"].mean(axis=1)
    background = 100 * result.background["separation"]
    for k in range(4):
        assert share.lines[k].get_ydata() == pytest.approx(by_layer[k])
        above = by_layer[k] > 0
        assert ratio.lines[k].get_ydata()[above] == pytest.approx((by_layer[k] / background)[above])
    assert share.lines[4].get_ydata() == pytest.approx(background)
    share = figures.separation(result, heads=[(3, 0), (1, 5)]).axes[0]
    assert share.lines[1].get_ydata() == pytest.approx(100 * result.proportion["separation"][1, 5])
    many = figures.separation(made_up(30, 2))
    assert "layer" in texts(many)


def test_every_separation_has_a_figure_of_its_own(monkeypatch):
    spec = PropertySpec("far", "separation", ("0-49", ">=50"))
    monkeypatch.setitem(figure_cases.SPECS, "far", spec)
    monkeypatch.setitem(figure_cases._BACKGROUND, "far", np.array([0.3, 0.7]))
    result = made_up(properties=["separation", "contact", "far"])
    plans = {plan.name: plan.make() for plan in figures.planned(result)}
    ticks = [
        [label.get_text() for label in plans[name].axes[0].get_xticklabels()]
        for name in ("separation", "far")
    ]
    assert len(ticks[0]) == 9 and len(ticks[1]) == 2
    with pytest.raises(ArgumentError, match=r"property_name: expected a separation \(separation"):
        figures.separation(result, property_name="contact")


def test_shares_against_the_threshold():
    result = made_up(thresholds=(0.1, 0.3, 0.5))
    figure = figures.thresholds(result, "contact", heads=[(1, 4), (2, 2)])
    share, number = figure.axes
    for line, below, (layer, head) in zip(
        share.lines, number.lines, [(1, 4), (2, 2)], strict=False
    ):
        want = 100 * result.proportion["contact"][:, layer, head, 0]
        assert np.array_equal(line.get_ydata(), want, equal_nan=True)
        assert list(line.get_xdata()) == [0.1, 0.3, 0.5]
        assert list(below.get_ydata()) == list(result.eligible["contact"][:, layer, head])
    assert share.lines[2].get_ydata() == pytest.approx([100 * result.background["contact"][0]] * 2)
    best = result.top_heads("contact", k=1).iloc[0]
    legend = [text.get_text() for text in figures.thresholds(result, "contact").legends[0].texts]
    assert legend[0] == f"{best['layer'] + 1}-{best['head'] + 1}" and legend[-1] == "background"


def test_captions_say_n_units_threshold_and_model():
    result = made_up(model={"name": "/home/somebody/esm2"}, thresholds=(0.1, 0.3))
    plans = figures.planned(result)
    assert {plan.name.partition("-")[0] for plan in plans} == {
        *("arcs_per_head", "amino_acids", "similarity", "top_heads", "heat_map", "thresholds"),
        *("separation", "layers"),
    }
    for plan in plans:
        text = figures.caption(plan.make())
        assert "esm2; 5 proteins, 1,100 residues" in text and "somebody" not in text
        assert "≥" in text, plan.name
    few = 64
    text = figures.caption(figures.heat_map(made_up(8, 8), "contact"))
    n = int(np.isnan(made_up(8, 8).proportion["contact"]).sum())
    assert f"Hatched: {n} of {few} heads with fewer than 100 eligible arcs." in text and n
    result.complete = False
    assert "Incomplete" in figures.caption(figures.heat_map(result, "contact"))


def test_captions_of_other_figures():
    with pytest.raises(ArgumentError, match="figure: expected one that a function of"):
        figures.caption(Figure())


def test_colours_are_monotone_in_grey():
    rgb = colormaps[style.COLOUR_MAP](np.linspace(0, 1, 256))[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()
    rainbow = colormaps["jet"](np.linspace(0, 1, 256))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert not (np.diff(rainbow) > 0).all()


def test_nothing_global_changes_and_nothing_global_is_heard(tmp_path):
    code = f"""
import sys
import matplotlib
matplotlib.rcParams.update({{"font.size": 30, "axes.facecolor": "red", "image.cmap": "jet"}})
def settings():  # to read which backend there is imports pyplot
    return {{k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != "backend"}}
before = settings()
from figure_cases import made_up
from provis_fast import figures
figures.save(figures.heat_map(made_up(3, 4), "contact"), {str(tmp_path / "a.svg")!r}, caption=True)
assert settings() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TESTS)
    figures.save(figures.heat_map(made_up(3, 4), "contact"), tmp_path / "b.svg", caption=True)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_importing_figures_does_not_import_matplotlib():
    code = "import sys, provis_fast.figures; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=TESTS)
