"""Figures of a comparison: scatter and difference map where heads correspond, else profiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast.figures import captions, style
from provis_fast.figures.numbers import readable, sentence, spell, value_unit
from provis_fast.head_arrays import PropertySpec
from provis_fast.inference.comparison_ground import Part
from provis_fast.inference.comparison_models import (
    centre_of_gravity,
    layer_profile,
    relative_depth,
)
from provis_fast.reporting import wording

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from provis_fast.statistics import HeadStatistics

#: Blue to red over white, told apart by colour-blind readers; signs mark what a grey print loses.
DIVERGING = "RdBu_r"
_LOG_ALPHA = np.log(0.05)
_NAMED = 5
_MOST_CLASSES = 4
_MOST_SIGNS = 700


class ModelHeads(NamedTuple):
    """Proportions of one model's heads, for figures without correspondence.

    Attributes
    ----------
    label : str
    layers : tuple of int
        From 0.
    n_layers : int
    proportion : float64 [layers, heads, classes]
    background : float64 [classes]
    """

    label: str
    layers: tuple[int, ...]
    n_layers: int
    proportion: NDArray[np.float64]
    background: NDArray[np.float64]


def model_heads(
    result: HeadStatistics, spec: PropertySpec, part: Part, min_arcs: int, label: str
) -> ModelHeads:
    """Proportions of a model's heads under one statistic and threshold."""
    result = replace(result, min_arcs=min_arcs)
    if part.statistic == "mass":
        proportion = result.mass_proportion[spec.name]
    else:
        at = () if result.scalar_threshold else result.thresholds.index(part.threshold)
        proportion = result.proportion[spec.name][at]
    return ModelHeads(
        label, result.layers, result.n_layers, proportion, result.background[spec.name]
    )


def classes_with_most_excess(spec: PropertySpec, rows: pd.DataFrame) -> list[str]:
    """Classes in which a head of either model stands out most, in the property's order."""
    largest = rows[rows["summary"] == "max_excess"].set_index("class")[["a", "b"]].max(axis=1)
    ranked = sorted(spec.classes, key=lambda name: -np.nan_to_num(largest.get(name, 0.0)))
    return sorted(ranked[:_MOST_CLASSES], key=spec.classes.index)


def _name(spec: PropertySpec, class_name: str) -> str:
    text = readable(spec.name) if class_name in (spec.name, "value") else spell(class_name)
    return text.replace("$", r"\$")


def _unit(spec: PropertySpec, statistic: str) -> str:
    if spec.is_value:
        return value_unit(spec)
    return "% of arcs" if statistic == "arcs" else "% of attention"


def _plain(text: str, limit: int = 40) -> str:
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
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
        unit = _unit(spec, statistic)
        axes.set_xlabel(f"A, {_plain(labels[0])} ({unit})")
        axes.set_ylabel(f"B, {_plain(labels[1])} ({unit})")
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
            text += f" {_plain(spell(str(row['class'])), 14)}"
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
    layers = np.unique(rows["layer"].to_numpy())
    heads = np.unique(rows["head"].to_numpy())
    shape = (len(layers), len(heads))
    scale = 1.0 if spec.is_value else 100.0
    columns = min(len(classes), 2)
    cell = min(0.2, (3.6 if columns == 1 else 3.0) / len(heads), 2.6 / len(layers))
    width, height = max(cell * len(heads), 1.2), max(cell * len(layers), 0.5)
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
            for numbered, axis in ((heads + 1, axes.xaxis), (layers + 1, axes.yaxis)):
                room = (width if axis is axes.xaxis else height) / 0.17
                shown = style.thinned(list(numbered), room)
                axis.set_ticks(shown, [str(numbered[k]) for k in shown])
            if len(spec.classes) > 1:
                axes.set_title(sentence(_name(spec, name)), fontsize=style.TEXT, pad=3)
            if not at[1]:
                axes.set_ylabel("layer")
            if number + columns >= len(classes):
                axes.set_xlabel("head")
        bar = (0.5, top + grid * row_pitch - 0.02, min(2.0, width), 0.09)
        unit = value_unit(spec) if spec.is_value else "percentage points"
        style.scale_bar(figure, bar, -most, most, f"B − A ({unit})", DIVERGING)
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
    if len(spec.classes) <= _MOST_CLASSES:
        return list(spec.classes)
    sure = rows[rows["log_q"] < _LOG_ALPHA].groupby("class").size()
    size = rows.assign(size=rows["difference"].abs()).groupby("class")["size"].max()
    ranked = sorted(spec.classes, key=lambda c: (-sure.get(c, 0), -np.nan_to_num(size.get(c, 0))))
    return sorted(ranked[:_MOST_CLASSES], key=spec.classes.index)


