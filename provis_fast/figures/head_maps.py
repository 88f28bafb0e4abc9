"""Maps of all heads, layers down and heads across, with a panel of their layers beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast.figures import captions, style
from provis_fast.figures.numbers import (
    chosen_statistic,
    phrase,
    readable,
    sentence,
    shares,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from provis_fast.statistics import HeadStatistics

_WIDEST, _TALLEST = 4.9, 6.6  # inches of a map
_CELL = 0.21
_LEFT, _TOP, _GAP, _PANEL, _RIGHT = 0.5, 0.3, 0.12, 1.15, 0.15


class _Grid(NamedTuple):
    """A figure with a map and a panel beside it, and the room of a colour bar below."""

    figure: Figure
    cells: Axes
    panel: Axes
    bar: tuple[float, float, float, float]


def heat_map(
    result: HeadStatistics,
    property_name: str,
    class_name: str | None = None,
    *,
    statistic: str | None = None,
    threshold: float | None = None,
) -> Figure:
    """What share of every head's attention goes to a class, with the maximum of each layer.

    As the paper's figures of heads (section 4, appendix): layers down, heads across; the share in
    percent (equation 1) as colour; beside it each layer's maximum, with the background dashed.
    Heads with too few arcs are hatched. For key values the mean is drawn instead of a share.

    Parameters
    ----------
    result : HeadStatistics
    property_name : str
    class_name : str, optional
        Needed where the property has several.
    statistic : {"arcs", "mass"}, optional
        Arcs, or attention without a threshold; default arcs, where the result has them.
    threshold : float, optional
        One of `result.thresholds`; default the first.

    Returns
    -------
    matplotlib.figure.Figure
        Its caption is told by `provis_fast.figures.caption`.

    Raises
    ------
    ArgumentError
        A property, class, statistic or threshold that the result does not have.
    ResultError
        No protein was analysed, or the property is known nowhere.
    """
    numbers = shares(result, property_name, statistic=statistic, threshold=threshold)
    index = numbers.index(class_name)
    spec, shown = numbers.spec, numbers.shown[..., index]
    background = float(numbers.background[index])
    what = phrase(spec, spec.classes[index])
    low, high = _range(shown, spec.is_value)
    with style.styled():
        grid = _grid(sentence(what), numbers.axis(what), numbers.layers, shown)
        _draw(grid.cells, shown, low, high)
        best = _largest(shown)
        base = background if spec.is_value and np.isfinite(background) else 0.0
        _bars(grid.panel, best, base, "layer maximum" + ("" if spec.is_value else ", %"))
        if np.isfinite(background):
            grid.panel.axvline(background, color=style.INK, linewidth=0.9, linestyle=(0, (3, 2)))
        style.scale_bar(grid.figure, grid.bar, low, high, numbers.axis(what))
    return captions.set_caption(
        grid.figure,
        f"{sentence(what)}{'' if readable(spec.name) in what else f' ({readable(spec.name)})'}. "
        f"Colour: {captions.basis(numbers)}; bars: the largest of each layer.",
        f"Dashed: background, {numbers.say(background)}." if np.isfinite(background) else "",
        captions.left_out(result, shown, numbers.statistic),
        captions.FROM_1,
        captions.source(result, numbers.statistic, numbers.threshold),
    )


def arcs_per_head(result: HeadStatistics, *, threshold: float | None = None) -> Figure:
    """How many arcs every head has, with the sum of each layer; colours are logarithmic.

    Parameters and errors as for `heat_map`; a result without arcs has no such figure
    (ArgumentError).
    """
    from matplotlib.colors import LogNorm

    _, threshold, theta = chosen_statistic(result, "arcs", threshold)
    order = np.argsort(result.layers)
    layers = [result.layers[k] for k in order]
    arcs = result.arcs[theta][order].astype(np.float64)
    shown = np.where(arcs > 0, arcs, np.nan)
    low = 10.0 ** np.floor(np.log10(np.nanmin(shown))) if np.isfinite(shown).any() else 1.0
    high = max(float(arcs.max(initial=0)), 10.0 * low)
    with style.styled():
        grid = _grid("Arcs per head", "arcs", layers, shown)
        _draw(grid.cells, shown, low, high, LogNorm(low, high))
        _bars(grid.panel, arcs.sum(axis=1), 0.0, "arcs of the layer")
        first, last = np.log10([low, high])
        powers = 10.0 ** np.arange(round(first), int(last + 1e-9) + 1)
        at = (np.log10(powers) - first) / (last - first)
        labels = [f"{number:,.0f}" for number in powers]
        style.scale_bar(grid.figure, grid.bar, 0, 1, "arcs", at, labels)
    none = int((arcs == 0).sum())
    return captions.set_caption(
        grid.figure,
        f"Arcs of each head: pairs of residues with attention ≥ {threshold:g}, over all proteins. "
        "Colour: their number, on a logarithmic scale; bars: the sum of each layer.",
        f"Hatched: {none:,} of {captions.counted(arcs.size, 'head')} without arcs." if none else "",
        captions.FROM_1,
        captions.source(result, "arcs", threshold),
    )


def _range(shown: NDArray[np.float64], is_value: bool) -> tuple[float, float]:
    """Ends of the colour scale: from 0 for shares, from the least value for values."""
    finite = shown[np.isfinite(shown)]
    if not finite.size:
        return 0.0, 1.0
    low = float(finite.min()) if is_value else 0.0
    high = float(finite.max())
    return (low, high) if high > low else (low, low + (abs(low) or 1.0))


def _largest(shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """Maximum of each row; NaN where it has no number."""
    filled = np.where(np.isfinite(shown), shown, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(np.isfinite(filled), filled, np.nan)


def _grid(title: str, unit: str, layers: list[int], shown: NDArray[np.float64]) -> _Grid:
    """Axes for a map of this shape, ticks and labels included; as wide as its texts need."""
    n_layers, n_heads = shown.shape
    cell_width = min(_CELL, _WIDEST / n_heads)
    cell_height = min(max(cell_width, 0.13), _TALLEST / n_layers)
    width, height = cell_width * n_heads, cell_height * n_layers
    bar = min(max(width, 2.2), 3.2)
    whole = max(
        _LEFT + width + _GAP + _PANEL + _RIGHT,
        _LEFT + style.room(unit) + 0.08,
        style.room(title, style.TITLE) + 0.16,
        3.4,
    )
    below = _TOP + height + 0.47
    figure = style.new_figure(whole, below + 0.48)
    style.write(figure, 0.08, 0.07, title, fontsize=style.TITLE)
    cells = style.place(figure, _LEFT, _TOP, width, height)
    panel = style.place(figure, _LEFT + width + _GAP, _TOP, _PANEL, height)
    label_layers(cells, layers, height)
    label_heads(cells, n_heads, width)
    panel.set_ylim(n_layers - 0.5, -0.5)
    style.open_frame(panel, "left", "bottom")
    return _Grid(figure, cells, panel, (_LEFT, below, bar, 0.1))


def _draw(axes: Axes, shown: NDArray[np.float64], low: float, high: float, norm=None) -> None:
    style.hatch(axes)
    limits = {"norm": norm} if norm is not None else {"vmin": low, "vmax": high}
    # As pixels, each cell a rectangle of them: small files, and no seams between cells.
    axes.imshow(
        np.ma.masked_invalid(shown),
        aspect="auto",
        interpolation="nearest",
        cmap=style.COLOUR_MAP,
        **limits,
    )


def label_layers(axes: Axes, layers: list[int], height: float) -> None:
    """Numbers of the layers at the left, as many as have room in `height` inches."""
    numbers = [layer + 1 for layer in layers]
    rows = style.thinned(numbers, height / 0.125)
    style.ruler(axes, "left", rows, [str(numbers[k]) for k in rows], "layer")


def label_heads(axes: Axes, n_heads: int, width: float) -> None:
    """Numbers of the heads below, as many as have room in `width` inches."""
    heads = range(1, n_heads + 1)
    columns = style.thinned(heads, width / (0.17 if n_heads > 9 else 0.1))
    style.ruler(axes, "bottom", columns, [str(heads[k]) for k in columns], "head")


def _bars(axes: Axes, lengths: NDArray[np.float64], base: float, title: str) -> None:
    """Bars of the layers from `base`."""
    finite = np.flatnonzero(np.isfinite(lengths))
    style.bars(axes, finite, base, lengths[finite])
    ends = [base, *lengths[finite]]
    low, high = min(ends), max(ends)
    room = 0.04 * (high - low) or 1.0
    axes.set_xlim(low - (room if low < base else 0), high + room)
    style.ruler(axes, "bottom", style.round_ticks(*axes.get_xlim(), most=3), title=title)
