"""The heads that most favour a property, with intervals, background and n."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError, ResultError
from provis_fast.figures import captions, style
from provis_fast.figures.numbers import Shares, phrase, readable, sentence, shares, spell

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from provis_fast.statistics import HeadStatistics

_ROW, _TOP, _BOTTOM = 0.19, 0.48, 0.42
_WIDTH = 4.0  # inches of the bars


def top_heads(
    result: HeadStatistics,
    property_name: str,
    class_name: str | None = None,
    k: int = 10,
    *,
    statistic: str | None = None,
    threshold: float | None = None,
    inferred: pd.DataFrame | None = None,
    confidence: float = 0.95,
) -> Figure:
    """The heads that most favour a class, best first, with intervals and the background.

    Ranked by share / background (key values: by their difference), as
    `HeadStatistics.top_heads` does; with `class_name` None, classes are ranked together.

    Parameters
    ----------
    result, property_name, statistic, threshold
        As for `heat_map`.
    class_name : str, optional
        None: all classes, each row saying which.
    k : int
        Rows at most.
    inferred : DataFrame, optional
        What `result.infer` has given for (at least) this property, statistic and threshold; where
        it is left out, it is computed, with the protein as the unit.
    confidence : float
        Of the intervals; that of `inferred` (its `attrs`), where that is given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError, ResultError
        As for `heat_map`; ResultError also where no head has enough arcs.
    """
    if k < 1:
        raise ArgumentError(f"k: expected a number of heads from 1 on, got {k!r}")
    numbers = shares(result, property_name, statistic=statistic, threshold=threshold)
    index = None if class_name is None else numbers.index(class_name)
    spec = numbers.spec
    rows = ranked(numbers, index, k, more=result.compat == "provis", least=result.min_arcs)
    if not len(rows):
        what = phrase(spec, spec.classes[index or 0]) if index is not None else readable(spec.name)
        raise ResultError(
            f"{what}: no head has {max(result.min_arcs, 1)} eligible arcs, so none can be ranked; "
            "analyse more proteins or lower min_arcs"
        )
    several = len(spec.classes) > 1 and index is None
    title = readable(spec.name) if several else phrase(spec, spec.classes[rows[0, 2]])
    whiskers = _intervals(result, numbers, rows, inferred, confidence)
    about = {} if inferred is None else inferred.attrs
    unit, confidence = about.get("unit", "protein"), about.get("confidence", confidence)
    with style.styled():
        figure = _draw(numbers, rows, whiskers, several, title)
    background = numbers.background[rows[0, 2]]
    amount = "eligible arcs" if numbers.statistic == "arcs" else "attention"
    favoured = "difference from" if spec.is_value else "ratio to"
    return captions.set_caption(
        figure,
        f"{sentence(title)}: the {captions.counted(len(rows), 'head')} "
        f"{'and classes ' if several else ''}with the largest {favoured} the background, "
        f"named layer-head, best first. Bars: {captions.basis(numbers)}.",
        ""
        if whiskers is None
        else f"Whiskers: {100 * confidence:g}% cluster-robust interval, the {unit} as the unit.",
        "Coloured marks: background of the class."
        if several
        else f"Dashed: background, {numbers.say(background)}.",
        f"n: {amount} of the head." if numbers.statistic == "arcs" else "",
        captions.FROM_1,
        captions.source(result, numbers.statistic, numbers.threshold),
    )


def ranked(
    numbers: Shares, index: int | None, k: int, *, more: bool, least: int
) -> NDArray[np.int64]:
    """Layer (as in `numbers`), head and class of the best, int64 [rows, 3]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if numbers.spec.is_value:
            excess = numbers.shown - numbers.background
        else:
            excess = numbers.shown / numbers.background
    if more:  # the original asks for more than min_arcs
        excess[numbers.eligible <= least] = np.nan
    if index is not None:
        kept = np.zeros(len(numbers.spec.classes), dtype=bool)
        kept[index] = True
        excess = np.where(kept, excess, np.nan)
    places = np.argwhere(np.isfinite(excess))
    layer, head, class_index = places.T
    order = np.lexsort(
        (head, layer, -numbers.eligible[layer, head], -excess[layer, head, class_index])
    )
    return places[order[:k]]