def _signs(
    axes: Axes,
    numbers: NDArray[np.float64],
    log_q: NDArray[np.float64],
    most: float,
    cell: float,
) -> None:
    if numbers.size > _MOST_SIGNS:
        return
    for layer, head in np.argwhere(log_q < _LOG_ALPHA):
        value = numbers[layer, head]
        axes.text(
            head,
            layer,
            "+" if value > 0 else "−",
            ha="center",
            va="center_baseline",
            fontsize=min(style.TEXT, 55 * cell),
            color="white" if abs(value) > 0.62 * most else style.INK,
        )


def profiles(
    spec: PropertySpec,
    sides: tuple[ModelHeads, ModelHeads],
    classes: Sequence[str],
    statistic: str = "arcs",
) -> Figure:
    """Two models over relative depth, and the distributions of their heads' enrichment.

    Parameters
    ----------
    spec : PropertySpec
    sides : tuple of ModelHeads
    classes : sequence of str
        Those to be shown.
    statistic : {"arcs", "mass"}
    """
    left, wide, gap, narrow = 0.62, 2.7, 0.95, 1.5
    top, height, pitch = 0.72, 1.35, 1.85
    scale = 1.0 if spec.is_value else 100.0
    with style.styled():
        figure = style.new_figure(left + wide + gap + narrow + 0.15, top + pitch * len(classes))
        title = f"{sentence(readable(spec.name))}: A and B over relative depth"
        style.write(figure, 0.08, 0.07, title.replace("$", r"\$"), fontsize=style.TITLE)
        for number, name in enumerate(classes):
            index = spec.classes.index(name)
            y = top + number * pitch
            axes = style.place(figure, left, y, wide, height)
            _depth_panel(axes, [side for side in sides], index, scale, spec.is_value)
            axes.set_ylabel(_unit(spec, statistic))
            if len(spec.classes) > 1:
                axes.set_title(sentence(_name(spec, name)), fontsize=style.TEXT, pad=3)
            if number == len(classes) - 1:
                axes.set_xlabel("relative depth (0 input, 1 output)")
            if number == 0:
                axes.legend(
                    loc="lower left",
                    bbox_to_anchor=(-0.02, 1.1),
                    ncols=2,
                    borderpad=0,
                    columnspacing=1.2,
                )
            strip = style.place(figure, left + wide + gap, y, narrow, height)
            _enrichment_panel(strip, sides, index, spec.is_value)
    return captions.set_caption(
        figure,
        f"{sentence(readable(spec.name))}. Left: mean over the heads of a layer (line), and single "
        "heads (points), against the layer's relative depth, its middle divided by the number of "
        "layers. Triangles at the bottom: centres of gravity of the means. Dotted: backgrounds.",
        "Right: enrichment of every head "
        + ("(difference from the background)" if spec.is_value else "(share / background)")
        + ", with quartiles; the line is no enrichment.",
        f"The {len(classes)} of {len(spec.classes)} classes with the most excess of a head."
        if len(classes) < len(spec.classes)
        else "",
    )


