"""The figures of a report, drawn and embedded."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provis_fast.errors import ResultError
from provis_fast.reporting.embedding import EmbeddedFigure, embed_figure

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.figures import Planned
    from provis_fast.reporting.focus import Focus
    from provis_fast.statistics import HeadStatistics

#: Figures of a page at most, those about the whole result apart: each takes a tenth of a second and
#: 20 kB. The command ``provis-fast figures`` makes all of them.
MAX_FIGURES = 40

Drawn = tuple[EmbeddedFigure, ...]


def draw_all(
    result: HeadStatistics, about: Focus, inferred: pd.DataFrame, best: Mapping[str, str]
) -> tuple[Drawn, dict[str, Drawn], int]:
    """Figures about the whole result, and those of each property.

    Figures for which the numbers do not suffice are left out.

    Parameters
    ----------
    result : HeadStatistics
    about : Focus
        At which threshold.
    inferred : DataFrame
        Table of inference.
    best : mapping of str to str
        The class of each property that stands out.

    Returns
    -------
    whole : tuple of EmbeddedFigure
    single : dict of str to tuple of EmbeddedFigure
    left_out : int
        Figures of properties beyond `MAX_FIGURES`, which were not tried.
    """
    from provis_fast import figures
    from provis_fast.figures import style

    whole: list[EmbeddedFigure] = []
    single: dict[str, list[EmbeddedFigure]] = {}
    options = {"threshold": about.threshold, "statistic": about.statistic, "inferred": inferred}
    plans = figures.planned(result)
    of_properties = [plan for plan in plans if plan.property is not None]
    chosen = _chosen(of_properties, best)
    with style.styled():
        for plan in plans:
            if plan.property is not None and plan.name not in chosen:
                continue
            try:
                figure = plan.make(**_accepted(plan, options))
            except ResultError:
                continue
            text = figures.caption(figure)
            into = whole if plan.property is None else single.setdefault(plan.property, [])
            into.append(embed_figure(figure, f"Figure: {_first_sentence(text)}", text))
    left_out = sum(plan.name not in chosen for plan in of_properties)
    return tuple(whole), {name: tuple(found) for name, found in single.items()}, left_out


def _chosen(plans: Sequence[Planned], best: Mapping[str, str]) -> set[str]:
    """Names of the figures to be drawn where there are too many for a page.

    Every property gets one before any gets a second; those of its best class come first.
    """
    of_property: dict[str, list[Planned]] = {}
    for plan in plans:
        of_property.setdefault(plan.property or "", []).append(plan)
    ranked = [
        (place, number, plan.name)
        for number, (name, found) in enumerate(of_property.items())
        for place, plan in enumerate(
            sorted(found, key=lambda plan: plan.class_name not in (None, best.get(name)))
        )
    ]
    return {name for *_, name in sorted(ranked)[:MAX_FIGURES]}


def _accepted(plan: Planned, options: dict[str, Any]) -> dict[str, Any]:
    """Those of the options that a figure takes and that its plan does not fix."""
    fixed = getattr(plan.make, "keywords", {})
    taken = inspect.signature(plan.make).parameters
    return {key: value for key, value in options.items() if key in taken and key not in fixed}


def _first_sentence(text: str) -> str:
    head, stop, _ = text.partition(". ")
    return head + stop.strip()
