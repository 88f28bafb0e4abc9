"""Plain tables of a comparison: what was run side by side, and each property by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from provis_fast.reporting import provenance, wording
from provis_fast.reporting.comparison_findings import points, span

if TYPE_CHECKING:
    import pandas as pd

    from provis_fast.head_arrays import PropertySpec
    from provis_fast.reporting.embedding import EmbeddedFigure
    from provis_fast.statistics import HeadStatistics

#: Classes in the table of a property.
_CLASSES = 40
#: Letters of a digest that tell models apart.
_DIGEST = 16
_LOG_ALPHA = np.log(0.05)

Row = tuple[str, ...]


class Section(NamedTuple):
    """One property: its classes, and its figures."""

    id: str
    code: int  # among the texts of the table of differences
    heading: str
    definition: str
    headings: Row
    rows: tuple[Row, ...]
    more: int
    pictures: tuple[EmbeddedFigure, ...]


def side_by_side(a: HeadStatistics, b: HeadStatistics, labels: tuple[str, str]) -> tuple[Row, ...]:
    """Facts of both results: term, in A, in B."""
    rows: list[Row] = [("called", *labels)]
    sides = [dict(_terms(result)) for result in (a, b)]
    for term in dict.fromkeys([*sides[0], *sides[1]]):
        rows.append((term, *(side.get(term, "") for side in sides)))
    return tuple(rows)


def _terms(result: HeadStatistics) -> list[tuple[str, str]]:
    found = []
    for heading, pairs in provenance.facts(result):
        for term, text in pairs:
            if heading == "Run" or term == "properties":
                continue
            shown = text if isinstance(text, str) else "; ".join(text)
            name = f"model {term}" if heading == "Model" and "layers" not in term else term
            found.append((name, shown[:_DIGEST] if term == "digest" else shown))
    names = ", ".join(spec.name for spec in result.properties) or "none"
    found.append(("properties", names))
    return found


def class_table(
    spec: PropertySpec, rows: pd.DataFrame, percent: str, matched: bool
) -> tuple[Row, tuple[Row, ...], int]:
    """Headings, a row for each class, and how many classes are not shown.

    Parameters
    ----------
    spec : PropertySpec
    rows : DataFrame
        Of `provis_fast.compare`, of this property under one statistic and threshold.
    percent : str
        The confidence, "95%".
    matched : bool
        Whether heads correspond.
    """
    groups = list(rows.groupby("class", sort=False))
    if matched:
        headings = (
            *("Class", "Background A", "Background B", "Heads judged", "More in B", "Less in B"),
            *("Largest difference", "In A", "In B", "B − A (points)", f"{percent} interval", "q"),
        )
        found = [(_sure(part), _heads(spec, name, part)) for name, part in groups]
    else:
        headings = (
            *("Class", "Best head of A", "Share", f"{percent} interval"),
            *("Best head of B", "Share", f"{percent} interval"),
            *("Heads above, A", "Heads above, B", "Centre A", "Centre B"),
        )
        found = [(0, _models(spec, name, part)) for name, part in groups]
    if len(found) > _CLASSES:
        found.sort(key=lambda each: -each[0])
    cells = tuple(cells for _, cells in found[:_CLASSES])
    return headings, cells, max(0, len(found) - _CLASSES)


def _sure(part: pd.DataFrame) -> int:
    return int((part["log_q"] < _LOG_ALPHA).sum())


def _heads(spec: PropertySpec, name: str, part: pd.DataFrame) -> Row:
    sure = part[part["log_q"] < _LOG_ALPHA]
    judged = part[part["difference"].notna()]
    cells = [
        wording.class_label(spec, name),
        *(wording.amount(part[f"background_{side}"].iloc[0], spec.is_value) for side in "ab"),
        f"{len(judged):,}",
        f"{int((sure['difference'] > 0).sum()):,}",
        f"{int((sure['difference'] < 0).sum()):,}",
    ]
    ranked = sure if len(sure) else judged
    if ranked.empty:
        return (*cells, *[""] * 6)
    row = ranked.loc[ranked["difference"].abs().idxmax()]
    known = not np.isnan(row["low"])
    return (
        *cells,
        wording.head_name(int(row["layer"]), int(row["head"])),
        *(wording.amount(row[f"proportion_{side}"], spec.is_value) for side in "ab"),
        _unbroken(points(row["difference"], spec.is_value)),
        _unbroken(span(row["low"], row["high"], spec.is_value)) if known else "",
        _unbroken(wording.p_value(row["log_q"])) if not np.isnan(row["log_q"]) else "",
    )


def _unbroken(text: str) -> str:
    """A number without its unit, which the heading has, and that breaks at no minus."""
    return text.removesuffix(" points").replace("-", "−")


def _models(spec: PropertySpec, name: str, part: pd.DataFrame) -> Row:
    part = part.set_index("summary")
    best = part.loc["max_proportion"]
    cells = [wording.class_label(spec, name)]
    for side in "ab":
        if np.isnan(best[side]):
            cells += ["", "", ""]
            continue
        low, high = best[f"{side}_low"], best[f"{side}_high"]
        cells += [
            wording.head_name(int(best[f"layer_{side}"]), int(best[f"head_{side}"])),
            wording.amount(best[side], spec.is_value),
            "" if np.isnan(low) else wording.interval(low, high, spec.is_value),
        ]
    above, judged, centre = (part.loc[x] for x in ("heads_above", "heads", "centre_of_gravity"))
    cells += [
        "" if np.isnan(above[s]) else f"{int(above[s]):,} of {int(judged[s]):,}" for s in "ab"
    ]
    cells += ["" if np.isnan(centre[s]) else f"{centre[s]:.2f}" for s in "ab"]
    return tuple(cells)
