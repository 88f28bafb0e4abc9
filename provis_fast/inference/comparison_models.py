"""Two models whose heads do not correspond: summaries over the heads of each, and differences.

The best of many heads is best in part by luck: its proportion is biased upward, the more the more
heads there are and the fewer the arcs. So counts of heads above the background and means over
heads, which nothing was selected for, stand beside it, and intervals of the best are those of a
head that was named beforehand.

A layer's place is its relative depth, (layer + 1/2) / n_layers with layers from 0, the middle of
the layer: a model whose layers are all alike has its centre of gravity at 1/2, however many.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from provis_fast.inference.comparison_contrasts import (
    Contributions,
    Estimate,
    from_contributions,
)
from provis_fast.inference.comparison_estimates import HeadEstimates

#: Summaries in the order of the table, and what they are for a reader. Heads have enough eligible
#: arcs, in two proteins or more; those above the background have q < 0.05.
SUMMARIES = {
    "heads": "heads with enough arcs",
    "heads_above": "heads above the background",
    "share_above": "share of heads above the background",
    "mean_proportion": "mean share",
    "mean_excess": "mean excess",
    "max_proportion": "largest share",
    "max_excess": "largest excess",
    "enrichment_quartile_1": "enrichment, first quartile",
    "enrichment_median": "enrichment, median",
    "enrichment_quartile_3": "enrichment, third quartile",
    "centre_of_gravity": "centre of gravity (depth)",
}
#: Those with a variance: smooth functions of the heads' estimates, the heads being given.
ESTIMATED = ("mean_proportion", "mean_excess", "max_proportion", "max_excess", "centre_of_gravity")
#: Means over heads, whose variance comes from replicates where single proteins are not known. Not
#: the largest: in a replicate it may be another head.
AVERAGED = ("mean_proportion", "centre_of_gravity")
#: Replicates from which a variance is taken.
ENOUGH_REPLICATES = 50


class ModelSummary(NamedTuple):
    """Summaries of one model for one class.

    Attributes
    ----------
    values : dict of str to float
        By the names of `SUMMARIES`.
    estimates : Estimate
        Of `ESTIMATED`, in its order, each [len(ESTIMATED)].
    heads : dict of str to tuple of int
        Layer and head, from 0, of the largest ones.
    replicates : dict of str to float64 [R]
        Of those that the bootstrap tells.
    bounded : bool
        Whether variances of means are upper bounds, as heads may vary together.
    """

    values: dict[str, float]
    estimates: Estimate
    heads: dict[str, tuple[int, int]]
    replicates: dict[str, NDArray[np.float64]]
    bounded: bool


def relative_depth(layers: tuple[int, ...], n_layers: int) -> NDArray[np.float64]:
    """Relative depth of layers (from 0), float64 [layers]: the middle of each."""
    return (np.asarray(layers, np.float64) + 0.5) / n_layers


def layer_profile(proportion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the heads of each layer that are defined, float64 [.., layers]; NaN without any.

    Parameters
    ----------
    proportion : float64 [.., layers, heads]
    """
    known = ~np.isnan(proportion)
    number = known.sum(axis=-1)
    total = np.where(known, proportion, 0.0).sum(axis=-1)
    return total / np.where(number > 0, number, np.nan)


