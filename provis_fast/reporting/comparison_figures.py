"""Figures of a comparison whose heads correspond: scatter of shares, and maps of differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from provis_fast.figures import captions, style
from provis_fast.figures.numbers import readable, sentence, spell, value_unit
from provis_fast.head_arrays import PropertySpec
from provis_fast.reporting import wording

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Blue to red over white, told apart by colour-blind readers; signs mark what a grey print loses.
DIVERGING = "RdBu_r"
_LOG_ALPHA = np.log(0.05)
_NAMED = 5
#: Classes that a figure shows.
MOST_CLASSES = 4


def class_in_words(spec: PropertySpec, class_name: str) -> str:
    text = readable(spec.name) if class_name in (spec.name, "value") else spell(class_name)
    return text.replace("$", r"\$")


def unit(spec: PropertySpec, statistic: str) -> str:
    if spec.is_value:
        return value_unit(spec)
    return "% of arcs" if statistic == "arcs" else "% of attention"


def plain(text: str, limit: int = 40) -> str:
    """A name for matplotlib, which would take dollar signs for formulas."""
    return (text if len(text) <= limit else f"{text[: limit - 1]}…").replace("$", r"\$")


def scatter(
    spec: PropertySpec, rows: pd.DataFrame, labels: tuple[str, str], statistic: str = "arcs"
) -> Figure:
    """Proportions in A against those in B, one point per head (and class).

    Parameters
    ----------
    spec : PropertySpec
    rows : DataFrame
        Of `provis_fast.compare`, of this property under one statistic and threshold.
    labels : tuple of str
        Names of A and B.
    statistic : {"arcs", "mass"}
    """
    scale = 1.0 if spec.is_value else 100.0
    rows = rows[rows["difference"].notna()]
    x, y = (scale * rows[f"proportion_{side}"].to_numpy() for side in "ab")
    sure = (rows["log_q"] < _LOG_ALPHA).to_numpy()
    both = sure & (rows["excess_log_q"] < _LOG_ALPHA).to_numpy()
    with style.styled():
        figure = style.new_figure(4.3, 4.35)
        title = f"{sentence(readable(spec.name))}: heads in A and in B"
        style.write(figure, 0.08, 0.07, title.replace("$", r"\$"), fontsize=style.TITLE)
        axes = style.place(figure, 0.62, 0.62, 3.45, 3.2)
        low = min(0.0, *(float(np.min(v, initial=0.0)) for v in (x, y)))
        high = max(float(np.max(v, initial=low + 1e-9)) for v in (x, y))
        reach = (low - 0.04 * (high - low), high + 0.06 * (high - low))
        axes.plot(reach, reach, color=style.FAINT, linewidth=0.8, zorder=1)
        for mask, colour, marker, filled, text in (
            (~sure, style.FAINT, "o", False, "q ≥ 0.05"),
            (sure & ~both, style.VERMILION, "D", False, "share, q < 0.05"),
            (both, style.BLUE, "o", True, "share and excess"),
        ):
            axes.scatter(
                x[mask],
                y[mask],
                s=13 if marker == "o" else 11,
                marker=marker,
                facecolors=colour if filled else "none",
                edgecolors=colour,
                linewidths=0.7,
                alpha=0.85,
                zorder=2 + filled,
                label=f"{text} ({int(mask.sum()):,})",
            )
        _name_points(axes, spec, rows, x, y, sure, reach)
        axes.set_xlim(reach)
        axes.set_ylim(reach)
        ticks = style.round_ticks(low, high)
        of = unit(spec, statistic)
        style.ruler(axes, "bottom", ticks, title=f"A, {plain(labels[0])} ({of})")
        style.ruler(axes, "left", ticks, title=f"B, {plain(labels[1])} ({of})")
        style.open_frame(axes, "left", "bottom")
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.12, 1.005),
            ncols=3,
            handletextpad=0.15,
            columnspacing=0.8,
            borderpad=0,
        )
    several = len(spec.classes) > 1
    return captions.set_caption(
        figure,
        f"{sentence(readable(spec.name))}: one point for each head"
        + (" and class" if several else "")
        + " with enough arcs in both. On the line both are equal; above it B has more.",
        "Filled: the share of the arcs and its excess over the background both differ (q < 0.05); "
        "diamonds: the share does, and the excess is not shown to; circles: neither is shown.",
        f"Named: the {_NAMED} largest significant differences as layer-head, counted from 1.",
    )


def _name_points(
    axes: Axes,
    spec: PropertySpec,
    rows: pd.DataFrame,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    sure: NDArray[np.bool_],
    reach: tuple[float, float],
) -> None:
    """Names beside the largest differences, where they do not lie on one another."""
    order = np.argsort(-np.abs(y - x))
    taken: list[tuple[float, float]] = []
    room = (reach[1] - reach[0]) / 22
    for at in [k for k in order if sure[k]][: 3 * _NAMED]:
        if len(taken) == _NAMED:
            break
        if any(abs(y[at] - b) < room and abs(x[at] - a) < 7 * room for a, b in taken):
            continue
        row = rows.iloc[at]
        text = wording.head_name(int(row["layer"]), int(row["head"]))
        if len(spec.classes) > 1:
            text += f" {plain(spell(str(row['class'])), 14)}"
        right = x[at] > (reach[0] + reach[1]) / 2
        axes.annotate(
            text,
            (x[at], y[at]),
            xytext=(-4 if right else 4, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            fontsize=style.SMALL,
            zorder=5,
        )
        taken.append((float(x[at]), float(y[at])))


def difference_maps(spec: PropertySpec, rows: pd.DataFrame) -> Figure:
    """Maps of B - A, layers by heads, of the classes that differ most.

    Parameters
    ----------
    spec, rows
        As for `scatter`.
    """
    classes = _most_different(spec, rows)
    rows = rows.sort_values(["layer", "head"], kind="stable")
    layers = np.unique(rows["layer"].to_numpy())
    heads = np.unique(rows["head"].to_numpy())
    shape = (len(layers), len(heads))
    scale = 1.0 if spec.is_value else 100.0
    cell = min(0.2, 3.5 / len(heads), 2.6 / len(layers))
    width, height = max(cell * len(heads), 1.2), max(cell * len(layers), 0.5)
    columns = 2 if len(classes) > 1 and width < 1.9 else 1
    grid = -(-len(classes) // columns)
    pitch, row_pitch, top = width + 0.55, height + 0.55, 0.6
    whole = [
        scale * rows[rows["class"] == name]["difference"].to_numpy(np.float64).reshape(shape)
        for name in classes
    ]
    most = max((np.nanmax(np.abs(m)) for m in whole if np.isfinite(m).any()), default=1.0) or 1.0
    with style.styled():
        figure = style.new_figure(max(0.5 + columns * pitch, 3.4), top + grid * row_pitch + 0.55)
        title = f"{sentence(readable(spec.name))}: B minus A"
        style.write(figure, 0.08, 0.07, title.replace("$", r"\$"), fontsize=style.TITLE)
        for number, (name, numbers) in enumerate(zip(classes, whole, strict=True)):
            at = divmod(number, columns)
            axes = style.place(figure, 0.5 + at[1] * pitch, top + at[0] * row_pitch, width, height)
            style.hatch(axes)
            axes.imshow(
                np.ma.masked_invalid(numbers),
                cmap=DIVERGING,
                vmin=-most,
                vmax=most,
                aspect="auto",
                interpolation="nearest",
            )
            log_q = rows[rows["class"] == name]["log_q"].to_numpy(np.float64).reshape(shape)
            _signs(axes, numbers, log_q, most, cell)
            last = number + columns >= len(classes)
            for side, numbered, length, title in (
                ("bottom", heads + 1, width, "head" if last else ""),
                ("left", layers + 1, height, "" if at[1] else "layer"),
            ):
                shown = style.thinned(list(numbered), length / 0.17)
                style.ruler(axes, side, shown, [str(numbered[k]) for k in shown], title)
            if len(spec.classes) > 1:
                axes.set_title(sentence(class_in_words(spec, name)), fontsize=style.TEXT, pad=3)
        bar = (0.5, top + grid * row_pitch - 0.02, min(2.0, width), 0.09)
        of = value_unit(spec) if spec.is_value else "percentage points"
        scale = style.scale_bar(figure, bar, -most, most, f"B − A ({of})")
        scale.images[0].set_cmap(DIVERGING)
    rest = len(spec.classes) - len(classes)
    return captions.set_caption(
        figure,
        f"{sentence(readable(spec.name))}: difference of the shares, B minus A, by layer and head; "
        "white is none, red more in B, blue less.",
        "Marked + or −: q < 0.05.",
        "Hatched: too few arcs in A or B.",
        f"The {len(classes)} classes with the most heads that differ; {rest} more are in the table."
        if rest
        else "",
        captions.FROM_1,
    )


def _most_different(spec: PropertySpec, rows: pd.DataFrame) -> list[str]:
    """Classes with the most heads that differ, in the property's order."""
    if len(spec.classes) <= MOST_CLASSES:
        return list(spec.classes)
    sure = rows[rows["log_q"] < _LOG_ALPHA].groupby("class").size()
    size = rows.assign(size=rows["difference"].abs()).groupby("class")["size"].max()
    ranked = sorted(spec.classes, key=lambda c: (-sure.get(c, 0), -np.nan_to_num(size.get(c, 0))))
    return sorted(ranked[:MOST_CLASSES], key=spec.classes.index)


def _signs(
    axes: Axes,
    numbers: NDArray[np.float64],
    log_q: NDArray[np.float64],
    most: float,
    cell: float,
) -> None:
    """Plus and minus on the heads that differ."""
    size = min(0.45 * cell * 72, 5.0) ** 2
    for marker, sign in (("+", 1), ("_", -1)):
        layer, head = np.nonzero((log_q < _LOG_ALPHA) & (sign * numbers > 0))
        dark = np.abs(numbers[layer, head]) > 0.62 * most
        axes.scatter(
            head,
            layer,
            s=size,
            marker=marker,
            linewidths=0.8,
            c=np.where(dark, "white", style.INK),
        )
