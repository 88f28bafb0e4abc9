"""The heads that most favour a property, with intervals, background and n."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ResultError
from provis_fast.figures import captions, style
from provis_fast.figures.numbers import Shares, phrase, readable, sentence, shares, spell

if TYPE_CHECKING:
    import pandas as pd
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
    unit: str = "protein",
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
    unit : {"protein", "cluster"}
        That `inferred` was made with; the caption names it.
    confidence : float
        Of the intervals: of `inferred`, where that is given.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError, ResultError
        As for `heat_map`; ResultError also where no head has enough arcs.
    """
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
    layer, head, class_index = rows.T
    value = numbers.shown[layer, head, class_index]
    eligible = numbers.eligible[layer, head]
    background = numbers.background[class_index]
    low, high = _intervals(result, numbers, rows, inferred, confidence)
    several = len(spec.classes) > 1 and index is None
    labels = [
        f"{numbers.layers[i] + 1}-{j + 1}" + (f"  {spell(spec.classes[c])}" if several else "")
        for i, j, c in rows
    ]
    title = readable(spec.name) if several else phrase(spec, spec.classes[class_index[0]])
    with style.styled():
        figure = _draw(
            f"{sentence(title)}: heads that favour {'its classes' if several else 'it'} most",
            labels,
            value,
            low,
            high,
            background,
            eligible,
            numbers,
            f"{'attention to the class' if several else title}, {numbers.unit}",
        )
    amount = "eligible arcs" if numbers.statistic == "arcs" else "attention"
    favoured = "difference from" if spec.is_value else "ratio to"
    return captions.set_caption(
        figure,
        f"{sentence(title)}: the {captions.counted(len(rows), 'head')} with the largest "
        f"{favoured} the background, named layer-head, best first. Bars: "
        f"{captions.basis(numbers)}.",
        ""
        if low is None
        else f"Whiskers: {100 * confidence:g}% cluster-robust interval, the {unit} as the unit.",
        f"Dashed: background{'s' if several else ''}"
        + ("." if several else f", {_number(background[0], spec.is_value)}."),
        f"n: {amount} of the head." if numbers.statistic == "arcs" else "",
        captions.FROM_1,
        captions.source(result, numbers.statistic, numbers.threshold),
    )


def _number(number: float, is_value: bool) -> str:
    return f"{number:.3g}" if is_value else f"{number:.3g}%"


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
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Ends of the rows' intervals, in the units of `Shares.shown`; None where there are none."""
    if numbers.statistic == "mass":
        return None, None
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
    factor = 1.0 if numbers.spec.is_value else 100.0
    low, high = (factor * table.loc[keys, end].to_numpy(dtype=float) for end in ("low", "high"))
    return (low, high) if np.isfinite(low).any() else (None, None)


def _draw(
    title: str,
    labels: list[str],
    value: NDArray[np.float64],
    low: NDArray[np.float64] | None,
    high: NDArray[np.float64] | None,
    background: NDArray[np.float64],
    eligible: NDArray[np.float64],
    numbers: Shares,
    x_label: str,
) -> Figure:
    n = len(labels)
    left = 0.5 + 0.062 * max(len(label) for label in labels)
    columns = 1.5
    figure = style.new_figure(left + _WIDTH + columns, _TOP + n * _ROW + _BOTTOM)
    style.write(figure, 0.08, 0.07, title, fontsize=style.TITLE)
    axes = style.place(figure, left, _TOP, _WIDTH, n * _ROW)
    rows = np.arange(n)
    is_value = numbers.spec.is_value
    base = float(background[0]) if is_value else 0.0
    axes.barh(rows, value - base, left=base, height=0.72, color=style.BAR)
    ends = [base, *value, *background]
    if low is not None and high is not None:
        axes.hlines(rows, low, high, color=style.INK, linewidth=1.0)
        axes.plot(np.concatenate([low, high]), [*rows, *rows], "|", color=style.INK, markersize=4)
        ends += [*low[np.isfinite(low)], *high[np.isfinite(high)]]
    dashes = {"color": style.VERMILION, "linewidth": 1.1}
    if len(set(background)) == 1:
        axes.axvline(background[0], linestyle=(0, (3, 2)), **dashes)
    else:
        axes.vlines(background, rows - 0.44, rows + 0.44, **dashes)
    left_end, right_end = min(ends), max(ends)
    room = 0.03 * (right_end - left_end) or 1.0
    axes.set_xlim(left_end - (room if left_end < 0 or is_value else 0), right_end + room)
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_xticks(style.round_ticks(*axes.get_xlim(), most=6))
    axes.set_yticks(rows, labels)
    axes.set_xlabel(x_label)
    style.open_frame(axes, "left", "bottom")
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel("layer-head")
    if is_value:
        favoured, heading = [f"{a - b:+.3g}" for a, b in zip(value, background, strict=True)], "Δ"
    else:
        favoured = [f"{a / b:.1f}×" for a, b in zip(value, background, strict=True)]
        heading = "ratio"
    amounts = [f"{x:,.0f}" for x in eligible]
    first, second = left + _WIDTH + 0.55, left + _WIDTH + columns - 0.12
    cells = [(heading, "n" if numbers.statistic == "arcs" else "attention", _TOP - 0.11)]
    cells += [
        (a, b, _TOP + (k + 0.5) * _ROW)
        for k, (a, b) in enumerate(zip(favoured, amounts, strict=True))
    ]
    for a, b, top in cells:
        for where, text in ((first, a), (second, b)):
            style.write(figure, where, top, text, ha="right", va="center", fontsize=style.SMALL)
    return figure
