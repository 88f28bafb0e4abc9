"""Our numbers beside the published ones, head by head, and what sampling allows them to differ.

Both are shares of arcs pooled over proteins that were drawn without replacement, and proteins, not
arcs, are the units drawn. With y_g arcs on the property out of n_g eligible arcs of protein g, a
head's share is the ratio (equation 1 of the paper)

    p = sum y_g / sum n_g,

whose variance over draws of k proteins is, by the usual linearisation,

    V = G / (G - 1) * sum (y_g - p n_g)**2 / (sum n_g)**2
      = G / (G - 1) * (sum y**2 - 2 p sum n y + p**2 sum n**2) / (sum n)**2

with G the proteins that have eligible arcs; all these sums are stored with every result. Nothing of
the kind was published, so the paper's draw is taken to vary as ours does: its variance is V k / K
with K = 5000 proteins. Where both drew from the same file of M proteins, each is less by the share
that it drew. A difference is expected to lie, nineteen times in twenty, within

    error = 2 sqrt(V ((1 - k / M) + k / K (1 - K / M))) + reading

where reading is what the published figure cannot tell (see `PublishedProperty`). M is infinite
where our file is not the paper's. The paper's ten best heads are published because they were the
best of its draw, so that on another draw they tend to be a little lower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError
from provis_fast.reproduction.published_heads import (
    PUBLISHED_PROTEINS,
    PublishedModel,
    PublishedProperty,
)
from provis_fast.similarity import correlation
from provis_fast.statistics import HeadStatistics

_BEST = 10


@dataclass(frozen=True)
class HeadRow:
    """One head of a comparison; shares, not percent.

    Attributes
    ----------
    layer, head : int
        0-based.
    rank, published_rank : int or None
        Among our ten best heads and the published ten, from 1.
    proportion, published : float
        NaN where undefined or not published.
    difference : float
        proportion - published.
    error : float
        Largest difference that sampling explains; NaN where it cannot be told.
    within : bool or None
        Whether the difference lies within the error; None where it cannot be told.
    arcs : int
        Eligible arcs behind our share.
    """

    layer: int
    head: int
    rank: int | None
    published_rank: int | None
    proportion: float
    published: float
    difference: float
    error: float
    within: bool | None
    arcs: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """One class of a property.

    Attributes
    ----------
    property, class_name : str
    background, published_background : float
        NaN where unknown or not published.
    rows : tuple of HeadRow
        Our ten best heads, then those of the published ten that are not among them, each in the
        order of its rank.
    correlation : float
        Pearson correlation of our and the published share over the heads that have both; NaN where
        nothing is published, there are fewer than three such heads, or all are alike.
    n_heads : int
        Heads that have both.
    n_told, n_within : int
        Of those, the heads whose error can be told, and that differ by no more.
    """

    property: str
    class_name: str
    background: float
    published_background: float
    rows: tuple[HeadRow, ...]
    correlation: float
    n_heads: int
    n_told: int
    n_within: int


def compare(
    result: HeadStatistics,
    property_name: str,
    class_name: str,
    published: PublishedProperty | None = None,
    n_population: int | None = None,
) -> Comparison:
    """Compare one class of a property with what was published.

    Parameters
    ----------
    result : HeadStatistics
        Of all layers, with one threshold.
    property_name, class_name : str
    published : PublishedProperty, optional
        Of a model of the same shape; see `check_shape`.
    n_population : int, optional
        Proteins M that both were drawn from; None where they are not the same.

    Returns
    -------
    Comparison
    """
    index = result.properties[result.index(property_name)].classes.index(class_name)
    proportion = result.proportion[property_name][..., index]  # [layers, heads]
    eligible = result.eligible[property_name]
    best = best_heads(proportion, eligible, result.min_arcs)
    if published is None:
        nothing = np.full(proportion.shape, np.nan)
        published = PublishedProperty(nothing, nothing, (), np.nan)
    variance = _variance(result, property_name, index, proportion)
    scale = _variance_scale(result.analysed, n_population)
    error = 2 * np.sqrt(variance * scale) + published.reading
    difference = proportion - published.proportion

    def row(layer: int, head: int) -> HeadRow:
        place = layer, head
        told = np.isfinite(difference[place]) and np.isfinite(error[place])
        return HeadRow(
            layer,
            head,
            best.index(place) + 1 if place in best else None,
            published.top_heads.index(place) + 1 if place in published.top_heads else None,
            float(proportion[place]),
            float(published.proportion[place]),
            float(difference[place]),
            float(error[place]),
            bool(abs(difference[place]) <= error[place]) if told else None,
            int(eligible[place]),
        )

    others = [place for place in published.top_heads if place not in best]
    both = np.isfinite(difference)
    told = both & np.isfinite(error)
    return Comparison(
        property_name,
        class_name,
        float(result.background[property_name][index]),
        float(published.background),
        tuple(row(*place) for place in [*best, *others]),
        correlation(proportion[both], published.proportion[both]),
        int(both.sum()),
        int(told.sum()),
        int((np.abs(difference[told]) <= error[told]).sum()),
    )


def best_heads(
    proportion: NDArray[np.float64], eligible: NDArray[np.int64], min_arcs: int, k: int = _BEST
) -> list[tuple[int, int]]:
    """The `k` heads with the largest share and more than `min_arcs` eligible arcs, best first.

    Of equals, the later layer and head comes first, as in the original.
    """
    layers, heads = np.nonzero(np.isfinite(proportion) & (eligible > min_arcs))
    ranked = sorted(
        zip(proportion[layers, heads].tolist(), layers.tolist(), heads.tolist(), strict=True),
        reverse=True,
    )
    return [(layer, head) for _, layer, head in ranked[:k]]


def check_shape(result_layers: int, result_heads: int, published: PublishedModel) -> None:
    """Refuse to compare models of different shapes.

    Raises
    ------
    ArgumentError
        With both shapes.
    """
    ours, theirs = (result_layers, result_heads), (published.n_layers, published.n_heads)
    if ours != theirs:
        raise ArgumentError(
            f"model_name: {published.name} ({published.title}) has {theirs[0]} layers x "
            f"{theirs[1]} heads, but this model has {ours[0]} x {ours[1]}; heads of one are none "
            "of the other's: name the model that this one is, or leave the comparison out"
        )


def _variance(
    result: HeadStatistics, property_name: str, index: int, proportion: NDArray[np.float64]
) -> NDArray[np.float64]:
    """V of the module's text, float64 [layers, heads]; NaN with fewer than two proteins."""
    moments = result.moments[property_name]
    yy, ny = moments.yy[..., index], moments.ny[..., index]
    squares = np.maximum(yy - 2 * proportion * ny + proportion**2 * moments.nn, 0.0)
    groups = np.where(moments.proteins >= 2, moments.proteins, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        eligible = result.eligible[property_name].astype(np.float64)
        return groups / (groups - 1) * squares / eligible**2


def _variance_scale(k: int, n_population: int | None) -> float:
    """What V is multiplied by for the difference of our draw of k proteins and the paper's."""
    if n_population is None:
        return 1 + k / PUBLISHED_PROTEINS
    drawn = min(PUBLISHED_PROTEINS, n_population)
    return max(1 - k / n_population, 0.0) + k / drawn * (1 - drawn / n_population)
