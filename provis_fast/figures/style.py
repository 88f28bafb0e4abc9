"""How all figures look: fonts, sizes, colours, and figures whose parts are placed by hand.

Figures are made with `matplotlib.figure.Figure`, never with pyplot: they need no display, belong to
no list of open figures, and nothing of matplotlib's global settings changes but inside `styled`.
Everything is placed in inches: matplotlib's automatic layouts draw each figure several times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Perceptually uniform, told apart by colour-blind readers, and monotone in grey.
COLOUR_MAP = "viridis"
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
BAR = "#7B8FA8"
INK, FAINT, EMPTY = "#222222", "#9A9A9A", "#EDEDED"
#: Told apart by colour (Okabe and Ito), by marker and by dashes.
LINES: tuple[tuple[str, str, Any], ...] = (
    (BLUE, "o", "-"),
    (VERMILION, "s", (0, (5, 1.5))),
    (GREEN, "^", (0, (1.5, 1))),
    (PURPLE, "D", (0, (5, 1, 1, 1))),
    (ORANGE, "v", (0, (8, 1.5))),
    (SKY, "P", (0, (3, 1, 1, 1, 1, 1))),
    (INK, "X", (0, (1, 2))),
    (FAINT, "*", "-"),
)
TITLE, TEXT, SMALL = 9.0, 8.0, 7.0  # points
#: Dots per inch of pixels and of what is drawn as pixels in SVG and PDF.
DPI = 200
_RC = {
    "font.family": ["sans-serif"],
    # The first comes with matplotlib; the others stand in for it where an SVG is opened elsewhere.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": TEXT,
    "axes.titlesize": TITLE,
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT,
    "axes.labelpad": 3.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "hatch.linewidth": 0.4,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.0,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "savefig.dpi": DPI,
    "figure.dpi": DPI,
    "svg.fonttype": "none",
    "svg.hashsalt": "provis_fast",
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's defaults and our style on top, whatever the user has set; undone at the end."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the upper left corner, without frame and ticks so far."""
    whole_width, whole_height = figure.get_size_inches()
    axes = figure.add_axes(
        (
            left / whole_width,
            1 - (top + height) / whole_height,
            width / whole_width,
            height / whole_height,
        )
    )
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def write(figure: Figure, left: float, top: float, text: str, **changes: Any) -> None:
    """Text whose upper left corner is at a place in inches from the figure's upper left corner."""
    width, height = figure.get_size_inches()
    where = {"ha": "left", "va": "top"} | changes
    figure.text(left / width, 1 - top / height, text, **where)


def open_frame(axes: Axes, *sides: str) -> None:
    """Leave only these sides of the frame."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in sides)


def hatch(axes: Axes) -> None:
    """A background that shows through where nothing is drawn; no number looks like it."""
    axes.patch.set(facecolor=EMPTY, edgecolor=FAINT, linewidth=0.0, hatch="//////")


def thinned(numbers: Sequence[int], room: float) -> list[int]:
    """Positions of those numbers that get a tick label: the first, and round ones after it.

    Parameters
    ----------
    numbers : sequence of int
        Ascending, from 1: layers or heads.
    room : float
        Labels that have room.
    """
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if step == 2:
            shown = [k for k, number in enumerate(numbers) if number % 2]
        else:
            shown = [k for k, number in enumerate(numbers) if number % step == 0]
        if step > 2 and (not shown or shown[0] >= min(step - 1, 4)):
            shown = [0, *shown]
        if len(shown) <= max(room, 1):
            return shown
    return [0]


def scale_bar(
    figure: Figure,
    box: tuple[float, float, float, float],
    low: float,
    high: float,
    label: str,
    colour_map: str = COLOUR_MAP,
) -> Axes:
    """A horizontal colour bar; `box` as for `place`."""
    axes = place(figure, *box)
    axes.imshow(
        np.linspace(0, 1, 256)[None],
        aspect="auto",
        cmap=colour_map,
        extent=(low, high, 0, 1),
        interpolation="nearest",
    )
    axes.set_xticks(round_ticks(low, high))
    axes.set_xlim(low, high)
    axes.set_xlabel(label)
    return axes


def round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, at most `most` + 1."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * max(abs(low), abs(high))
    return [float(t) for t in ticks if low - slack <= t <= high + slack]
