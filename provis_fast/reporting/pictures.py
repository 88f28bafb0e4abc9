"""The figures of a report, drawn and embedded."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from provis_fast.errors import ResultError
from provis_fast.reporting.embedding import EmbeddedFigure, embed_figure

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.figures import Planned
    from provis_fast.reporting.findings import Focus
    from provis_fast.statistics import HeadStatistics

#: Figures of one property at most; the command `provis-fast figures` makes the others.
_OF_ONE = 8

Drawn = tuple[EmbeddedFigure, ...]


def draw_all(
    result: HeadStatistics, about: Focus, inferred: pd.DataFrame
) -> tuple[Drawn, dict[str, Drawn]]:
    """Figures about the whole result, and those of each property.

    Figures for which the numbers do not suffice are left out.

    Parameters
    ----------
    result : HeadStatistics
    about : Focus
        At which threshold.
    inferred : DataFrame
        Table of inference.
    """
    from provis_fast import figures
    from provis_fast.figures import style

    whole: list[EmbeddedFigure] = []
    single: dict[str, list[EmbeddedFigure]] = {}
    options = {"threshold": about.threshold, "statistic": about.statistic, "inferred": inferred}
    with style.styled():
        for plan in figures.planned(result):
            into = whole if plan.property is None else single.setdefault(plan.property, [])
            if plan.property is not None and len(into) == _OF_ONE:
                continue
            try:
                figure = plan.make(**_accepted(plan, options))
            except ResultError:
                continue
            text = figures.caption(figure)
            into.append(embed_figure(figure, f"Figure: {_first_sentence(text)}", text))
    return tuple(whole), {name: tuple(found) for name, found in single.items()}


def _accepted(plan: Planned, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that a figure takes and that its plan does not fix."""
    fixed = getattr(plan.make, "keywords", {})
    taken = inspect.signature(plan.make).parameters
    return {key: value for key, value in options.items() if key in taken and key not in fixed}


def _first_sentence(text: str) -> str:
    head, stop, _ = text.partition(". ")
    return head + stop.strip()
