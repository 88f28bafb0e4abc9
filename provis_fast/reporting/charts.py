"""Small charts beside the findings: shares of the best heads, with intervals and backgrounds.

They are drawn by the template as SVG in the page's own colours and fonts; here is where everything
stands. `provis_fast.figures` makes the figures for paper.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from provis_fast.head_arrays import PropertySpec
from provis_fast.reporting import wording
from provis_fast.reporting.focus import LOG_ALPHA

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 6
_ROW, _WIDTH, _AXIS = 22, 380, 220


class ChartTick(NamedTuple):
    """A line of the axis, in pixels, and its text."""

    x: float
    text: str


class ChartRow(NamedTuple):
    """A head: its name, and places in pixels."""

    text: str
    y: float
    x: float
    low: float | None
    high: float | None
    background: float
    sure: bool


class Chart(NamedTuple):
    """A chart; lengths in pixels."""

    width: int
    height: int
    left: int
    base: int
    ticks: tuple[ChartTick, ...]
    rows: tuple[ChartRow, ...]
    label: str


def make_chart(spec: PropertySpec, ranked: pd.DataFrame, span: str) -> Chart | None:
    """The best heads of a property, one for each class where it has several.

    Parameters
    ----------
    spec : PropertySpec
    ranked : DataFrame
        Rows of the table of inference, best first.
    span : str
        What the intervals are called, "95%".
    """
    if len(spec.classes) > 1:
        ranked = ranked.drop_duplicates("class")
    shown = ranked.head(_ROWS)
    if shown.empty:
        return None
    ends = shown[["proportion", "background", "low", "high"]].to_numpy(np.float64)
    low, high = (np.nanmin(ends), np.nanmax(ends)) if spec.is_value else (0.0, np.nanmax(ends))
    ticks = _ticks(float(low), float(high))
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    left = _WIDTH - _AXIS - 20
    unit = _AXIS / (high - low)

    def place(value: float) -> float:
        return round(left + (value - low) * unit, 1)

    rows = []
    for number, (_, row) in enumerate(shown.iterrows()):
        known = not math.isnan(row["low"])
        rows.append(
            ChartRow(
                _text(spec, row),
                round(4 + _ROW * (number + 0.5), 1),
                place(row["proportion"]),
                place(row["low"]) if known else None,
                place(row["high"]) if known else None,
                place(row["background"]),
                bool(row["log_q"] < LOG_ALPHA and row["excess"] > 0),
            )
        )
    base = 4 + _ROW * len(rows)
    texts = [
        ChartTick(place(tick), f"{tick:g}" if spec.is_value else f"{100 * tick:g}%")
        for tick in ticks
    ]
    label = _label(spec, shown, span)
    return Chart(_WIDTH, base + 22, left, base, tuple(texts), tuple(rows), label)


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that cover a range."""
    if high <= low:
        high = low + 1.0
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if (high - low) / (m * step) <= 4.01)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * n, 12) for n in range(first, last + 1)]


def _text(spec: PropertySpec, row: pd.Series) -> str:
    head = wording.head_name(int(row["layer"]), int(row["head"]))
    if len(spec.classes) == 1:
        return head
    name = wording.class_label(spec, str(row["class"]))
    if spec.name.startswith("amino_acid") and len(str(row["class"])) == 1:
        name = str(row["class"])
    return f"{name if len(name) <= 14 else name[:13] + '…'} · {head}"


def _label(spec: PropertySpec, shown: pd.DataFrame, span: str) -> str:
    """The chart in words."""
    parts = []
    for _, row in shown.iterrows():
        text = f"{_text(spec, row)} {wording.amount(row['proportion'], spec.is_value)}"
        if not math.isnan(row["low"]):
            text += f" ({wording.interval(row['low'], row['high'], spec.is_value)})"
        parts.append(text)
    intervals = f" with {span} intervals" if span else ""
    kind = "Means" if spec.is_value else "Shares"
    return f"Chart. {kind} of the best heads{intervals}: {'; '.join(parts)}."
