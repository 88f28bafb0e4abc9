"""Properties by layer, with their centres of gravity (section 4 of the paper)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError, ResultError
from provis_fast.figures import captions, style
from provis_fast.figures.numbers import check, readable, sentence, shares, spell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from provis_fast.head_arrays import PropertySpec
    from provis_fast.statistics import HeadStatistics

#: Where properties are not named, those of more classes are left to figures of their own.
MOST_CLASSES = 8
_MOST_PANELS = 60
_COLUMNS = 4
_LEFT, _TOP, _BOTTOM, _RIGHT = 0.5, 0.52, 0.42, 0.12
_WIDTH, _HEIGHT = 1.42, 0.85  # inches of a panel
_PITCH, _ROW = 1.75, 1.3


@dataclass(frozen=True, eq=False)
class LayerProfile:
    """A class of a property by layer.

    Attributes
    ----------
    property, class_name : str
    statistic : {"arcs", "mass"}
    threshold : float or None
    layers : list of int
        0-based, ascending.
    percent : float64 [layers]
        Mean over the layer's heads of their shares in percent; NaN where no head has enough arcs.
    heads : int64 [layers]
        Heads that the mean is over.
    background : float
        In percent.
    centre : float
        Centre of gravity, sum(l p_l) / sum(p_l) over layers l counted from 1 (Tenney, Das and
        Pavlick, ACL 2019, for a share p_l by layer); NaN where there is nothing.
    """

    property: str
    class_name: str
    statistic: str
    threshold: float | None
    layers: list[int]
    percent: NDArray[np.float64]
    heads: NDArray[np.int64]
    background: float
    centre: float


def layer_profiles(
    result: HeadStatistics,
    properties: Iterable[str] | None = None,
    *,
    statistic: str | None = None,
    threshold: float | None = None,
) -> list[LayerProfile]:
    """Properties by layer, averaged over heads, in the order of their centres of gravity.

    Parameters
    ----------
    result : HeadStatistics
    properties : iterable of str, optional
        All classes of these. Default: every property of shares that is known and has at most
        `MOST_CLASSES` classes, without separations, and without a class "other" beside others.
    statistic : {"arcs", "mass"}, optional
        Default attention-weighted numbers where the result has them, else arcs.
    threshold : float, optional
        One of `result.thresholds`; default the first. Chooses arcs where statistic is left out.

    Raises
    ------
    ArgumentError
        A property, statistic or threshold that the result does not have; a key value, which has
        no share.
    ResultError
        No protein was analysed, or nothing is left to show.
    """
    check(result)
    named = properties is not None
    specs = _chosen(result, properties)
    if statistic is None and threshold is None:
        statistic = "arcs" if result.weighting == "arcs" else "mass"
    found = []
    for spec in specs:
        numbers = shares(result, spec.name, statistic=statistic, threshold=threshold)
        for index, class_name in enumerate(spec.classes):
            if not named and class_name == "other" and len(spec.classes) > 1:
                continue
            percent, heads = mean_over_heads(numbers.shown[..., index])
            where = (spec.name, class_name, numbers.statistic, numbers.threshold, numbers.layers)
            background = float(numbers.background[index])
            centre = centre_of_gravity(numbers.layers, percent)
            found.append(LayerProfile(*where, percent, heads, background, centre))
    found = [profile for profile in found if np.isfinite(profile.centre)]
    if not found:
        raise ResultError(
            "by layer: no property of shares has a layer with enough arcs; analyse more proteins, "
            "or for contact, binding_site, secondary_structure"
        )
    return sorted(found, key=lambda profile: profile.centre)


def mean_over_heads(
    shown: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Means of the rows' finite numbers, NaN where there are none, and how many there are."""
    finite = np.isfinite(shown)
    n = finite.sum(axis=1)
    total = np.where(finite, shown, 0.0).sum(axis=1)
    return total / np.where(n, n, np.nan), n


def centre_of_gravity(layers: list[int], percent: NDArray[np.float64]) -> float:
    """sum(l p_l) / sum(p_l) over the finite p, l counted from 1; NaN where they sum to 0."""
    finite = np.isfinite(percent)
    numbers, weights = np.asarray(layers)[finite] + 1.0, percent[finite]
    total = weights.sum()
    return float((numbers * weights).sum() / total) if total > 0 else float("nan")


