"""Figures look as they did: compared with pictures in tests/baseline.

After a change that is meant, draw them anew and look at every one before it is committed:

    PROVIS_FAST_DRAW_BASELINE=1 python -m pytest tests/test_figures_baseline.py
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib
import pytest
from figure_cases import made_up
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images
from PIL import Image

from provis_fast import figures

BASELINE = Path(__file__).parent / "baseline"
DRAW = os.environ.get("PROVIS_FAST_DRAW_BASELINE") == "1"
#: Root mean square of the difference, of 255.
TOLERANCE = 1.0
PICTURES = {
    "heat_map": lambda: figures.heat_map(made_up(), "secondary_structure", "strand"),
    "heat_map_of_30x16": lambda: figures.heat_map(made_up(30, 16, n_proteins=2), "contact"),
    "heat_map_of_12x64": lambda: figures.heat_map(made_up(12, 64, n_proteins=2), "contact"),
    "heat_map_of_1x1": lambda: figures.heat_map(made_up(1, 1, min_arcs=1), "contact"),
    "heat_map_of_values": lambda: figures.heat_map(made_up((5, 1, 3), 9), "hydrophobicity"),
    "top_heads": lambda: figures.top_heads(made_up(), "contact"),
    "top_heads_of_classes": lambda: figures.top_heads(made_up(), "separation"),
    "top_heads_of_values": lambda: figures.top_heads(made_up(), "hydrophobicity"),
    "arcs_per_head": lambda: figures.arcs_per_head(made_up()),
    "layers": lambda: figures.layers(made_up(12, 4)),
    "similarity": lambda: figures.similarity(made_up(12, 12)),
    "amino_acids": lambda: figures.amino_acids(made_up()),
    "separation": lambda: figures.separation(made_up()),
    "separation_of_many_layers": lambda: figures.separation(made_up(13, 2, min_arcs=900)),
    "thresholds": lambda: figures.thresholds(made_up(thresholds=(0.1, 0.3, 0.5)), "contact"),
}


def drawn(name: str, path: Path) -> Path:
    """Draw a picture, small; one of them with its caption."""
    return save(PICTURES[name](), path, caption=name == "heat_map")


def save(figure: Figure, path: Path, caption: bool = True) -> Path:
    return figures.save(figure, path, caption=caption, dpi=80)


def same_matplotlib() -> bool:
    """Whether the pictures were drawn by this minor version; others set letters differently."""
    ours = matplotlib.__version_info__[:2]
    said = Image.open(BASELINE / "heat_map.png").text["Software"]
    return f"Matplotlib version{ours[0]}.{ours[1]}." in said


alike = pytest.mark.skipif(
    not DRAW and not same_matplotlib(), reason="the baseline is another matplotlib's; see above"
)


def difference(name: str, path: Path) -> str | None:
    """What compare_images says of a picture; None where it is alike."""
    # It may write the difference beside the first picture: not into the baseline.
    expected = path.with_name(f"{name}-expected.png")
    expected.write_bytes((BASELINE / f"{name}.png").read_bytes())
    return compare_images(str(expected), str(path), tol=TOLERANCE)


@alike
@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_as_before(name, tmp_path):
    if DRAW:
        drawn(name, BASELINE / f"{name}.png")
    assert difference(name, drawn(name, tmp_path / f"{name}.png")) is None


def test_the_baseline_is_small_and_complete():
    files = sorted(BASELINE.iterdir())
    assert [path.stem for path in files] == sorted(PICTURES)
    assert all(path.stat().st_size < 60_000 for path in files)


@pytest.mark.parametrize(
    "change",
    [
        lambda figure: figure.axes[0].get_images()[0].set_cmap("magma"),
        lambda figure: figure.axes[0].get_images()[0].set_clim(0, 200),
        lambda figure: figure.axes[1].set_xlim(0, 200),
        lambda figure: figure.axes[0].set_position([0.2, 0.5, 0.3, 0.3]),
        lambda figure: figure.axes[2].remove(),
        lambda figure: figure.axes[1].lines[0].set_visible(False),
    ],
    ids=["colours", "colour scale", "bars", "place", "no colour bar", "no background"],
)
def test_a_changed_picture_is_noticed(change, tmp_path):
    figure = PICTURES["heat_map"]()
    change(figure)
    path = save(figure, tmp_path / "heat_map.png")
    assert "RMS Value" in difference("heat_map", path)


def test_other_numbers_are_noticed(tmp_path):
    figure = figures.heat_map(made_up(), "secondary_structure", "helix")
    path = save(figure, tmp_path / "heat_map.png")
    assert difference("heat_map", path) is not None


def test_letters_are_of_the_font_that_matplotlib_carries():
    from matplotlib.font_manager import FontProperties, findfont

    from provis_fast.figures import style

    with style.styled():
        assert Path(findfont(FontProperties(family=["sans-serif"]))).parent == Path(
            matplotlib.get_data_path(), "fonts", "ttf"
        )