def _depth_panel(
    axes: Axes, sides: Sequence[ModelHeads], index: int, scale: float, is_value: bool
) -> None:
    lows, highs = [0.0], [0.0]
    for side, which, (colour, marker, dashes) in zip(sides, "AB", style.LINES, strict=False):
        p = scale * side.proportion[..., index]
        depth = relative_depth(side.layers, side.n_layers)
        at = np.broadcast_to(depth[:, None], p.shape)
        axes.scatter(at, p, s=5, marker=marker, color=colour, alpha=0.35, linewidths=0)
        profile = layer_profile(p)
        axes.plot(
            depth,
            profile,
            color=colour,
            marker=marker,
            markersize=3.5,
            linestyle=dashes,
            label=f"{which}, {_plain(side.label, 28)}",
        )
        background = scale * side.background[index]
        axes.axhline(background, color=colour, linewidth=0.8, linestyle=(0, (1, 1.5)))
        lows.append(float(np.nanmin(p, initial=np.inf)))
        highs.append(float(np.nanmax(p, initial=-np.inf)))
        highs.append(background)
        centre = float(centre_of_gravity(profile, depth))
        if np.isfinite(centre):
            axes.plot(
                centre, 0.04, marker="^", markersize=6, color=colour, clip_on=False,
                transform=axes.get_xaxis_transform(), markeredgecolor="white", markeredgewidth=0.5,
            )  # fmt: skip
    finite = [v for v in lows if np.isfinite(v)], [v for v in highs if np.isfinite(v)]
    low, high = min(finite[0]), max(finite[1]) or 1.0
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    room = 0.08 * (high - low)
    axes.set_ylim(low - room, high + room)
    axes.set_yticks(style.round_ticks(low, high, most=4))
    style.open_frame(axes, "left", "bottom")


def _enrichment_panel(axes: Axes, sides: Sequence[ModelHeads], index: int, is_value: bool) -> None:
    """Heads beside each other, without chance: spread by their rank among neighbours."""
    every = []
    for number, (side, (colour, marker, _)) in enumerate(zip(sides, style.LINES, strict=False)):
        p = side.proportion[..., index]
        p, background = p[np.isfinite(p)], side.background[index]
        if not len(p) or not np.isfinite(background) or (background <= 0 and not is_value):
            continue
        enrichment = p - background if is_value else p / background
        if not is_value:
            enrichment = np.maximum(enrichment, 2.0**-6)
        every.append(enrichment)
        order = np.argsort(np.argsort(enrichment))
        spread = ((order * 0.61803398875) % 1 - 0.5) * 0.5
        axes.scatter(
            number + spread, enrichment, s=5, marker=marker, color=colour, alpha=0.5, linewidths=0
        )
        quartiles = np.quantile(enrichment, [0.25, 0.5, 0.75])
        axes.plot([number, number], quartiles[[0, 2]], color=style.INK, linewidth=2.0)
        axes.plot(number, quartiles[1], marker="_", markersize=16, color=style.INK)
    axes.axhline(0.0 if is_value else 1.0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set_xlim(-0.6, 1.6)
    axes.set_xticks([0, 1], ["A", "B"])
    axes.set_ylabel("enrichment" if not is_value else "difference from background")
    style.open_frame(axes, "left", "bottom")
    if is_value or not every:
        from matplotlib.ticker import AutoLocator

        axes.yaxis.set_major_locator(AutoLocator())
        return
    axes.set_yscale("log", base=2)
    low = np.floor(np.log2(min(float(e.min()) for e in every)))
    high = np.ceil(np.log2(max(float(e.max()) for e in every)))
    ticks = np.arange(low, high + 1, max(1, (high - low) // 5))
    axes.set_ylim(2.0 ** (low - 0.2), 2.0 ** (high + 0.2))
    axes.set_yticks(2.0**ticks, [_power(t) for t in ticks])
    axes.minorticks_off()


def _power(exponent: float) -> str:
    """A power of two: 8, 1/4; the least stands for all below it."""
    text = f"{2**exponent:.0f}" if exponent >= 0 else f"1/{2**-exponent:.0f}"
    return f"≤ {text}" if exponent <= -6 else text