def centre_of_gravity(
    profile: NDArray[np.float64], depth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """sum depth w / sum w with w the profile, [..]; layers without a profile are passed over.

    Tenney, Das, Pavlick, "BERT rediscovers the classical NLP pipeline", ACL 2019, as in the paper.
    NaN where weights are negative, as those of key values may be, or nothing.

    Parameters
    ----------
    profile : float64 [.., layers]
    depth : float64 [layers]
    """
    weight = np.nan_to_num(profile)
    total = weight.sum(axis=-1)
    usable = (total > 0) & (weight >= 0).all(axis=-1)
    return (weight * depth).sum(axis=-1) / np.where(usable, total, np.nan)


def summarise(
    found: HeadEstimates,
    class_index: int,
    layers: tuple[int, ...],
    n_layers: int,
    above: NDArray[np.bool_],
    is_value: bool,
) -> ModelSummary:
    """Summaries of one class.

    Parameters
    ----------
    found : HeadEstimates
        Arrays of all classes.
    class_index : int
    layers, n_layers
        Analysed layers, from 0, and the model's.
    above : bool [layers, heads]
        Heads significantly above the background.
    is_value : bool
        Enrichment is then a difference.
    """
    p, e = (
        np.where(x.units[..., class_index] == 1, np.nan, x.value[..., class_index])
        for x in (found.proportion, found.excess)
    )
    depth = relative_depth(layers, n_layers)
    known = ~np.isnan(p)
    number = int(known.sum())
    background = found.background[class_index]
    enrichment = p[known] - background if is_value else p[known] / (background or np.nan)
    values: dict[str, Any] = {"heads": number}
    if known.any():
        quartiles = np.quantile(enrichment, [0.25, 0.5, 0.75])
    else:
        quartiles = np.full(3, np.nan)
    for name, value in zip(
        ("enrichment_quartile_1", "enrichment_median", "enrichment_quartile_3"),
        quartiles,
        strict=True,
    ):
        values[name] = value
    tested = not np.isnan(found.excess.variance[..., class_index]).all()
    values["heads_above"] = int(above.sum()) if tested else np.nan
    values["share_above"] = values["heads_above"] / number if number else np.nan
    gradients, heads = _gradients(p, e, depth, values)
    estimate, bounded = _estimates(found, class_index, gradients, values)
    replicates = _of_replicates(found, class_index, known, depth)
    if bounded:
        for name in AVERAGED:
            if len(replicates.get(name, ())) >= ENOUGH_REPLICATES:
                at = ESTIMATED.index(name)
                estimate.variance[at] = resampled_variance(replicates[name], estimate.units[at])
    return ModelSummary(
        values,
        estimate,
        {name: (layers[layer], head) for name, (layer, head) in heads.items()},
        replicates,
        bounded,
    )


def resampled_variance(replicates: NDArray[np.float64], units: NDArray[np.int64]) -> Any:
    """Variance over replicates (the first axis), corrected by G / (G - 1) as robust ones are."""
    units = np.asarray(units, np.float64)
    spread = np.var(replicates, axis=0, ddof=1)
    return spread * np.where(units > 1, units / np.maximum(units - 1, 1), np.nan)


def _gradients(
    p: NDArray[np.float64],
    e: NDArray[np.float64],
    depth: NDArray[np.float64],
    values: dict[str, Any],
) -> tuple[NDArray[np.float64], dict[str, tuple[int, int]]]:
    """Puts the estimated summaries into `values`; their derivatives by p (or e) of each head.

    Returns
    -------
    gradients : float64 [summaries, layers, heads]
    heads : dict of str to tuple of int
        Row and head of the largest ones.
    """
    gradients = np.zeros((len(ESTIMATED), *p.shape))
    heads: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(ESTIMATED):
        of = e if name.endswith("excess") else p
        known = ~np.isnan(of)
        if not known.any():
            values[name] = np.nan
        elif name.startswith("mean"):
            values[name] = of[known].mean()
            gradients[number][known] = 1 / known.sum()
        elif name.startswith("max"):
            at = np.unravel_index(np.nanargmax(of), of.shape)
            heads[name] = (int(at[0]), int(at[1]))
            values[name] = of[at]
            gradients[number][at] = 1.0
        else:
            profile = layer_profile(of)
            values[name] = centre = float(centre_of_gravity(profile, depth))
            each = (depth - centre) / np.nansum(profile) / np.maximum(known.sum(axis=1), 1)
            gradients[number] = np.where(known, each[:, None], 0.0)
    return gradients, heads


def _estimates(
    found: HeadEstimates,
    class_index: int,
    gradients: NDArray[np.float64],
    values: dict[str, Any],
) -> tuple[Estimate, bool]:
    """The estimated summaries with their variances, by the delta method.

    From contributions of single units the variances are those of the weighted sums of them. From
    sums over units alone it is not known how heads vary together. However they do, the standard
    error of a weighted sum is at most the weighted sum of the standard errors.
    """
    value = np.array([values[name] for name in ESTIMATED], np.float64)
    known = found.proportion.contributions is not None
    moved, present, variance, units = [], [], [], []
    for gradient, name in zip(gradients, ESTIMATED, strict=True):
        of = found.excess if name.endswith("excess") else found.proportion
        used = gradient != 0
        if known:
            assert of.contributions is not None
            each = of.contributions.values[..., class_index]  # [G, layers, heads]
            moved.append((each * gradient).sum(axis=(1, 2)))
            present.append((of.contributions.present[..., class_index] & used).any(axis=(1, 2)))
            continue
        errors = np.sqrt(of.variance[..., class_index])
        variance.append(np.square(np.sum(np.abs(gradient[used]) * errors[used])))
        units.append(of.units[..., class_index][used].min() if used.any() else 0)
    if known:
        assert found.proportion.contributions is not None
        names = found.proportion.contributions.names
        parts = Contributions(names, np.stack(moved, axis=-1), np.stack(present, axis=-1))
        return from_contributions(value, parts), False
    return Estimate(value, np.array(variance), np.array(units, np.int64)), True


def _of_replicates(
    found: HeadEstimates,
    class_index: int,
    known: NDArray[np.bool_],
    depth: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    if found.replicates is None or not known.any():
        return {}
    p = np.where(known, found.replicates[..., class_index], np.nan)  # [R, layers, heads]
    filled = np.where(np.isnan(p), -np.inf, p).max(axis=(1, 2))
    return {
        "mean_proportion": np.nanmean(p.reshape(len(p), -1)[:, known.reshape(-1)], axis=1),
        "max_proportion": np.where(np.isfinite(filled), filled, np.nan),
        "centre_of_gravity": centre_of_gravity(layer_profile(p), depth),
    }
