"""Figures of a comparison whose heads do not correspond: profiles over relative depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast.figures import captions, style
from provis_fast.figures.numbers import readable, sentence
from provis_fast.head_arrays import PropertySpec
from provis_fast.inference.comparison_ground import Part
from provis_fast.inference.comparison_models import (
    centre_of_gravity,
    layer_profile,
    relative_depth,
)
from provis_fast.reporting.comparison_figures import MOST_CLASSES, class_in_words, plain, unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from provis_fast.statistics import HeadStatistics


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
    order = np.argsort(result.layers)
    return ModelHeads(
        label,
        tuple(np.asarray(result.layers)[order].tolist()),
        result.n_layers,
        proportion[order],
        result.background[spec.name],
    )


def classes_with_most_excess(spec: PropertySpec, rows: pd.DataFrame) -> list[str]:
    """Classes in which a head of either model stands out most, in the property's order."""
    largest = rows[rows["summary"] == "max_excess"].set_index("class")[["a", "b"]].max(axis=1)
    ranked = sorted(spec.classes, key=lambda name: -np.nan_to_num(largest.get(name, 0.0)))
    return sorted(ranked[:MOST_CLASSES], key=spec.classes.index)


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
            ticks = _depth_panel(axes, sides, index, scale)
            style.ruler(axes, "left", ticks, title=unit(spec, statistic))
            if len(spec.classes) > 1:
                axes.set_title(sentence(class_in_words(spec, name)), fontsize=style.TEXT, pad=3)
            last = number == len(classes) - 1
            style.ruler(
                axes,
                "bottom",
                [0, 0.25, 0.5, 0.75, 1],
                ["0", "¼", "½", "¾", "1"],
                "relative depth (0 input, 1 output)" if last else "",
            )
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


def _depth_panel(axes: Axes, sides: Sequence[ModelHeads], index: int, scale: float) -> list[float]:
    """Draws the panel; returns where ticks belong."""
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
            label=f"{which}, {plain(side.label, 28)}",
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
    room = 0.08 * (high - low)
    axes.set_ylim(low - room, high + room)
    style.open_frame(axes, "left", "bottom")
    return style.round_ticks(low, high, most=4)


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
    style.ruler(axes, "bottom", [0, 1], ["A", "B"])
    style.open_frame(axes, "left", "bottom")
    if not every:
        return
    least, most = (float(f([f(e) for e in every])) for f in (min, max))
    if is_value:
        ticks = style.round_ticks(least, most, most=4)
        style.ruler(axes, "left", ticks, title="difference from background")
        return
    axes.set_yscale("log", base=2)
    axes.yaxis.set_visible(False)
    low, high = np.floor(np.log2(least)), np.ceil(np.log2(most))
    axes.set_ylim(2.0 ** (low - 0.2), 2.0 ** (high + 0.2))
    ticks = np.arange(low, high + 1, max(1, (high - low) // 5))
    style.ruler(axes, "left", 2.0**ticks, [_power(t) for t in ticks], "enrichment")


def _power(exponent: float) -> str:
    """A power of two: 8, 1/4; the least stands for all below it."""
    text = f"{2**exponent:.0f}" if exponent >= 0 else f"1/{2**-exponent:.0f}"
    return f"≤ {text}" if exponent <= -6 else text
