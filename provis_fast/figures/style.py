"""How all figures look: fonts, sizes, colours, and figures whose parts are placed by hand.

Figures are made with `matplotlib.figure.Figure`, never with pyplot: they need no display, belong to
no list of open figures, and nothing of matplotlib's global settings changes but inside `styled`.
Everything is placed in inches: matplotlib's automatic layouts draw each figure several times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Perceptually uniform, told apart by colour-blind readers, and monotone in grey.
COLOUR_MAP = "viridis"
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
BAR = "#AEBBCB"
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
    "text.parse_math": False,  # a "$" in a name is a "$"
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
    """An empty figure of a size in inches, rounded up to hundredths (whole pixels at 200 dpi)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(hundredths(width), hundredths(height)), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def hundredths(inches: float) -> float:
    """Rounded up to hundredths."""
    return math.ceil(100 * inches - 1e-6) / 100


def place(
    figure: Figure, left: float, top: float, width: float, height: float, rulers: bool = True
) -> Axes:
    """Axes at a place in inches from the upper left corner.

    With `rulers` they have no ticks of matplotlib's, each of which takes milliseconds to make and
    to draw: `ruler` draws them.
    """
    whole_width, whole_height = figure.get_size_inches()
    axes = figure.add_axes(
        (
            left / whole_width,
            1 - (top + height) / whole_height,
            width / whole_width,
            height / whole_height,
        )
    )
    if rulers:
        axes.xaxis.set_visible(False)
        axes.yaxis.set_visible(False)
    return axes


def ruler(
    axes: Axes,
    side: str,
    at: Sequence[float],
    labels: Sequence[str] | None = None,
    title: str = "",
    marks: bool = True,
    from_start: bool = False,
) -> None:
    """Tick marks, their labels and a title along one side, outside of the axes.

    Parameters
    ----------
    axes : Axes
        From `place`; limits need not be set yet.
    side : {"bottom", "left"}
    at : sequence of float
    labels : sequence of str, optional
        Default the numbers themselves.
    title : str
    marks : bool
        Draw the marks.
    from_start : bool
        The title of a bottom side begins at its left end; else it is centred.
    """
    from matplotlib.transforms import ScaledTranslation

    below = side == "bottom"
    inches = axes.get_figure().dpi_scale_trans
    along = axes.get_xaxis_transform() if below else axes.get_yaxis_transform()
    labels = tick_labels(at) if labels is None else labels
    at = list(at)

    def away(points: float) -> Any:
        return ScaledTranslation(*((0, -points / 72) if below else (-points / 72, 0)), inches)

    if marks:
        zeros = [0.0] * len(at)
        axes.plot(
            *((at, zeros) if below else (zeros, at)),
            marker=3 if below else 0,  # matplotlib's TICKDOWN and TICKLEFT
            markersize=2.5,
            markeredgewidth=0.6,
            color=INK,
            linestyle="none",
            transform=along,
            clip_on=False,
            scalex=False,
            scaley=False,
        )
    where = along + away(4.5 if marks else 3.0)
    aligned = {"ha": "center", "va": "top"} if below else {"ha": "right", "va": "center_baseline"}
    for position, label in zip(at, labels, strict=True):
        x, y = (position, 0.0) if below else (0.0, position)
        axes.text(x, y, label, transform=where, fontsize=SMALL, **aligned)
    if title:
        room = SMALL * (1.4 if below else 0.64 * max(map(len, labels), default=0) + 0.5)
        where = axes.transAxes + away(4.5 + room)
        x, y = (0.5, 0.0) if below else (0.0, 0.5)
        turned = aligned if below else {"ha": "right", "va": "center", "rotation": 90}
        if from_start:
            x, turned = 0.0, turned | {"ha": "left"}
        axes.text(x, y, title, transform=where, **turned)


def tick_labels(at: Sequence[float]) -> list[str]:
    """Numbers with equally many decimals; thousands and millions as "k" and "M"."""
    most = max(map(abs, at), default=0.0)
    size, letter = next(((s, x) for s, x in ((1e6, "M"), (1e3, "k")) if most >= 10 * s), (1.0, ""))
    numbers = [number / size for number in at]
    decimals = next(
        (d for d in range(7) if all(abs(round(x, d) - x) <= 1e-9 * most / size for x in numbers)), 7
    )
    return [f"{x:.{decimals}f}{letter if x else ''}".replace("-", "−") for x in numbers]


def bars(
    axes: Axes,
    at: NDArray[Any],
    base: float,
    ends: NDArray[np.float64],
    upright: bool = False,
    thickness: float = 0.78,
) -> None:
    """Bars from `base` to `ends`, as one artist; limits are left alone."""
    from matplotlib.collections import PolyCollection

    half = thickness / 2
    corners = np.empty((len(ends), 4, 2))
    corners[:, :, 1 if upright else 0] = np.stack([ends * 0 + base, ends, ends, ends * 0 + base], 1)
    corners[:, :, 0 if upright else 1] = np.asarray(at)[:, None] + [-half, -half, half, half]
    axes.add_collection(PolyCollection(corners, facecolor=BAR, linewidth=0), autolim=False)


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
    title: str,
    at: Sequence[float] | None = None,
    labels: Sequence[str] | None = None,
) -> Axes:
    """A horizontal colour bar from `low` to `high`; `box` as for `place`."""
    axes = place(figure, *box)
    axes.imshow(
        np.linspace(0, 1, 256)[None],
        aspect="auto",
        cmap=COLOUR_MAP,
        extent=(low, high, 0, 1),
        interpolation="nearest",
    )
    at = round_ticks(low, high) if at is None else at
    ruler(axes, "bottom", at, labels, title, from_start=True)
    return axes


def room(text: str, points: float = TEXT) -> float:
    """Inches that a line of text takes at most, or nearly so."""
    return 0.0085 * points * len(text)


def round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, at most `most` + 1."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = 1e-9 * max(abs(low), abs(high))
    return [float(t) for t in ticks if low - slack <= t <= high + slack]
