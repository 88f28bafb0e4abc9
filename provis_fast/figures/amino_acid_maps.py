"""Figures of amino acids: a map of heads for each, and how alike they are to the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError, ResultError
from provis_fast.figures import captions, style
from provis_fast.figures.head_maps import label_heads, label_layers
from provis_fast.figures.numbers import NAMES, chosen_statistic, shares
from provis_fast.proteins.record import AMINO_ACIDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from provis_fast.statistics import HeadStatistics

SCALES = ("panel", "shared")
_COLUMNS = 5
_LEFT, _TOP, _RIGHT = 0.5, 0.5, 0.12
_PANEL, _GAP, _TITLE = 1.26, 0.14, 0.26  # inches


def amino_acids(
    result: HeadStatistics,
    property_name: str = "amino_acid",
    *,
    scale: str = "panel",
    statistic: str | None = None,
    threshold: float | None = None,
) -> Figure:
    """A map of all heads for each of the twenty amino acids, as in the paper's appendix.

    Parameters
    ----------
    result, statistic, threshold
        As for `heat_map`.
    property_name : str
        With a class for each amino acid.
    scale : {"panel", "shared"}
        Colours from 0 to the maximum of each panel, which is printed above it, or of all.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError, ResultError
        As for `heat_map`.
    """
    if scale not in SCALES:
        raise ArgumentError(f"scale: expected one of {SCALES}, got {scale!r}")
    numbers = shares(result, property_name, statistic=statistic, threshold=threshold)
    classes = numbers.spec.classes
    if set(AMINO_ACIDS) - set(classes):
        raise ArgumentError(
            f"property_name: expected one with a class for each amino acid, got {property_name!r} "
            f"with {', '.join(classes[:24])}"
        )
    shown = np.moveaxis(numbers.shown[..., [classes.index(x) for x in AMINO_ACIDS]], -1, 0)
    whole = _maximum(shown)
    n_layers, n_heads = shown.shape[1:]
    width = _PANEL
    height = min(max(width * n_layers / n_heads, 0.45), 1.9)
    rows = -(-len(AMINO_ACIDS) // _COLUMNS)
    direction = "from" if numbers.spec.kind == "query_class" else "to"
    with style.styled():
        below = _TOP + rows * (height + _TITLE) + 0.36
        figure = style.new_figure(_LEFT + _COLUMNS * (width + _GAP) - _GAP + _RIGHT, below + 0.48)
        style.write(
            figure, 0.08, 0.07, f"Attention {direction} each amino acid", fontsize=style.TITLE
        )
        for number, letter in enumerate(AMINO_ACIDS):
            row, column = divmod(number, _COLUMNS)
            axes = style.place(
                figure,
                _LEFT + column * (width + _GAP),
                _TOP + _TITLE / 2 + row * (height + _TITLE),
                width,
                height,
            )
            most = _maximum(shown[number])
            high = (whole if scale == "shared" else most) or 1.0
            style.hatch(axes)
            axes.imshow(
                np.ma.masked_invalid(shown[number]),
                aspect="auto",
                interpolation="nearest",
                cmap=style.COLOUR_MAP,
                vmin=0.0,
                vmax=high,
            )
            _label(axes, f"{letter}  {NAMES[letter]}", "–" if most is None else f"{most:.0f}%")
            if not column:
                label_layers(axes, numbers.layers, height)
            if row == rows - 1:
                label_heads(axes, n_heads, width)
        unit = numbers.axis(f"attention {direction} the amino acid")
        box = (_LEFT, below, 3.2, 0.1)
        if scale == "shared":
            style.scale_bar(figure, box, 0.0, whole or 1.0, unit)
        else:
            style.scale_bar(figure, box, 0.0, 1.0, unit, [0, 1], ["0", "maximum of the panel"])
    scaled = (
        "Each panel has a colour scale of its own, from 0 to its maximum, printed above it."
        if scale == "panel"
        else "All panels have one colour scale; their maxima are printed above them."
    )
    return captions.set_caption(
        figure,
        f"Attention {direction} each amino acid: {captions.basis(numbers)}. {scaled}",
        captions.left_out(result, shown[0], numbers.statistic),
        captions.FROM_1,
        captions.source(result, numbers.statistic, numbers.threshold),
    )


def similarity(
    result: HeadStatistics,
    property_name: str = "amino_acid",
    *,
    statistic: str | None = None,
    threshold: float | None = None,
) -> Figure:
    """How alike heads treat two amino acids, beside BLOSUM62, with their correlation.

    See `provis_fast.similarity.amino_acid_similarity` for the formula. Both matrices have one
    order, in which amino acids that BLOSUM62 holds alike are neighbours: average linkage on its
    scores, leaves ordered so that neighbours are as alike as can be.

    Parameters and errors as for `amino_acids`; ResultError also where no pair has a similarity.
    """
    from provis_fast.similarity import amino_acid_similarity

    statistic, threshold, _ = chosen_statistic(result, statistic, threshold)
    shares(result, property_name, statistic=statistic, threshold=threshold)  # known at all?
    found = amino_acid_similarity(
        result, property_name=property_name, statistic=statistic, threshold=threshold
    )
    if not found.n_pairs:
        raise ResultError(
            f"{property_name}: the similarity of no two amino acids is defined; it takes three "
            f"heads with at least {max(result.min_arcs, 1)} arcs"
        )
    order = _blosum_order(found.blosum62)
    letters = [AMINO_ACIDS[k] for k in order]
    side, top, gap = 2.6, 0.52, 0.75
    panels = (
        (found.similarity, "Similarity of attention", "Pearson correlation over heads"),
        (found.blosum62, "BLOSUM62", "substitution score, half bits"),
    )
    with style.styled():
        figure = style.new_figure(0.42 + 2 * side + gap + 0.15, top + side + 0.95)
        style.write(
            figure, 0.08, 0.07, "Amino acids: attention and evolution", fontsize=style.TITLE
        )
        for number, (matrix, title, label) in enumerate(panels):
            left = 0.42 + number * (side + gap)
            axes = style.place(figure, left, top, side, side)
            low, high = float(np.nanmin(matrix)), float(np.nanmax(matrix))
            style.hatch(axes)
            axes.imshow(
                np.ma.masked_invalid(matrix[np.ix_(order, order)]),
                aspect="auto",
                interpolation="nearest",
                cmap=style.COLOUR_MAP,
                vmin=low,
                vmax=high,
            )
            for edge in ("left", "bottom"):
                style.ruler(axes, edge, range(len(letters)), letters, marks=False)
            axes.text(0, 1.02, title, transform=axes.transAxes, va="bottom")
            style.scale_bar(
                figure, (left, top + side + 0.32, side, 0.1), low, high if high > low else low + 1,
                label,
            )  # fmt: skip
    r = "undefined" if np.isnan(found.correlation) else f"{found.correlation:.2f}"
    what = "arcs" if statistic == "arcs" else "attention"
    return captions.set_caption(
        figure,
        "Left: how alike heads treat two amino acids: Pearson correlation, over the "
        f"{captions.counted(found.n_heads, 'head')} with enough {what}, of the shares of {what} on "
        "the one and on the other. Right: BLOSUM62.",
        f"Pearson r of both = {r} over {found.n_pairs} of 190 pairs (hatched: left out).",
        captions.source(result, statistic, threshold),
    )


def _blosum_order(blosum62: NDArray[np.float64]) -> NDArray[np.int64]:
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = np.nanmax(blosum62) + 1 - blosum62
    np.fill_diagonal(distance, 0.0)
    return leaves_list(linkage(squareform(distance), "average", optimal_ordering=True))


def _maximum(shown: NDArray[np.float64]) -> float | None:
    finite = shown[np.isfinite(shown)]
    return float(finite.max()) if finite.size else None


def _label(axes: Axes, left: str, right: str) -> None:
    for x, text, side in ((0.0, left, "left"), (1.0, right, "right")):
        axes.text(
            x, 1.04, text, transform=axes.transAxes, ha=side, va="bottom", fontsize=style.SMALL
        )
