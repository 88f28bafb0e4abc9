"""What a figure shows, in words: units, numbers of proteins and arcs, threshold and model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from provis_fast.errors import ArgumentError
from provis_fast.figures.numbers import model_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from provis_fast.figures.numbers import Shares
    from provis_fast.statistics import HeadStatistics


def caption(figure: Figure) -> str:
    """The caption of a figure that a function of `provis_fast.figures` has made.

    Raises
    ------
    ArgumentError
        Some other figure.
    """
    text = figure.get_label() if hasattr(figure, "get_label") else ""
    if not text:
        raise ArgumentError(
            "figure: expected one that a function of provis_fast.figures has made, got "
            f"{figure!r:.60}"
        )
    return str(text)


def set_caption(figure: Figure, *sentences: str) -> Figure:
    """Keep a caption with a figure; empty sentences are left out."""
    figure.set_label(" ".join(text for text in sentences if text))
    return figure


def source(
    result: HeadStatistics, statistic: str | None = None, threshold: float | None = None
) -> str:
    """Model, proteins, and arcs or attention behind a figure."""
    text = (
        f"{model_name(result)}; {counted(result.analysed, 'protein')}, "
        f"{counted(result.residues, 'residue')}"
    )
    if statistic == "arcs":
        theta = () if result.scalar_threshold else result.thresholds.index(threshold)
        n = int(result.arcs[theta].sum())
        text += f", {counted(n, 'arc')} (attention ≥ {threshold:g})"
    elif statistic == "mass":
        text += "; attention between residues, without a threshold"
    incomplete = "" if result.complete else " Incomplete: a part of the input is missing."
    return f"{text}.{incomplete}"


def counted(n: int, what: str) -> str:
    """A number of things."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def left_out(result: HeadStatistics, shown: NDArray[np.float64], statistic: str) -> str:
    """How many heads have no number, and why; shown is [layers, heads]."""
    n = int((~np.isfinite(shown)).sum())
    if not n:
        return ""
    why = f"fewer than {max(result.min_arcs, 1)} eligible arcs"
    if statistic == "mass":
        why = "no attention where the property is known"
    return f"Hatched: {n:,} of {counted(shown.size, 'head')} with {why}."


def basis(numbers: Shares) -> str:
    """What numbers are shares, or means, of."""
    what = f"arcs (attention ≥ {numbers.threshold:g})" if numbers.threshold else "attention"
    if numbers.spec.is_value:
        return f"mean value over a head's {what} on residues where it is known"
    return f"share of a head's {what} where the property is known, in percent"


FROM_1 = "Layers and heads are counted from 1."