def _intervals(
    result: HeadStatistics,
    numbers: Shares,
    rows: NDArray[np.int64],
    inferred: pd.DataFrame | None,
    confidence: float,
) -> NDArray[np.float64] | None:
    """Ends of the rows' intervals in the units of `Shares.shown`, [2, rows]; None without any."""
    if numbers.statistic == "mass":
        return None
    if inferred is None:
        inferred = result.infer(
            [numbers.spec.name],
            statistic=numbers.statistic,
            threshold=numbers.threshold,
            confidence=confidence,
        )
    table = inferred[
        (inferred["property"] == numbers.spec.name)
        & (inferred["statistic"] == numbers.statistic)
        & (inferred["threshold"] == numbers.threshold)
    ].set_index(["layer", "head", "class"])
    keys = [(numbers.layers[i], int(j), numbers.spec.classes[c]) for i, j, c in rows]
    missing = [key for key in keys if key not in table.index]
    if missing:
        raise ArgumentError(
            f"inferred: expected a row for layer {missing[0][0]}, head {missing[0][1]}, class "
            f"{missing[0][2]!r} of {numbers.spec.name} at threshold {numbers.threshold:g}, found "
            "none; pass what infer has given for this result, or leave it out"
        )
    factor = 1.0 if numbers.spec.is_value else 100.0
    ends = factor * table.loc[keys, ["low", "high"]].to_numpy(dtype=float).T
    return ends if np.isfinite(ends).any() else None


def _draw(
    numbers: Shares,
    rows: NDArray[np.int64],
    whiskers: NDArray[np.float64] | None,
    several: bool,
    title: str,
) -> Figure:
    n, spec = len(rows), numbers.spec
    layer, head, class_index = rows.T
    value, background = numbers.shown[layer, head, class_index], numbers.background[class_index]
    names = [f"{numbers.layers[i] + 1}-{j + 1}" for i, j in rows[:, :2]]
    classes = [spell(spec.classes[c]) for c in class_index] if several else []
    # Columns of text: where they end, heading, cells.
    edge = 0.15 + 0.062 * max(map(len, ["head", *names]))
    left = [(edge, "head", names)]
    if several:
        heading = "|i − j|" if spec.kind == "separation" else "class"
        edge += 0.15 + 0.062 * max(map(len, [heading, *classes]))
        left.append((edge, heading, classes))
    start = edge + 0.06
    end = start + _WIDTH
    if spec.is_value:
        apart = value - background
        favoured = ("Δ", [f"{x:+.3g}".replace("-", "−") for x in apart])
    else:
        favoured = ("ratio", [f"{x:.1f}×" for x in value / background])
    eligible = [f"{x:,.0f}" for x in numbers.eligible[layer, head]]
    amount = ("n" if numbers.statistic == "arcs" else "attention", eligible)
    right = [(end + 0.55, *favoured), (end + 1.3, *amount)]

    heading = f"{sentence(title)}: heads that favour {'its classes' if several else 'it'} most"
    width = max(end + 1.42, style.room(heading, style.TITLE) + 0.16)
    figure = style.new_figure(width, _TOP + n * _ROW + _BOTTOM)
    style.write(figure, 0.08, 0.07, heading, fontsize=style.TITLE)
    aligned = {"ha": "right", "va": "center_baseline", "fontsize": style.SMALL}
    for where, name, cells in [*left, *right]:
        style.write(figure, where, _TOP - 0.1, name, **aligned)
        for k, text in enumerate(cells):
            style.write(figure, where, _TOP + (k + 0.5) * _ROW, text, **aligned)
    axes = style.place(figure, start, _TOP, _WIDTH, n * _ROW)
    _draw_bars(axes, value, background, whiskers, spec.is_value)
    at = style.round_ticks(*axes.get_xlim(), most=6)
    what = title
    if several:
        prepositions = {"query_class": "from", "separation": "at", "pair": "on", "class_pair": "on"}
        preposition = prepositions.get(spec.kind, "to")
        what = f"attention {preposition} the {'distance' if preposition == 'at' else 'class'}"
    style.ruler(axes, "bottom", at, title=numbers.axis(what))
    return figure


def _draw_bars(
    axes: Axes,
    value: NDArray[np.float64],
    background: NDArray[np.float64],
    whiskers: NDArray[np.float64] | None,
    is_value: bool,
) -> None:
    """Bars from 0, of key values from the background; limits that hold them and the whiskers."""
    rows = np.arange(len(value))
    base = float(background[0]) if is_value else 0.0
    style.bars(axes, rows, base, value, thickness=0.72)
    ends = [base, *value, *background]
    if whiskers is not None:
        low, high = whiskers
        axes.hlines(rows, low, high, color=style.INK, linewidth=1.0)
        caps = {"color": style.INK, "markersize": 4, "linestyle": "none", "marker": "|"}
        axes.plot([*low, *high], [*rows, *rows], **caps)
        ends += list(whiskers[np.isfinite(whiskers)])
    dashes = {"color": style.VERMILION, "linewidth": 1.1}
    if len(set(background)) == 1:
        axes.axvline(background[0], linestyle=(0, (3, 2)), **dashes)
    else:
        axes.vlines(background, rows - 0.44, rows + 0.44, **dashes)
    low, high = (min(ends), max(ends)) if is_value else (0.0, min(max(ends), 100.0))
    room = 0.03 * (high - low) or 1.0
    axes.set_xlim(low - room if is_value else 0.0, high + room)
    axes.set_ylim(len(value) - 0.5, -0.5)
    style.open_frame(axes, "left", "bottom")