def layers(
    result: HeadStatistics,
    properties: Iterable[str] | None = None,
    *,
    statistic: str | None = None,
    threshold: float | None = None,
) -> Figure:
    """One panel per property (or class): the share by layer, averaged over heads.

    As the paper's figure of targets by layer: panels are in the order of their centres of gravity,
    which are drawn dashed and printed. Parameters and errors as for `layer_profiles`; more than 60
    panels are refused (ArgumentError).
    """
    profiles = layer_profiles(result, properties, statistic=statistic, threshold=threshold)
    if len(profiles) > _MOST_PANELS:
        raise ArgumentError(
            f"properties: expected at most {_MOST_PANELS} classes altogether, got {len(profiles)}; "
            "name fewer properties"
        )
    columns = min(_COLUMNS, len(profiles))
    rows = -(-len(profiles) // columns)
    first = profiles[0]
    weight = "arcs" if first.statistic == "arcs" else "attention"
    with style.styled():
        width = max(_LEFT + (columns - 1) * _PITCH + _WIDTH + _RIGHT, 3.4)
        figure = style.new_figure(width, _TOP + (rows - 1) * _ROW + _HEIGHT + _BOTTOM)
        style.write(figure, 0.08, 0.07, "Properties by layer", fontsize=style.TITLE)
        for number, profile in enumerate(profiles):
            row, column = divmod(number, columns)
            axes = style.place(figure, _LEFT + column * _PITCH, _TOP + row * _ROW, _WIDTH, _HEIGHT)
            titles = (
                "layer" if number + columns >= len(profiles) else "",
                f"% of {weight}" if not column else "",
            )
            _panel(axes, profile, _title(result, profile), *titles)
    what = f"arcs (attention ≥ {first.threshold:g})" if first.threshold else "attention"
    told = ", ".join(
        f"{readable(profile.class_name)} {profile.centre:.2f}" for profile in profiles[:12]
    ) + (", ..." if len(profiles) > 12 else "")
    restricted = len(result.layers) < result.n_layers
    enough = f"{max(result.min_arcs, 1)} eligible arcs"
    if first.statistic == "mass":
        enough = "attention where the property is known"
    gaps = any((profile.heads == 0).any() for profile in profiles)
    return captions.set_caption(
        figure,
        f"Share of a head's {what} that falls on each property, in percent, averaged over the "
        "heads of a layer" + (" with enough arcs." if first.statistic == "arcs" else "."),
        "Panels are in the order of their centre of gravity, sum(l p) / sum(p) over layers l with "
        "share p (dashed, number at the upper right); each has a scale of its own.",
        f"Centres: {told}.",
        "Dotted: background.",
        f"Gaps: layers without a head of {enough}." if gaps else "",
        f"Only layers {_listed(result.layers)} of {result.n_layers} were analysed, and the centre "
        "is theirs."
        if restricted
        else "",
        "Layers are counted from 1.",
        captions.source(result, first.statistic, first.threshold),
    )


def _chosen(result: HeadStatistics, properties: Iterable[str] | None) -> list[PropertySpec]:
    if properties is None:
        unknown = result.unknown_properties
        return [
            spec
            for spec in result.properties
            if spec.name not in unknown
            and not spec.is_value
            and spec.kind != "separation"
            and len(spec.classes) <= MOST_CLASSES
        ]
    names = (properties,) if isinstance(properties, str) else tuple(properties)
    specs = [result.properties[result.index(name)] for name in names]
    for spec in specs:
        if spec.is_value:
            raise ArgumentError(
                f"properties: expected properties with a share, got the key value {spec.name!r}, "
                "whose mean has no centre of gravity; draw its heat_map"
            )
    return specs


def _title(result: HeadStatistics, profile: LayerProfile) -> str:
    """The class, with its property where the class alone does not tell."""
    name = sentence(spell(readable(profile.class_name)))
    spec = result.properties[result.index(profile.property)]
    if spec.kind == "query_class":
        return f"From {name.lower() if len(name) > 1 else name}"
    same = sum(profile.class_name in other.classes for other in result.properties)
    if same > 1 and profile.class_name != profile.property:
        return f"{readable(profile.property)}: {name.lower()}"
    return name


def _panel(axes: Axes, profile: LayerProfile, title: str, below: str, beside: str) -> None:
    numbers = np.asarray(profile.layers) + 1
    finite = np.isfinite(profile.percent)
    style.bars(axes, numbers[finite], 0.0, profile.percent[finite], upright=True)
    axes.axvline(profile.centre, color=style.VERMILION, linewidth=1.1, linestyle=(0, (3, 2)))
    if np.isfinite(profile.background):
        axes.axhline(profile.background, color=style.INK, linewidth=0.8, linestyle=(0, (1, 1.5)))
    high = max(np.nanmax(profile.percent), np.nan_to_num(profile.background)) * 1.08 or 1.0
    axes.set_ylim(0, high)
    style.ruler(axes, "left", style.round_ticks(0, high, most=3), title=beside)
    axes.set_xlim(numbers[0] - 0.6, numbers[-1] + 0.6)
    shown = style.thinned(list(numbers), 7)
    style.ruler(axes, "bottom", numbers[shown], [str(numbers[k]) for k in shown], below)
    limit = 24
    short = title if len(title) <= limit else f"{title[: limit - 1]}…"
    axes.text(0, 1.03, short, transform=axes.transAxes, va="bottom")
    axes.text(
        1, 1.03, f"{profile.centre:.2f}", transform=axes.transAxes, ha="right", va="bottom",
        fontsize=style.SMALL, color=style.VERMILION,
    )  # fmt: skip
    style.open_frame(axes, "left", "bottom")


def _listed(layers: tuple[int, ...]) -> str:
    return ", ".join(str(layer + 1) for layer in sorted(layers))
